"""rsyslog's omfwd over TCP, and util-linux's logger."""

import os
import subprocess

from everlog_check import check, wait_for
from rsyslog_feed import STAMP, check_lines, fed

everlog = os.environ["EVERLOG_SYSLOG"].rsplit(":", 1)[1]


def read(name):
    """A snippet of the page, with the port that the server really has."""
    with open(name, encoding="utf8") as file:
        return file.read().replace("5514", everlog)


with fed(read("everlog.conf"), f'<37>1 {STAMP} web-1 sshd 812 ID7 [a@1 b="c"]'):
    (line,) = wait_for(1, source="sshd")
    check_lines(line, wait_for(1000, source="app", _limit=2000))
    check((line["level"], line["stream"]) == ("notice", "INFO"), "the severity is the level")
    check((line["host"], line["pid"]) == ("web-1", 812), "host and process")
    check(line["syslog"]["structured_data"]["a@1"]["b"] == "c", "structured data")

subprocess.run(["sh", "-e", "-c", read("send.sh")], check=True)
(line,) = wait_for(1, source="nightly")
check((line["message"], line["level"]) == ("backup done", "notice"), "logger over TCP")
server = ["--server", "localhost", "--port", everlog, "--tag", "forms"]
for form in (["--udp", "--rfc3164"], ["--udp", "--rfc5424"], ["--tcp", "--rfc3164"], ["--tcp", "--octet-count"]):
    subprocess.run(["logger", *server, *form, "--", " ".join(form)], check=True)
found = wait_for(4, source="forms")
check(len({line["message"] for line in found}) == 4, "logger's forms, old and new, counted and not")
