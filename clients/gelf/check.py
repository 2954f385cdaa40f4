"""pygelf over UDP and TCP, graypy in pieces, and curl."""

import os
import subprocess
import sys

from everlog_check import check, wait_for

port = os.environ["EVERLOG_GELF"].rsplit(":", 1)[1]
with open("app.py", encoding="utf8") as file:
    program = file.read().replace("12201", port)
subprocess.run([sys.executable, "-c", program], check=True)
paid = wait_for(2, message="paid")
check(len(paid) == 2, "once over UDP, packed, and once over TCP")
check(all((one["level"], one["order"], one["customer"]) == ("error", 17, "Zoë") for one in paid), "level, number, letters")
failed = wait_for(2, **{"exception.type": "KeyError"})
check(len(failed) == 2, "the traceback is the exception")

graypy = f"""
import logging, graypy
log = logging.getLogger("old.shop")
log.addHandler(graypy.GELFUDPHandler("127.0.0.1", {port}, compress=False))
log.warning("x" * 5000, extra={{"order": 19}})
"""
subprocess.run([sys.executable, "-c", graypy], check=True)
(long,) = wait_for(1, order=19)
check((len(long["message"]), long["level"]) == (5000, "warning"), "graypy, in pieces")

subprocess.run(["sh", "-e", "send.sh"], check=True)
(line,) = wait_for(1, order=18)
check((line["message"], line["level"], line["host"]) == ("over HTTP", "notice", "web1"), "over HTTP")
