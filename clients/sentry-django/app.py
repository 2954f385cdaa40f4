"""A small shop in one file, served by the standard library, and the requests that a visitor makes."""

import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import settings  # the snippet of the page: initialises the SDK
import sentry_sdk
from sentry_sdk import metrics

import django
from django.conf import settings as django_settings

django_settings.configure(
    DEBUG=False,
    SECRET_KEY="only here",
    ROOT_URLCONF="app",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["app.who"],
)
django.setup()

from django.http import HttpResponse
from django.urls import path

log = logging.getLogger("shop.pay")


class Stock(Exception):
    pass


def who(get_response):
    def handle(request):
        sentry_sdk.set_user({"id": "7", "email": "bob@example.com", "username": "bob", "ip_address": "203.0.113.9"})
        return get_response(request)

    return handle


def reserve(sku):
    raise KeyError(sku)


def pay(request, n):
    sentry_sdk.add_breadcrumb(category="cart", message=f"opened cart {n} für Zoë", level="info")
    sentry_sdk.set_tag("plan", "pro")
    sentry_sdk.set_context("order", {"id": 2**60, "total": 9.75, "lines": [{"sku": "tea", "n": 3}], "note": None})
    log.info("paying %s", n)
    with sentry_sdk.start_span(op="db.query", name="select stock"):
        time.sleep(0.01)
    try:
        reserve("grün")
    except KeyError as error:
        raise Stock(f"no stock for order {n}: 日本") from error


def fine(request):
    sentry_sdk.logger.warning("cart {cart} has {n} lines", cart="a1", n=3, attributes={"total": 9.75, "vip": True, "who": "Zoë"})
    metrics.count("carts", 2, attributes={"plan": "pro"})
    metrics.distribution("cart.total", 9.75, unit="euro")
    with sentry_sdk.start_span(op="http.client", name="GET stock"):
        pass
    with sentry_sdk.isolation_scope() as scope:
        scope.add_attachment(bytes="Zoë's cart\n".encode() + bytes(range(256)), filename="cart é.bin", content_type="application/octet-stream")
        scope.add_attachment(bytes=b'{"lines": 3}\n', filename="cart.json")
        sentry_sdk.capture_message("cart is odd", level="warning")
    return HttpResponse("fine")


urlpatterns = [path("pay/<int:n>", pay), path("fine", fine)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def visit(server, target):
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{target}")
    request.add_header("X-Request-ID", "req-django-1")
    request.add_header("User-Agent", "shopper/1.0")
    try:
        urllib.request.urlopen(request, timeout=20).read()
    except urllib.error.HTTPError as error:
        error.read()


def main():
    from django.core.wsgi import get_wsgi_application
    from sentry_sdk.crons import monitor

    server = make_server("127.0.0.1", 0, get_wsgi_application(), WSGIServer, Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visit(server, "/pay/7?m=mk1&q=h%C3%A9")
    visit(server, "/fine")

    @monitor(monitor_slug="nightly", monitor_config={"schedule": {"type": "crontab", "value": "0 * * * *"}, "max_runtime": 5})
    def nightly():
        pass

    nightly()
    sentry_sdk.flush(20)
    print(server.server_port)


