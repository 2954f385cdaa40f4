import os
import pathlib
import subprocess
import urllib.request

from everlog_check import ask, check, wait_for

# What was built once is kept, as the packages of the other clients are.
kept = pathlib.Path.home() / ".cache" / "everlog-clients" / "sentry-rust"
environment = os.environ | {"CARGO_TARGET_DIR": str(kept), "RUST_BACKTRACE": "1"}
subprocess.run(["cargo", "run", "--quiet"], check=True, env=environment)

errors = {one["exception"]["type"]: one for one in wait_for(2, event="exception")}
error = errors["StockError"]
check(error["exception"]["message"] == "no stock: 日本", "type and value of an error")
check([one["type"] for one in error["exception"]["chain"]] == ["StockError", "ParseIntError"], "its source after it")
check((error["user"], error["ip"], error["request_id"]) == ("7", "203.0.113.9", "req-rust-1"), "user, address and request id")
check((error["release"], error["environment"]) == ("shop@1.4.2", "production"), "release and environment")
order = error["sentry"]["contexts"]["order"]
check((order["total"], order["big"]) == (9.75, 2**60), "numbers")
check(error["sentry"]["breadcrumbs"]["values"][-1]["message"] == "opened cart für Zoë", "breadcrumbs")
panic = errors["panic"]
check(panic["level"] == "critical" and panic["exception"]["message"] == "the shelf fell: 7", "a panic, and how bad it is")
check(panic["exception"]["handled"] is False, "which nobody handled")
own = [frame for frame in panic["exception"]["frames"] if "main::{{closure}}" in frame.get("function", "")]
check(own and own[0]["in_app"] and own[0]["file"] == "main.rs" and isinstance(own[0]["line"], int), "its frames")
messages = {one["message"]: one for one in wait_for(2, event="message")}
check(messages["cart is odd"]["level"] == "warning", "a message")
files = f"/api/v1/logs/default/events/{messages['with a file']['id']}/attachments"
check([one["attachment"]["filename"] for one in ask(files)] == ["cart.bin"], "an attachment")
request = urllib.request.Request(os.environ["EVERLOG_URL"] + files + "/0")
request.add_header("Authorization", "Bearer " + os.environ["EVERLOG_ADMIN_TOKEN"])
with urllib.request.urlopen(request) as answer:
    check(answer.read() == bytes(range(256)), "which comes back byte for byte")
transaction, = wait_for(1, event="transaction")
span, = wait_for(1, event="span")
check((transaction["message"], span["message"]) == ("nightly", "select stock"), "a transaction and its span")
check(span["trace_id"] == transaction["trace_id"] and span["sentry"]["parent_span_id"] == transaction["span_id"], "under one trace id")
log, = wait_for(1, event="log")
attributes = log["sentry"]["attributes"]
check((log["message"], log["level"]) == ("cart has 3 lines", "warning"), "a log")
check((attributes["n"], attributes["total"], attributes["vip"], attributes["cart"]) == (3, 9.75, True, "a1"), "its attributes with their types")
