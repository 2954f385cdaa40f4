"""A small shop: one request that fails, a message, an exception and a custom event."""

import logging

import telemetry  # before Flask, which it instruments
from flask import Flask
from opentelemetry import trace

app = Flask("shop")
log = logging.getLogger("shop.pay")


@app.get("/pay/<int:n>")
def pay(n):
    log.warning("paid %s é", n, extra={"order": 17})
    try:
        raise ValueError("no such sku")
    except ValueError:
        log.exception("failed")
    log.info("cart", extra={"microsoft.custom_event.name": "Cart Opened", "items": "2"})
    return "sorry", 500


answer = app.test_client().get("/pay/7?m=1")
assert answer.status_code == 500
trace.get_tracer_provider().shutdown()
from opentelemetry._logs import get_logger_provider

get_logger_provider().shutdown()
