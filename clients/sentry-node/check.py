import os
import subprocess
import urllib.request

from everlog_check import ask, check, wait_for

subprocess.run(["node", "--import", "./instrument.mjs", "app.mjs"], check=True)

errors = {one["exception"]["type"] + ": " + one["exception"]["message"]: one for one in wait_for(3, event="exception")}
error = errors["StockError: no stock: 日本"]
exception = error["exception"]
check([one["type"] for one in exception["chain"]] == ["StockError", "TypeError"], "the error, and its cause after it")
raised = exception["frames"][-1]
check(raised["function"] == "pay" and raised["file"].endswith("app.mjs") and raised["in_app"] is True, "where it was raised, last of the frames")
check(isinstance(raised["line"], int) and isinstance(raised["column"], int), "line and column")
check(exception["handled"] is True and error["user"] == "7", "it was handled; the user")
check(error["url"].endswith("/pay?m=mk1&q=h%C3%A9") and error["path"] == "/pay", "the URL, with its query once")
check((error["request_id"], error["user_agent"], error["release"]) == ("req-node-1", "shopper/1.0", "shop@1.4.2"), "request id, user agent and release")
check(error["sentry"]["extra"] == {"total": 9.75, "big": 9007199254740991, "lines": [{"sku": "tea"}]}, "numbers and nesting")
crumb = [one for one in error["sentry"]["breadcrumbs"] if one["category"] == "cart"]
check(crumb and crumb[0]["message"] == "opened cart für Zoë" and crumb[0]["data"] == {"n": 3}, "breadcrumbs")
check(len(errors["Error: long"]["sentry"]["extra"]["long"]) == 60000, "a long text, packed with gzip")

message, = wait_for(1, event="message")
check((message["message"], message["level"]) == ("cart is odd", "warning"), "a message and its level")
files = f"/api/v1/logs/default/events/{errors['Error: only a text']['id']}/attachments"
check([one["attachment"]["filename"] for one in ask(files)] == ["cart.bin", "cart é.txt"], "attachments are listed")
request = urllib.request.Request(os.environ["EVERLOG_URL"] + files + "/0")
request.add_header("Authorization", "Bearer " + os.environ["EVERLOG_ADMIN_TOKEN"])
with urllib.request.urlopen(request) as answer:
    check(answer.read() == bytes(range(256)), "and come back byte for byte")

spans = wait_for(4, event="span")
query, = [one for one in spans if one["message"] == "select stock"]
check(query["sentry"]["attributes"]["db.rows"] == 3 and query["sentry"]["attributes"]["db.cached"] is False, "attributes of a span with their types")
check(query["stream"] == "SPAN" and query["sentry"]["parent_span_id"] in {one["span_id"] for one in spans}, "and its parent")
served = [one for one in spans if one.get("status") == 500 and one["sentry"]["attributes"].get("sentry.op") == "http.server"]
check(served and served[0]["trace_id"] == error["trace_id"], "the span of the request has the trace id of the error")
log, = wait_for(1, event="log")
check((log["message"], log["level"], log["trace_id"]) == ("the cart of Zoë is odd", "warning", query["trace_id"]), "a log in the trace")
check((log["sentry"]["attributes"]["total"], log["sentry"]["attributes"]["n"], log["sentry"]["attributes"]["vip"]) == (9.75, 3, True), "its attributes with their types")
check(wait_for(1, event="metric")[0]["sentry"]["value"] == 2, "a metric")
check(wait_for(1, event="feedback")[0]["message"] == "I like tea", "feedback")
check([one["sentry"]["status"] for one in wait_for(2, event="check_in")].count("ok") == 1, "check-ins")
check(wait_for(1, event="sessions")[0]["release"] == "shop@1.4.2", "sessions")
