"""What the clients of Elasticsearch 7, 8 and 9 have in common: questions."""

import os

import elasticsearch
from elasticsearch import helpers
from everlog_check import check

MAJOR = elasticsearch.__version__[0]
INDEX = "flows"


def body(response):
    return getattr(response, "body", response)


def asked(query):
    return {"body": {"query": query}} if MAJOR == 7 else {"query": query}


def fill(es):
    actions = [
        {
            "_index": INDEX,
            "_id": str(n),
            "@timestamp": f"2024-01-{1 + n // 100:02}T{n % 24:02}:00:00Z",
            "service": ["api", "web", "db"][n % 3],
            "n": n,
            "ok": n % 2 == 0,
            "user": {"name": f"user {n % 7}"},
            "message": f"GET /orders/{n} " + ("timed out" if n % 50 == 0 else "done"),
        }
        for n in range(1000)
    ]
    check(helpers.bulk(es, actions, refresh="wait_for")[0] == 1000, "1000 documents are taken")


def hits(es):
    found = body(es.search(index=INDEX, query={"match": {"message": "timed"}}, sort=[{"n": "desc"}], size=3))
    check(found["hits"]["total"] == {"value": 20, "relation": "eq"}, "match counts")
    check([hit["_source"]["n"] for hit in found["hits"]["hits"]] == [950, 900, 850], "and sorts")
    check(found["hits"]["hits"][0]["sort"] == [950], "with the values sorted by")
    query = {"bool": {"filter": [{"term": {"service.keyword": "db"}}, {"range": {"n": {"gte": 990}}}]}}
    found = body(es.search(index="fl*", query=query, size=10))
    check(sorted(hit["_id"] for hit in found["hits"]["hits"]) == ["992", "995", "998"], "bool, term, range")
    check(body(es.count(index=INDEX, **asked({"term": {"ok": True}})))["count"] == 500, "count")
    check(body(es.search(index=INDEX, q="n:12"))["hits"]["hits"][0]["_id"] == "12", "?q=")
    answers = body(es.msearch(**{"body" if MAJOR == 7 else "searches": [{"index": INDEX}, {"size": 0}, {"index": "nowhere"}, {}]}))
    check([answer["status"] for answer in answers["responses"]] == [200, 404], "msearch")
    try:
        es.search(index=INDEX, query={"foo": {}})
        check(False, "an unknown query is refused")
    except (elasticsearch.RequestError if MAJOR == 7 else elasticsearch.BadRequestError) as error:
        check("unknown query [foo]" in str(error), "an unknown query is refused")


def pages(es):
    scanned = [hit["_id"] for hit in helpers.scan(es, index=INDEX, size=300, query={"query": {"term": {"service": "api"}}})]
    check(len(scanned) == len(set(scanned)) == 334, "scan finds each once")
    point = body(es.open_point_in_time(index=INDEX, keep_alive="1m"))["id"]
    es.index(index=INDEX, id="late", document={"n": -1, "@timestamp": "2024-01-01T00:00:00Z"})
    seen, after = [], None
    while True:
        more = {"search_after": after} if after else {}
        found = body(es.search(pit={"id": point, "keep_alive": "1m"}, sort=[{"@timestamp": "desc"}], size=170, **more))
        point = found["pit_id"]
        if not found["hits"]["hits"]:
            break
        seen += [hit["_id"] for hit in found["hits"]["hits"]]
        after = found["hits"]["hits"][-1]["sort"]
    check(len(seen) == len(set(seen)) == 1000 and "late" not in seen, "a point in time is paged to its end and sees nothing new")
    closed = es.close_point_in_time(**{"body": {"id": point}} if MAJOR == 7 else {"id": point})
    check(body(closed)["succeeded"], "and closed")


def aggregations(es):
    tree = {
        "days": {
            "date_histogram": {"field": "@timestamp", "calendar_interval": "day"},
            "aggs": {"services": {"terms": {"field": "service.keyword"}, "aggs": {"n": {"stats": {"field": "n"}}}}},
        },
        "users": {"cardinality": {"field": "user.name.keyword"}},
        "spread": {"percentiles": {"field": "n", "percents": [50]}},
        "good": {"filter": {"term": {"ok": True}}},
    }
    found = body(es.search(index=INDEX, size=0, query={"range": {"n": {"gte": 0}}}, aggs=tree))["aggregations"]
    day = found["days"]["buckets"][0]
    check((day["key"], day["key_as_string"], day["doc_count"]) == (1704067200000, "2024-01-01T00:00:00.000Z", 100), "days")
    services = {bucket["key"]: bucket["n"] for bucket in day["services"]["buckets"]}
    check(services["api"] == {"count": 34, "min": 0.0, "max": 99.0, "avg": 49.5, "sum": 1683.0}, "with services with numbers below")
    check((found["users"]["value"], found["good"]["doc_count"]) == (7, 500), "cardinality and filter")
    check(abs(found["spread"]["values"]["50.0"] - 499.5) < 3, "percentiles")


def run():
    es = elasticsearch.Elasticsearch(os.environ["EVERLOG_ES_URL"])
    for part in (fill, hits, pages, aggregations):
        part(es)
