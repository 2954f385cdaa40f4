"""Events as Parquet, read by DuckDB: all of them, with their types."""

import json
import os
import subprocess
import urllib.request

import duckdb
from everlog_check import ask, check

COUNT = 100_000
START = 1_780_000_000_000_000


def send(events):
    """Sends events to the log `shop` as the administrator."""
    body = "\n".join(json.dumps(event, ensure_ascii=False) for event in events).encode()
    request = urllib.request.Request(os.environ["EVERLOG_URL"] + "/api/v1/logs/shop/events", data=body)
    request.add_header("Authorization", "Bearer " + os.environ["EVERLOG_ADMIN_TOKEN"])
    with urllib.request.urlopen(request, timeout=60) as answer:
        receipt = json.loads(answer.read())
    assert receipt["accepted"] == len(events) and not receipt["refused"], receipt


def export(name, *arguments):
    """Runs `everlog export`; gives what it says."""
    command = [os.environ["EVERLOG_BINARY"], "export", *arguments, "--log", "shop", "--format", "parquet", "--out", name]
    command += ["--url", os.environ["EVERLOG_URL"], "--token", os.environ["EVERLOG_ADMIN_TOKEN"]]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def event(number):
    """One of many."""
    made = {
        "timestamp": START + number,
        "n": number,
        "level": "error" if number % 10 == 0 else "info",
        "user": f"u{number % 100}",
        "duration_ms": number / 4,
        "paid": number % 2 == 0,
        "order": {"id": number, "currency": "€" if number % 3 else "¥"},
    }
    if number % 1000 == 0:
        made["tags"] = ["a", number, {"ü": None}]
    if number % 5 == 0:
        made["code"] = str(number) if number % 2 else number
    return made


for begin in range(0, COUNT, 10_000):
    send([event(number) for number in range(begin, begin + 10_000)])
    if begin == 50_000:
        ask("/api/v1/flush", "POST", {})
send([{"id": "last", "timestamp": START + COUNT, "level": "info", "message": "snow ☃ 🦆 \"quoted\"\nline", "big": 2**70, "n": None}])

said = export("shop.parquet")
check("100,001 events" in said, "the command says how many events there are")
data = duckdb.connect()
data.execute("SET TimeZone = 'UTC'")


def one(text):
    """The first row of an answer."""
    return data.execute(text).fetchone()


types = dict(data.execute("SELECT column_name, column_type FROM (DESCRIBE FROM 'shop.parquet')").fetchall())
expected = {
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "received": "TIMESTAMP WITH TIME ZONE",
    "id": "VARCHAR",
    "user": "VARCHAR",
    "level": "VARCHAR",
    "message": "VARCHAR",
    "duration_ms": "DOUBLE",
    "n": "BIGINT",
    "paid": "BOOLEAN",
    "order.id": "BIGINT",
    "order.currency": "VARCHAR",
    "code": "VARCHAR",
    "_rest": "VARCHAR",
}
check({name: types.get(name) for name in expected} == expected, "every key has a column of its type")
check(one("SELECT count(*), count(DISTINCT id) FROM 'shop.parquet'") == (COUNT + 1, COUNT + 1), "every event is there once")
total = COUNT * (COUNT - 1) // 2
check(one("SELECT sum(n), sum(\"order.id\") FROM 'shop.parquet'") == (total, total), "whole numbers are exact")
check(one("SELECT sum(duration_ms) FROM 'shop.parquet'") == (total / 4,), "floats are exact")
check(one("SELECT count(*) FROM 'shop.parquet' WHERE paid") == (COUNT // 2,), "truths are truths")
check(one("SELECT count(*) FROM 'shop.parquet' WHERE \"order.currency\" = '¥'") == (33_334,), "texts are UTF-8")
check(
    one(f"SELECT count(*) FROM 'shop.parquet' WHERE epoch_us(timestamp) - {START} = n") == (COUNT,),
    "times have their microseconds",
)
check(
    one("SELECT count(*), sum(TRY_CAST(code AS BIGINT)) FROM 'shop.parquet' WHERE code IS NOT NULL")
    == (COUNT // 5, sum(range(0, COUNT, 5))),
    "a key of two types is one column of texts",
)
tags = one("SELECT json_extract(_rest, '$.tags') FROM 'shop.parquet' WHERE n = 7000")
check(json.loads(tags[0]) == ["a", 7000, {"ü": None}], "an array is in the overflow as JSON")
message, rest = one("SELECT message, _rest FROM 'shop.parquet' WHERE id = 'last'")
check(message == "snow ☃ 🦆 \"quoted\"\nline", "a text comes back as it was sent")
check(json.loads(rest) == {"big": 2**70, "n": None}, "what has no column is in the overflow")
check(
    one("SELECT bool_and(coalesce(later >= timestamp, true)) FROM (SELECT timestamp, lead(timestamp) OVER () AS later FROM 'shop.parquet')") == (True,),
    "the oldest event comes first",
)
with open("query.sql") as file:
    levels = data.execute(file.read()).fetchall()
check([(row[0], row[1]) for row in levels] == [("error", COUNT // 10), ("info", COUNT - COUNT // 10 + 1)], "the query of the page")

export("some.parquet", "level:error", "-c", "n", "-c", "order", "-c", "tags", "--filter", "n<1000")
columns = [row[0] for row in data.execute("DESCRIBE FROM 'some.parquet'").fetchall()]
check(columns == ["n", "order.currency", "order.id", "tags", "_rest"], "chosen columns, and no others")
found = one("SELECT count(*), max(n), min(tags) FROM 'some.parquet'")
check(found[:2] == (100, 990) and json.loads(found[2]) == ["a", 0, {"ü": None}], "a search and a filter")
export("none.parquet", "user:nobody")
check(one("SELECT count(*) FROM 'none.parquet'") == (0,), "a file of no events")
