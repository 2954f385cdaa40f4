"""What the clients of Elasticsearch 7, 8 and 9 have in common: documents written and read, and errors."""

import json
import os
import runpy

import elasticsearch
from elasticsearch import helpers
from everlog_check import check, events, wait_for

MAJOR = elasticsearch.__version__[0]
URL = os.environ["EVERLOG_ES_URL"]


def client(token=None, **more):
    """A client as the page has it; with no token, that of a program on the same machine."""
    if token:
        more["api_key"] = token
    return elasticsearch.Elasticsearch(URL, **more)


def body(response):
    return getattr(response, "body", response)


def the_snippet():
    runpy.run_path("write.py")
    (order, *_) = wait_for(1, "shop", event="order_paid")
    check(order["amount"] == 12.5 and order["user"] == {"id": 42}, "the document of the page arrived as it was sent")
    check(events("shop", user="42")[0]["id"] == order["id"], "and is found by its user")


def one_by_one(es):
    check(es.ping() and es.info()["tagline"] == "You Know, for Search", "the client takes Everlog for Elasticsearch")
    document = {
        "@timestamp": "2026-11-20T16:02:14.525Z",
        "message": "Grüße, 世界 🦀",
        "nested": {"list": [1, 2.5, None, {"deep": [[True]]}], "empty": {}, "text": "a\nb\t\"c\""},
        "int": 2**53 + 1,
        "float": 0.1,
        "bool": False,
        "null": None,
        "flat.key": "x",
    }
    made = body(es.index(index="one", id="a/b é", document=document))
    check(made["result"] == "created" and made["_id"] == "a/b é", "index with an id of any characters")
    got = body(es.get(index="one", id="a/b é"))
    check(got["_source"] == document, "get gives back what was sent, types and nesting and all")
    check(got["found"] and got["_index"] == "one", "and says whose it is")
    again = body(es.index(index="one", id="a/b é", document={"other": 1}))
    check(again["result"] == "noop", "what is there under an id stays as it was")
    auto = body(es.index(index="one", document={"n": 1}))["_id"]
    source = body(es.get(index="one", id=auto))["_source"]
    check(source["n"] == 1 and source["@timestamp"].endswith("Z"), "a document without a time gets one")
    check(bool(es.exists(index="one", id=auto)) and not es.exists(index="one", id="nope"), "exists")
    wanted = {"ids": ["a/b é", "nope", auto]}
    docs = body(es.mget(index="one", **({"body": wanted} if MAJOR == 7 else wanted)))["docs"]
    check([doc["found"] for doc in docs] == [True, False, True], "mget")
    big = "m" * 1_000_000
    es.index(index="one", id="big", document={"field": big, "more": list(range(100))})
    check(body(es.get(index="one", id="big"))["_source"]["field"] == big, "a field of 1 MB")


def errors(es):
    es.create(index="one", id="only", document={"n": 1})
    try:
        es.create(index="one", id="only", document={"n": 2})
        check(False, "a second create is refused")
    except elasticsearch.ConflictError as error:
        check("version_conflict_engine_exception" in str(error), "ConflictError")
    for index in ("one", "no-such-index"):
        try:
            es.get(index=index, id="nope")
            check(False, "what is not there is not found")
        except elasticsearch.NotFoundError:
            check(True, f"NotFoundError for a document of {index}")
    try:
        es.delete(index="one", id="only")
        check(False, "delete is refused")
    except elasticsearch.ElasticsearchException if MAJOR == 7 else elasticsearch.ApiError as error:
        check("not possible" in str(error), "delete is refused, and says why")
    try:
        client(token="00000000-1111-2222-3333-444444444444").index(index="one", document={})
        check(False, "an unknown token is refused")
    except elasticsearch.AuthenticationException as error:
        check("security_exception" in str(error), "AuthenticationException")
    try:
        client(token=os.environ["EVERLOG_TOKEN"]).indices.delete(index="one")
        check(False, "a token that may write removes nothing")
    except elasticsearch.AuthorizationException:
        check(bool(es.exists(index="one", id="only")), "AuthorizationException, and nothing is gone")


