"""A small shop in Pyramid, served by the standard library, and the requests that a visitor makes."""

import logging
import threading
import urllib.error
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import rollbar
from pyramid.config import Configurator
from pyramid.response import Response

from settings import SETTINGS  # the snippet of the page


class Stock(Exception):
    pass


def reserve(sku):
    raise KeyError(sku)


def pay(request):
    try:
        reserve("grün")
    except KeyError as error:
        raise Stock("no stock: 日本") from error


def fine(request):
    rollbar.report_message("cart is odd", "warning", extra_data={"total": 9.75, "big": 2**60, "lines": [{"sku": "tea"}]})
    logging.getLogger("shop.pay").error("paying %s failed", 7)
    return Response("fine")


def person(request):
    return {"id": "7", "username": "bob", "email": "bob@example.com"}


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def visit(server, target, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{target}", data=body)
    request.add_header("X-Request-ID", "req-pyramid-1")
    request.add_header("User-Agent", "shopper/1.0")
    try:
        urllib.request.urlopen(request, timeout=20).read()
    except urllib.error.HTTPError as error:
        error.read()


def main():
    config = Configurator(settings=SETTINGS)
    config.add_request_method(person, "rollbar_person", reify=True)
    config.include("rollbar.contrib.pyramid")
    for name, path, view in [("pay", "/pay/{n}", pay), ("fine", "/fine", fine)]:
        config.add_route(name, path)
        config.add_view(view, route_name=name)
    app = config.make_wsgi_app()
    from rollbar.logger import RollbarHandler

    logging.getLogger("shop.pay").addHandler(RollbarHandler(level=logging.ERROR))
    server = make_server("127.0.0.1", 0, app, WSGIServer, Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visit(server, "/pay/7?m=mk1&q=h%C3%A9", b"password=secret&sku=tea")
    visit(server, "/fine")
    rollbar.wait()
