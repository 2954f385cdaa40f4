"""A Gramex application with `gramexlog:`, and a FormHandler that shows what it logged."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import elasticsearch7
from elasticsearch7 import helpers
from everlog_check import check, events, wait_for

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
environment = os.environ | {"PYTHONPATH": os.getcwd(), "HOME": os.getcwd()}
said = open("gramex.out", "w+", encoding="utf8")
gramex = subprocess.Popen(
    ["gramex", f"--listen.port={port}"], env=environment, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
)


def get(path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"User-Agent": "check/1.0 Grüße".encode().decode("latin1")})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def visit(**query):
    return get("/pay?" + urllib.parse.urlencode(query))


def view(query):
    return json.loads(get("/view?" + query))


def log(count, **query):
    """The events, once so many are there; and what Gramex said when they do not come."""
    end = time.monotonic() + 60
    while len(events("shop", **query)) < count and time.monotonic() < end:
        time.sleep(0.2)
    if len(events("shop", **query)) < count:
        said.seek(0)
        print(said.read()[-4000:])
    return wait_for(count, "shop", **query)


def look():
    """What FormHandler makes of five records, in Gramex's own words: `>=` is more than, `>~=` at least.

    No other event has a duration, so `duration` in a question leaves the others out."""
    fields = ["user.id", "status", "duration", "path"]
    records = [("u1", 200, 10, "/a"), ("u2", 404, 20, "/wp-login.php"), ("u1", 500, 30, "/a"), ("u3", 200, 40, "/b"), (None, 404, 50, "/a<script>")]
    documents = [{"datetime": f"2026-01-01 00:00:0{n}Z"} | dict(zip(fields, record)) for n, record in enumerate(records, 1)]
    helpers.bulk(elasticsearch7.Elasticsearch(os.environ["EVERLOG_ES_URL"]), [{"_index": "shop", **document} for document in documents])

    def found(query):
        return "".join(str(row["duration"] // 10) for row in view(query + "&duration&_sort=datetime"))

    for query, expected in [
        ("", "12345"),
        ("status>=404", "3"),
        ("status>~=404", "235"),
        ("duration>=10&duration<=50", "234"),
        ("path~=wp", "2"),
        ("path~=WP", ""),
        ("path*=WP", "2"),
        ("user.id!", "5"),
        ("user.id", "1234"),
        ("user.id=u1", "13"),
        ("status=404&status=500", "235"),
        ("status!=404&status!=500", "14"),
        ("colour=red", "12345"),
    ]:
        check(found(query) == expected, f"/view?{query} is {expected}, found {found(query)}")
    rows = view("duration&_sort=-datetime&_limit=2&_offset=1&_c=path&_c=status")
    check(rows == [{"path": "/b", "status": 200}, {"path": "/a", "status": 500}], f"sorted, a page of it, two columns: {rows}")
    groups = view("duration&_by=status&_c=duration|avg&_c=duration|count&_sort=status")
    expected = [(200, 25.0, 2), (404, 35.0, 2), (500, 30.0, 1)]
    check([tuple(group[name] for name in ("status", "duration|avg", "duration|count")) for group in groups] == expected, f"groups: {groups}")
    groups = view("duration&_by=status&_c=duration|count&duration|count>=1&_sort=status")
    check([group["status"] for group in groups] == [200, 404], f"of which some are wanted: {groups}")
    csv = get("/view?duration&_format=csv")
    check(csv.startswith(b"\xef\xbb\xbf") and len(csv.splitlines()) == 6, "CSV as spreadsheets want it")
    html = get("/view?duration&_format=html&_sort=-datetime").decode()
    check("&lt;script&gt;" in html and "<script>" not in html, "what was logged is no markup in the page")
    check(html.index("&lt;script&gt;") < html.index("wp-login"), "the latest comes first")
    check(get("/view?duration&_format=xlsx&_c=path&_c=status").startswith(b"PK"), "a workbook")
    try:
        get("/view?_limit=x")
        check(False, "a limit that is none is refused")
    except urllib.error.HTTPError as error:
        check(error.code == 400, "a limit that is none is refused")


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
    # FormHandler asks for the columns once: all that is asked for has to be there before.
    look()
    (shown,) = view("x=7&_c=event&_c=amount&_c=items&_c=city")
    check(shown == {"event": "order_paid", "amount": 12.5, "items": 3, "city": "Grüße 世界"}, f"FormHandler shows what gramex.log took: {shown}")
    answered = get("/log?x=1&y=2&x=3")
    check(answered in (b"", b"null"), f"gramex.log as a handler answers nothing: {answered}")
    (handled,) = log(1, event="handler")
    check((handled["x"], handled["y"]) == ("3", "2"), "with the arguments of the URL, of two the last")
    check({"datetime", "user.id", "headers.User-Agent"} <= set(handled), "and the keys of gramex.yaml")
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
    check([event["event"] for event in events("shop", _limit=1000) if event.get("event") == "second"] == [], "a visitor cannot overwrite an event by naming its _id")
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
