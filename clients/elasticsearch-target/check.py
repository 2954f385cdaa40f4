"""One Everlog forwards to the door of Elasticsearch of another, and is killed in between: each event is there once."""

import json
import os
import signal
import subprocess
import time
import urllib.request

from everlog_check import check, events

COUNT = 20_000


def start():
    """Starts the Everlog that forwards, with the configuration of the page."""
    if os.path.exists("data/server.json"):
        os.remove("data/server.json")
    process = subprocess.Popen(
        [os.environ["EVERLOG_BINARY"], "serve", "--config", "everlog.toml", "--data", "data", "--listen", "127.0.0.1:0"],
        env={key: value for key, value in os.environ.items() if not key.startswith("EVERLOG_")},
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "it ended"
        try:
            with open("data/server.json") as file:
                url = json.load(file)["url"]
            urllib.request.urlopen(url + "/readyz", timeout=5).close()
            return process, url
        except OSError:
            time.sleep(0.05)
    raise AssertionError("it does not start")


def call(url, body=None):
    """The answer to a request, as JSON."""
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
        return json.loads(answer.read())


def count():
    """How many events the target has."""
    found = [log for log in call(os.environ["EVERLOG_URL"] + "/api/v1/logs") if log["name"] == "shop-events"]
    return found[0]["events"] if found else 0


def wait(condition, what):
    """Waits until something holds."""
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            check(False, what)
        time.sleep(0.02)
    check(True, what)


process, url = start()
try:
    for begin in range(0, COUNT, 1000):
        sent = [{"id": f"e{n}", "n": n, "half": n / 2, "text": f"ü {n}", "deep": {"a": [n, None, True]}} for n in range(begin, begin + 1000)]
        receipt = call(url + "/api/v1/logs/shop/events", "\n".join(json.dumps(event) for event in sent).encode())
        assert receipt["accepted"] == 1000, receipt
        if begin in (5000, 12_000):
            wait(lambda: count() > begin // 2, f"some of {begin} events are there")
            process.send_signal(signal.SIGKILL)
            process.wait()
            process, url = start()
    wait(lambda: count() == COUNT, "all events are there, each once")
    target = call(url + "/api/v1/forwards")[0]
    check(target["refused"] == 0 and target["error"] is None, "nothing was refused")
    for n in (0, 7, COUNT - 1):
        (found,) = events("shop-events", n=n)
        check(found["id"] == f"e{n}" and found["half"] == n / 2 and found["text"] == f"ü {n}", f"event {n} has its id and its values")
        check(found["deep"] == {"a": [n, None, True]}, f"event {n} has its nesting")
finally:
    process.kill()
    process.wait()
