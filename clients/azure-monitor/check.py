import os
import subprocess
import sys

from everlog_check import check, wait_for

environment = os.environ | {"APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true", "OTEL_SERVICE_NAME": "shop"}
ran = subprocess.run([sys.executable, "shop.py"], capture_output=True, text=True, env=environment)
check(ran.returncode == 0, f"the application ran: {ran.stderr[-2000:]}")
check("could not be exported" not in ran.stderr, "the exporter is content with the answers")
paid, = wait_for(1, message="paid 7 é")
check((paid["level"], paid["stream"], paid["service"]) == ("warning", "WARN", "shop"), "level, stream, service")
check(paid["azure"]["data"]["baseData"]["properties"]["order"] == "17", "properties")
check("iKey" not in paid["azure"], "the key is not kept")
request, = wait_for(1, event="request")
check((request["method"], request["path"], request["status"], request["stream"], request["level"]) == ("GET", "/pay/7", 500, "SPAN", "error"), "the request")
check(request["duration_ms"] > 0 and request["url"].endswith("/pay/7?m=1"), "duration and url")
check((paid["trace_id"], paid["span_id"]) == (request["trace_id"], request["span_id"]), "the message is in the span of the request")
failed, = wait_for(1, **{"exception.type": "ValueError"})
check((failed["exception"]["message"], failed["level"]) == ("no such sku", "error"), "exception")
check(failed["exception"]["frames"][-1]["function"] == "pay", "frames")
cart, = wait_for(1, event="cart_opened")
check(cart["trace_id"] == request["trace_id"], "a custom event, in the same trace")
