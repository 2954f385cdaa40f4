"""What the clients of rsyslog have in common: one with the snippet of its page, fed over a port of its own."""

import contextlib
import os
import socket
import subprocess
import time

from everlog_check import check

STAMP = "2026-11-20T16:02:14.525339Z"
TEXT = 'no route to "host" \\ Grüße 世界'


@contextlib.contextmanager
def fed(snippet, first):
    """Runs rsyslog with a snippet while it is looked at; it gets the message `first` and 1,000 lines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
            sender.sendall(f"{first} {TEXT}\n".encode())
            for n in range(1000):
                sender.sendall(f"<190>1 {STAMP} web-2 app 7 - - line {n}\n".encode())
        yield
    finally:
        rsyslog.terminate()
        rsyslog.wait(10)


def check_lines(line, lines):
    """What holds of the first message and the lines, whichever way they took."""
    check(line["message"] == TEXT, "the message, quotes and letters and all")
    check(line["timestamp"].startswith(STAMP.rstrip("Z")), "the time of the line, to the microsecond")
    check({found["message"] for found in lines} == {f"line {n}" for n in range(1000)}, "1,000 lines, each once")
    check(len(lines) == 1000, "none twice")
    check(all(found["level"] == "info" for found in lines), "info")
