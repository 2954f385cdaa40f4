import json
import os
import urllib.request

import app
from everlog_check import ask, check, events, wait_for

app.main()

error, = wait_for(1, event="exception")
exception = error["exception"]
check((exception["type"], exception["message"]) == ("Stock", "no stock for order 7: 日本"), "type and value of the exception")
check([one["type"] for one in exception["chain"]] == ["Stock", "KeyError"], "its cause after it")
raised = exception["frames"][-1]
check((raised["function"], raised["file"], raised["in_app"]) == ("pay", "app.py", True), "where it was raised, last of the frames")
check(isinstance(raised["line"], int) and not exception["frames"][0]["in_app"], "lines are numbers; Django's frames are not the app's")
check(exception["handled"] is False and error["level"] == "error", "nobody handled it")
check((error["user"], error["ip"]) == ("7", "203.0.113.9"), "the user and his address")
check(error["sentry"]["user"]["email"] == "bob@example.com" or "REDACTED" in error["sentry"]["user"]["email"], "who the user is, as sent")
check(error["url"].endswith("/pay/7?m=mk1&q=h%C3%A9") and error["path"] == "/pay/7" and error["method"] == "GET", "URL with its query, path and method")
check((error["release"], error["environment"]) == ("shop@1.4.2", "production"), "release and environment")
check((error["request_id"], error["user_agent"]) == ("req-django-1", "shopper/1.0"), "request id and user agent")
crumb = [crumb for crumb in error["sentry"]["breadcrumbs"]["values"] if crumb["category"] == "cart"]
check([one["message"] for one in crumb] == ["opened cart 7 für Zoë"], "breadcrumbs, letters included")
order = error["sentry"]["contexts"]["order"]
check(order == {"id": 2**60, "total": 9.75, "lines": [{"sku": "tea", "n": 3}], "note": None}, "numbers, nesting and null of a context")
frames = error["sentry"]["exception"]["values"][-1]["stacktrace"]["frames"]
check(frames[-1]["vars"]["n"] == "7" and "Stock" in frames[-1]["context_line"], "variables and source lines are kept under `sentry`")

trace = wait_for(6, trace_id=error["trace_id"])
transaction, = [one for one in trace if one["event"] == "transaction"]
check((transaction["message"], transaction["status"], transaction["stream"]) == ("/pay/{n}", 500, "SPAN"), "the transaction of the request")
query, = [one for one in trace if one["message"] == "select stock"]
check(query["sentry"]["parent_span_id"] == transaction["span_id"] and query["sentry"]["op"] == "db.query", "a span under it")
check(10 <= query["duration_ms"] < transaction["duration_ms"], "durations in milliseconds")
check("log" in {one["event"] for one in trace}, "one trace id for the error, its spans and the log of Django")

log, = wait_for(1, event="log", message="cart a1 has 3 lines")
attributes = log["sentry"]["attributes"]
check((log["level"], log["user"], log["release"]) == ("warning", "7", "shop@1.4.2"), "a log: level, user and release")
check((attributes["total"], attributes["vip"], attributes["who"]) == (9.75, True, "Zoë"), "attributes with their types")
check(attributes["sentry.message.parameter.n"] == 3, "parameters of the message")
check(len(events(**{"event": "log", "sentry.attributes.total>": 9, "_strict": "n"})) >= 1, "an attribute can be asked for as a number")
logged = [one for one in events(event="log") if one.get("logger") == "django.request"]
check(logged and logged[0]["message"] == "Internal Server Error: /pay/7", "what `logging` says, with its logger")

metrics = {one["message"]: one["sentry"] for one in wait_for(2, event="metric")}
check(metrics["carts"]["value"] == 2 and metrics["cart.total"]["unit"] == "euro", "metrics")
check([one["sentry"]["status"] for one in wait_for(2, event="check_in")] == ["in_progress", "ok"], "both check-ins of a job")
check(wait_for(1, event="sessions")[0]["sentry"]["aggregates"][0]["crashed"] == 1, "sessions")

message, = wait_for(1, event="message")
files = f"/api/v1/logs/default/events/{message['id']}/attachments"
listed = ask(files)
check([one["attachment"]["filename"] for one in listed] == ["cart é.bin", "cart.json"], "attachments are listed")
request = urllib.request.Request(os.environ["EVERLOG_URL"] + files + "/0")
request.add_header("Authorization", "Bearer " + os.environ["EVERLOG_ADMIN_TOKEN"])
with urllib.request.urlopen(request) as answer:
    check(answer.read() == "Zoë's cart\n".encode() + bytes(range(256)), "and come back byte for byte")
check(not any("exception" in json.dumps(one) and "client_report" == one["event"] and "error" in one["message"] for one in events(event="client_report", _strict="n")), "no SDK reports an error that was not taken")
