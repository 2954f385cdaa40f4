"""Loads one engine that lives in a Python process, asks it, and prints what that took as one line of JSON."""

import json
import os
import resource
import statistics
import sys
import time

COLUMNS = """
    id UUID, timestamp DateTime64(6, 'UTC'), stream LowCardinality(String), level LowCardinality(String),
    event LowCardinality(String), logger LowCardinality(String), user String, ip String, request_id UUID,
    method LowCardinality(String), path String, status UInt16, duration_ms Float64, user_agent LowCardinality(String),
    message String, object_type LowCardinality(String), object_id UInt64"""

# Blocks without the user, the request or the word are not read.
INDEXES = """,
    INDEX of_user user TYPE bloom_filter GRANULARITY 1, INDEX of_request request_id TYPE bloom_filter GRANULARITY 1,
    INDEX of_words message TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1"""


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def chdb(plan):
    from chdb import session

    engine = session.Session(plan["folder"])
    engine.query("CREATE DATABASE IF NOT EXISTS day ENGINE = Atomic")
    engine.query(f"CREATE TABLE day.bench ({COLUMNS}{INDEXES}) ENGINE = MergeTree ORDER BY timestamp")
    engine.query("USE day")
    lines, columns = plan["lines"].replace("'", "\\'"), COLUMNS.replace("'", "\\'")
    before, started = cpu_seconds(), time.perf_counter()
    settings = "SETTINGS date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1"
    engine.query(f"INSERT INTO day.bench SELECT * FROM file('{lines}', JSONEachRow, '{columns}') {settings}")
    took, cpu = time.perf_counter() - started, cpu_seconds() - before
    engine.query("OPTIMIZE TABLE day.bench FINAL")
    stored = engine.query(
        "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND table = 'bench'", "JSONEachRow"
    )
    version = json.loads(engine.query("SELECT version() AS version", "JSONEachRow").bytes())["version"]

    def ask(sql):
        text = engine.query(sql.replace("FROM bench", "FROM day.bench"), "JSONEachRow").bytes()
        return text.count(b"\n")

    result = {
        "version": version,
        "events_per_s": plan["events"] / took,
        "cpu_us": cpu * 1e6 / plan["events"],
        "bytes_per_event": int(json.loads(stored.bytes())["bytes"]) / plan["events"],
    }
    return result, ask


def duckdb(plan):
    import duckdb

    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    files = json.dumps(plan["segments"]).replace('"', "'")
    engine.execute(f"CREATE VIEW bench AS SELECT * FROM read_parquet({files}, union_by_name = true)")
    return {"version": duckdb.__version__}, lambda sql: len(engine.execute(sql).fetchall())


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    result, ask = {"chdb": chdb, "duckdb": duckdb}[plan["engine"]](plan)
    result["questions"] = {}
    for question in plan["questions"]:
        times = []
        for _ in range(plan["runs"] + 1):
            started = time.perf_counter()
            rows = ask(question["sql"])
            times.append((time.perf_counter() - started) * 1000)
        if rows != question["rows"]:
            sys.exit(f"question {question['name']} has {rows} rows instead of {question['rows']}")
        result["questions"][question["name"]] = statistics.median(times[1:])
    result["memory_peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result), flush=True)
    # What the engines do at their end is not of interest.
    os._exit(0)


main()