def bulks(es):
    def actions(count, start=0):
        for n in range(start, start + count):
            yield {"_index": "bulk", "_id": f"n{n}", "n": n, "text": f"line {n}", "x": n if n % 2 else str(n)}

    check(helpers.bulk(es, actions(1000), refresh="wait_for") == (1000, []), "bulk of 1,000 documents, types mixed")
    check(helpers.bulk(es, actions(1000)) == (1000, []), "the same again is no error")
    rows = body(es.cat.indices(index="bulk", format="json"))
    check(rows[0]["docs.count"] == "1000", "and is stored once")
    seen = [ok for ok, _ in helpers.streaming_bulk(es, actions(500, 1000), chunk_size=100)]
    check(len(seen) == 500 and all(seen), "streaming_bulk")
    created = [action | {"_op_type": "create"} for action in actions(3, 1499)]
    done, failed = helpers.bulk(es, created, raise_on_error=False)
    check(done == 2 and failed[0]["create"]["status"] == 409, "create of what is there: 409 for that item alone")
    removals = [{"_op_type": "delete", "_index": "bulk", "_id": "n1"}, {"_op_type": "update", "_index": "bulk", "_id": "n1", "doc": {"n": 0}}]
    done, failed = helpers.bulk(es, removals, raise_on_error=False)
    check((done, len(failed)) == (0, 2), "delete and update of a document are refused")
    check(body(es.get(index="bulk", id="n1"))["_source"]["n"] == 1, "and change nothing")
    lines = []
    for n in range(1000):
        lines.append(json.dumps({"index": {"_index": "mixed", "_id": str(n)}}))
        lines.append('{"n": ' if n % 100 == 7 else json.dumps({"n": n}))
    sent = "\n".join(lines) + "\n"
    answer = body(es.bulk(body=sent) if MAJOR < 9 else es.bulk(operations=sent))
    statuses = [item["index"]["status"] for item in answer["items"]]
    check(answer["errors"] and len(statuses) == 1000, "1,000 items with broken ones have 1,000 answers")
    check([at for at, status in enumerate(statuses) if status != 201] == list(range(7, 1000, 100)), "in order, the rest kept")
    check(len(events("mixed")) == 990, "and found")


def indices(es):
    check(body(es.indices.create(index="made"))["acknowledged"], "an index is made")
    try:
        es.indices.create(index="made")
        check(False, "it is made once")
    except (elasticsearch.RequestError if MAJOR == 7 else elasticsearch.BadRequestError) as error:
        check("resource_already_exists_exception" in str(error), "resource_already_exists_exception")
    es.index(index="made", document={"s": "a", "n": 1, "f": 1.5, "b": True, "o": {"k": "v"}}, refresh=True)
    mapping = body(es.indices.get_mapping(index="made"))["made"]["mappings"]["properties"]
    kinds = [mapping[name]["type"] for name in ("s", "n", "f", "b", "@timestamp")]
    check(kinds == ["text", "long", "double", "boolean", "date"], "the mapping tells the types")
    check("made" in body(es.indices.get(index="*")), "indices.get")
    check(bool(es.indices.exists(index="made")) and not es.indices.exists(index="unmade"), "indices.exists")
    fields = body(es.field_caps(index="made", fields="*"))["fields"]
    check("long" in fields["n"] and "keyword" in fields["s.keyword"], "field_caps")
    check(body(es.cluster.health())["status"] == "green", "cluster.health")
    check("made" in str(es.cat.indices()), "cat.indices as text")
    check(not es.indices.exists_alias(name="none"), "no alias is there")
    admin = client(token=os.environ["EVERLOG_ADMIN_TOKEN"])
    check(body(admin.indices.delete(index="made"))["acknowledged"], "an administrator removes an index")
    check(not es.indices.exists(index="made"), "and it is gone")
    check(len(events("default", stream="AUDIT", event="log_removed")) == 1, "which is written down")


def run():
    the_snippet()
    es = client(http_compress=True)
    for part in (one_by_one, errors, bulks, indices):
        part(es)
