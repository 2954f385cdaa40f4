"""rsyslog with omelasticsearch, fed over a port of its own."""

import os
import re
import socket
import subprocess
import time

from everlog_check import check, wait_for

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with open("everlog.conf", encoding="utf8") as file:
    snippet = file.read()
with open("rsyslog.conf", "w", encoding="utf8") as file:
    file.write(f'global(workDirectory="{os.getcwd()}")\nmodule(load="imtcp")\n')
    file.write(f'input(type="imtcp" address="127.0.0.1" port="{port}")\n{snippet}')
rsyslog = subprocess.Popen(["/usr/sbin/rsyslogd", "-n", "-i", os.path.abspath("rsyslog.pid"), "-f", os.path.abspath("rsyslog.conf")])
try:
    end = time.monotonic() + 30
    while True:
        try:
            sender = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            check(time.monotonic() < end, "rsyslog listens")
            time.sleep(0.1)
    with sender:
        stamp = "2026-11-20T16:02:14.525339Z"
        sender.sendall(f'<35>1 {stamp} web-1 sshd 812 - - no route to "host" \\ Grüße 世界\n'.encode())
        for n in range(1000):
            sender.sendall(f"<190>1 {stamp} web-2 app 7 - - line {n}\n".encode())
    (line,) = wait_for(1, "syslog", source="sshd")
    check(line["message"] == 'no route to "host" \\ Grüße 世界', "the message, quotes and letters and all")
    check((line["level"], line["severity"], line["stream"]) == ("error", "err", "ERROR"), "the severity is the level")
    check((line["host"], line["facility"], line["pid"]) == ("web-1", "auth", "812"), "host, facility, process")
    check(re.match("2026-11-20T16:02:14.525339", line["timestamp"]), "the time of the line, to the microsecond")
    lines = wait_for(1000, "syslog", source="app", _limit=2000)
    check({found["message"] for found in lines} == {f"line {n}" for n in range(1000)}, "1,000 lines, each once")
    check(len(lines) == 1000, "none twice")
    check(all(found["level"] == "info" for found in lines), "info")
finally:
    rsyslog.terminate()
    rsyslog.wait(10)
