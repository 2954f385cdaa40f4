"""rsyslog's omfwd over TCP, fed over a port of its own, and util-linux's logger."""

import os
import socket
import subprocess
import time

from everlog_check import check, wait_for

everlog = os.environ["EVERLOG_SYSLOG"].rsplit(":", 1)[1]


def read(name):
    """A snippet of the page, with the port that the server really has."""
    with open(name, encoding="utf8") as file:
        return file.read().replace("5514", everlog)


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with open("rsyslog.conf", "w", encoding="utf8") as file:
    file.write(f'global(workDirectory="{os.getcwd()}")\nmodule(load="imtcp")\n')
    file.write(f'input(type="imtcp" address="127.0.0.1" port="{port}")\n{read("everlog.conf")}')
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
        sender.sendall(f'<37>1 {stamp} web-1 sshd 812 ID7 [a@1 b="c"] no route to "host" \\ Grüße 世界\n'.encode())
        for n in range(1000):
            sender.sendall(f"<190>1 {stamp} web-2 app 7 - - line {n}\n".encode())
    (line,) = wait_for(1, source="sshd")
    check(line["message"] == 'no route to "host" \\ Grüße 世界', "the message, quotes and letters and all")
    check((line["level"], line["stream"]) == ("notice", "INFO"), "the severity is the level")
    check((line["host"], line["pid"]) == ("web-1", 812), "host and process")
    check(line["syslog"]["structured_data"]["a@1"]["b"] == "c", "structured data")
    check(line["timestamp"].startswith("2026-11-20T16:02:14.525339"), "the time of the line, to the microsecond")
    lines = wait_for(1000, source="app", _limit=2000)
    check({found["message"] for found in lines} == {f"line {n}" for n in range(1000)}, "1,000 lines, each once")
    check(len(lines) == 1000, "none twice")
finally:
    rsyslog.terminate()
    rsyslog.wait(10)

subprocess.run(["sh", "-e", "-c", read("send.sh")], check=True)
(line,) = wait_for(1, source="nightly")
check((line["message"], line["level"]) == ("backup done", "notice"), "logger over TCP")
server = ["--server", "localhost", "--port", everlog, "--tag", "forms"]
for form in (["--udp", "--rfc3164"], ["--udp", "--rfc5424"], ["--tcp", "--rfc3164"], ["--tcp", "--octet-count"]):
    subprocess.run(["logger", *server, *form, "--", " ".join(form)], check=True)
found = wait_for(4, source="forms")
check(len({line["message"] for line in found}) == 4, "logger's forms, old and new, counted and not")
