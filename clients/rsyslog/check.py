"""rsyslog with omelasticsearch."""

from everlog_check import check, wait_for
from rsyslog_feed import STAMP, check_lines, fed

with open("everlog.conf", encoding="utf8") as file:
    snippet = file.read()
with fed(snippet, f"<35>1 {STAMP} web-1 sshd 812 - -"):
    (line,) = wait_for(1, "syslog", source="sshd")
    check_lines(line, wait_for(1000, "syslog", source="app", _limit=2000))
    check((line["level"], line["severity"], line["stream"]) == ("error", "err", "ERROR"), "the severity is the level")
    check((line["host"], line["facility"], line["pid"]) == ("web-1", "auth", "812"), "host, facility, process")
