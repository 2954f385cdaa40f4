"""HTTPHandler and SysLogHandler of the standard library."""

import os
import subprocess
import sys

from everlog_check import check, wait_for

subprocess.run([sys.executable, "over_http.py"], check=True)
(paid,) = wait_for(1, order="17")
check(paid["message"] == "paid 12.5 by Zoë", "the message with its arguments")
check((paid["level"], paid["logger"], paid["user"]) == ("warning", "shop.cart", "7"), "level, logger, user")
check(isinstance(paid["lineno"], int) and paid["filename"] == "over_http.py", "where it was said")
(failed,) = wait_for(1, logger="shop.cart", level="error")
check("KeyError: 'sku'" in failed["message"], "the traceback, which the queue puts behind the message")

token = os.environ["EVERLOG_TOKEN"]
direct = f"""
import logging, logging.handlers
url = "/api/v1/logs/default/records"
log = logging.getLogger("direct")
log.addHandler(logging.handlers.HTTPHandler("{os.environ["EVERLOG_URL"].split("//")[1]}", url, "POST", credentials=("any", "{token}")))
log.addHandler(logging.handlers.HTTPHandler("{os.environ["EVERLOG_URL"].split("//")[1]}", url, "GET", credentials=("any", "{token}")))
log.error("%(who)s paid %(much).2f", {{"who": "Zoë & co", "much": 12.5}})
try:
    {{}}["sku"]
except KeyError:
    log.exception("cannot order")
"""
subprocess.run([sys.executable, "-c", direct], check=True)
found = wait_for(2, logger="direct", message="Zoë & co paid 12.50")
check(len(found) == 2, "arguments by name, by POST and by GET")
found = wait_for(2, logger="direct", **{"exception.type": "KeyError"})
check(all(one["message"] == "cannot order" for one in found), "an exception without a queue")

with open("over_syslog.py", encoding="utf8") as file:
    program = file.read().replace("5514", os.environ["EVERLOG_SYSLOG"].rsplit(":", 1)[1])
subprocess.run([sys.executable, "-c", program], check=True)
(line,) = wait_for(1, source="shop", message="could not send")
check(line["level"] == "error", "over UDP, with its level")
(line,) = wait_for(1, source="shop", message="cannot divide")
check("ZeroDivisionError" in str(line["exception"]), "a traceback of several lines is one event")
