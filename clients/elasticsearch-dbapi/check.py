"""SQLAlchemy over elasticsearch-dbapi: tables, columns, groups, and more rows than a page has."""

import datetime
import os

import elasticsearch
from elasticsearch import helpers
from everlog_check import check
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, inspect, select, text

URL = os.environ["EVERLOG_ES_URL"]
documents = elasticsearch.Elasticsearch(URL)
actions = [
    {"_index": "flows", "@timestamp": f"2024-01-02T{n % 24:02}:00:00Z", "service": ["api", "web"][n % 2], "n": n, "user": {"name": f"u{n % 5}"}}
    for n in range(12000)
]
check(helpers.bulk(documents, actions)[0] == 12000, "12000 documents are there")

engine = create_engine(URL.replace("http://", "elasticsearch+http://") + "/")
look = inspect(engine)
check("flows" in look.get_table_names(), "the log is a table")
columns = {column["name"]: str(column["type"]) for column in look.get_columns("flows")}
check({"@timestamp", "service", "n", "user.name"} <= set(columns), f"with its columns: {sorted(columns)}")
with engine.connect() as connection:
    rows = connection.execute(text("SELECT service, count(*) AS k FROM flows GROUP BY service ORDER BY service")).fetchall()
    check([tuple(row) for row in rows] == [("api", 6000), ("web", 6000)], "groups")
    flows = Table("flows", MetaData(), Column("service", String), Column("n", Integer))
    question = select([flows.c.service, func.count().label("k")]).where(flows.c.n >= 11990).group_by(flows.c.service).order_by("k")
    check([tuple(row) for row in connection.execute(question)] == [("api", 5), ("web", 5)], "as SQLAlchemy writes them")
    everything = connection.execute(text("SELECT n FROM flows")).fetchall()
    check(sorted(row[0] for row in everything) == list(range(12000)), "more rows than fit into a page, each once")
    first = connection.execute(text('SELECT "@timestamp", user.name FROM flows WHERE n = 3 LIMIT 1')).fetchone()
    check(isinstance(first[0], datetime.datetime) and first[0].hour == 3 and first[1] == "u3", f"times are times, paths are names: {first}")
    try:
        connection.execute(text("SELECT nothing FROM flows"))
        check(False, "an unknown column is refused")
    except Exception as error:
        check("nothing" in str(error), "an unknown column is refused")
