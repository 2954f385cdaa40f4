import json
import logging
import threading
import urllib.error
import urllib.request

import shop  # the snippet of the page
import sentry_sdk
from werkzeug.serving import make_server

from everlog_check import check, wait_for


@shop.app.post("/pay/<int:number>")
def pay(number):
    sentry_sdk.set_user({"username": "bob"})
    sentry_sdk.set_tag("request_id", "req-flask-1")
    sentry_sdk.set_extra("basket", {"lines": [1, 2.5, "grün"], "paid": False})
    logging.getLogger("shop.pay").warning("paying %s", number, extra={"total": 9.75})
    return {"total": 1 / (number - 7)}


server = make_server("127.0.0.1", 0, shop.app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
request = urllib.request.Request(
    f"http://127.0.0.1:{server.server_port}/pay/7?q=h%C3%A9",
    data=json.dumps({"sku": "tea", "password": "secret"}).encode(),
    headers={"Content-Type": "application/json"},
)
try:
    urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    check(error.code == 500, "the application answers as it did before")
sentry_sdk.flush(20)

error, = wait_for(1, event="exception")
check((error["exception"]["type"], error["exception"]["message"]) == ("ZeroDivisionError", "division by zero"), "type and value of the exception")
raised = error["exception"]["frames"][-1]
check((raised["function"], raised["module"], raised["in_app"]) == ("pay", "__main__", True), "where it was raised")
check((error["user"], error["request_id"]) == ("bob", "req-flask-1"), "the user and the request")
check(error["method"] == "POST" and error["url"].endswith("/pay/7?q=h%C3%A9"), "method and URL")
check(error["sentry"]["extra"]["basket"] == {"lines": [1, 2.5, "grün"], "paid": False}, "extra data with their types")
check(error["sentry"]["request"]["data"]["sku"] == "tea", "the body of the request")
check(error["sentry"]["request"]["data"]["password"] != "secret", "without its password")
crumbs = [crumb["message"] for crumb in error["sentry"]["breadcrumbs"]["values"]]
check("paying 7" in crumbs, "what was logged before is a breadcrumb")
transaction, = wait_for(1, event="transaction")
check(transaction["trace_id"] == error["trace_id"] and transaction["message"] == "pay", "the transaction has the same trace id")
log = [one for one in wait_for(1, event="log") if one.get("logger") == "shop.pay"]
check(log and log[0]["message"] == "paying 7" and log[0]["sentry"]["attributes"]["total"] == 9.75, "a log record with its `extra`")
