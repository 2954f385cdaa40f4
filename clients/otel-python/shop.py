"""A small shop: one request that goes well and one that fails, over the transport that the first argument names."""

import logging
import sys

from flask import Flask
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

transport = sys.argv[1]
if transport == "http":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from telemetry import HEADERS, URL, logs, traces

    points = OTLPMetricExporter(f"{URL}/v1/metrics", headers=HEADERS)
else:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from telemetry_grpc import HEADERS, log_exporter, span_exporter

    resource = Resource.create({"service.name": "shop", "service.version": "1.2", "deployment.environment.name": "live"})
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))
    logging.getLogger().setLevel(logging.INFO)
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(span_exporter))
    trace.set_tracer_provider(traces)
    address = log_exporter._endpoint
    points = OTLPMetricExporter(address, insecure=True, headers=HEADERS)

meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(points)])
metrics.set_meter_provider(meters)
app = Flask("shop")
FlaskInstrumentor().instrument_app(app)
log = logging.getLogger("shop.pay")


def charge():
    with trace.get_tracer("shop").start_as_current_span("charge"):
        raise ValueError("no such sku")


@app.get("/pay/<int:n>")
def pay(n):
    log.info("paid over %s é", transport, extra={"order": 17, "total": 9.75, "express": True, "tags": ["tea", "grün"], "user.id": "7"})
    with trace.get_tracer("shop").start_as_current_span("look"):
        metrics.get_meter("shop").create_counter("payments").add(1)
    try:
        charge()
    except ValueError:
        log.exception("failed over %s", transport)
    return "sorry", 500


answer = app.test_client().get(f"/pay/7?m={transport}")
assert answer.status_code == 500
meters.shutdown()
traces.shutdown()
logs.shutdown()
