"""A Gramex application with `gramexlog:`."""

import os
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from everlog_check import check, events, wait_for

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
environment = os.environ | {"PYTHONPATH": os.getcwd(), "HOME": os.getcwd()}
said = open("gramex.out", "w+", encoding="utf8")
gramex = subprocess.Popen(
    ["gramex", f"--listen.port={port}"], env=environment, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
)


def visit(**query):
    url = f"http://127.0.0.1:{port}/pay?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, headers={"User-Agent": "check/1.0 Grüße".encode().decode("latin1")})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def log(count, **query):
    """The events, once so many are there; and what Gramex said when they do not come."""
    end = time.monotonic() + 60
    while len(events("shop", **query)) < count and time.monotonic() < end:
        time.sleep(0.2)
    if len(events("shop", **query)) < count:
        said.seek(0)
        print(said.read()[-4000:])
    return wait_for(count, "shop", **query)


try:
    end = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            if gramex.poll() is not None or time.monotonic() > end:
                said.seek(0)
                print(said.read()[-4000:])
                check(False, "Gramex starts")
            time.sleep(0.2)
    check(visit(x=7, city="Grüße 世界", y="b") == b"paid", "the handler answers")
    (paid,) = log(1, x="7")
    check((paid["event"], paid["amount"], paid["items"]) == ("order_paid", 12.5, 3), "what gramex.log was given, types and all")
    check((paid["x"], paid["city"]) == ("7", "Grüße 世界"), "the arguments of the URL")
    check(paid["args.x"] == "7" and paid["request.uri"].startswith("/pay?x=7"), "the keys of gramex.yaml, as flat names")
    check("check/1.0" in paid["headers.User-Agent"] and paid["port"] in (port, str(port)), "and the others")
    when = paid["datetime"].replace(" ", "T").rstrip("Z")
    check(paid["timestamp"].startswith(when), "datetime is the time of the event")
    check(events("shop", **{"args.x": "7"})[0]["id"] == paid["id"], "found by a name with a dot")
    for n in range(50):
        visit(n=n, amount="many" if n % 2 else 5)
    found = log(51, event="order_paid")
    check(len(found) == 51, "each visit once")
    check({type(event["amount"]) for event in found} == {float, str}, "one key, two types")
    visit(_id="1", event="first")
    (first,) = log(1, event="first")
    visit(_id="1", event="second")
    visit(x="last")
    log(1, x="last")
    check([event["event"] for event in events("shop", _limit=1000) if event["event"] == "second"] == [], "a visitor cannot overwrite an event by naming its _id")
    check(events("shop", event="first") == [first], "it is there as it was")
    said.seek(0)
    check("push to" not in said.read(), "Gramex had no trouble")
    # Elasticsearch would remove the event here.
    visit(_op_type="delete", _id="1")
    end = time.monotonic() + 60
    while "BulkIndexError" not in open("gramex.out", encoding="utf8").read() and time.monotonic() < end:
        time.sleep(0.2)
    check("is not possible" in open("gramex.out", encoding="utf8").read(), "a visitor who asks for a removal is refused")
    check(events("shop", event="first") == [first], "and nothing is gone")
finally:
    gramex.terminate()
    gramex.wait(30)
