import json
import os
import subprocess
import sys
import urllib.request

from everlog_check import check, wait_for

for transport in ["http", "grpc"]:
    ran = subprocess.run([sys.executable, "shop.py", transport], capture_output=True, text=True)
    check(ran.returncode == 0, f"{transport}: the application ran: {ran.stderr[-2000:]}")
    check("Failed to export" not in ran.stderr, f"{transport}: no exporter complains, that of metrics neither")
    marker = f"over {transport}"
    paid, = wait_for(1, message=f"paid {marker} é")
    check((paid["level"], paid["stream"], paid["logger"]) == ("info", "INFO", "shop.pay"), f"{transport}: level, stream, logger")
    sent = paid["otel"]["attributes"]
    check((sent["order"], sent["total"], sent["express"], sent["tags"]) == (17, 9.75, True, ["tea", "grün"]), f"{transport}: attributes with their types")
    check((paid["service"], paid["release"], paid["environment"]) == ("shop", "1.2", "live"), f"{transport}: service, release, environment")
    check(paid["user"] == "7" and sent["user.id"] == "7", f"{transport}: user")
    check(wait_for(1, **{"otel.attributes.order": 17, "message": paid["message"]})[0]["id"] == paid["id"], f"{transport}: found by an attribute")
    failed, = wait_for(1, message=f"failed {marker}")
    check((failed["exception"]["type"], failed["exception"]["message"]) == ("ValueError", "no such sku"), f"{transport}: exception of a log record")
    check(failed["exception"]["frames"][-1]["function"] == "charge", f"{transport}: frames, where it was raised last")
    spans = wait_for(3, stream="SPAN", trace_id=failed["trace_id"])
    server, = [span for span in spans if span["otel"]["kind"] == "server"]
    check((server["message"], server["method"], server["path"], server["status"], server["level"]) == ("GET /pay/<int:n>", "GET", "/pay/7", 500, "error"), f"{transport}: the span of the request")
    check(server["url"].endswith(f"/pay/7?m={transport}") and server["duration_ms"] > 0, f"{transport}: url and duration")
    inner, = [span for span in spans if span["message"] == "charge"]
    check(inner["otel"]["parent_span_id"] == server["span_id"] and inner["exception"]["type"] == "ValueError", f"{transport}: parent, and the exception event of a span")
    check(failed["span_id"] == server["span_id"], f"{transport}: the log record is in the span")

# No exporter of the JSON form is published for Python: a request as the specification has it.
record = {"timeUnixNano": "1767225600000000000", "severityNumber": 13, "severityText": "WARN", "body": {"stringValue": "over json"},
          "attributes": [{"key": "n", "value": {"intValue": "9007199254740993"}}], "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": ""}
body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
request = urllib.request.Request(os.environ["EVERLOG_URL"] + "/v1/logs", json.dumps(body).encode())
request.add_header("Content-Type", "application/json")
request.add_header("Authorization", "Bearer " + os.environ["EVERLOG_TOKEN"])
with urllib.request.urlopen(request) as answer:
    check(json.loads(answer.read()) == {"partialSuccess": {}}, "json: the answer")
event, = wait_for(1, message="over json")
check((event["otel"]["attributes"]["n"], event["level"], event["trace_id"]) == (9007199254740993, "warning", "5b8efff798038103d269b633813fc60c"), "json: numbers, level, trace")
