"""A Django application that logs by django-structlog, twice: at the level INFO, and at WARNING."""

import os
import re
import subprocess

from everlog_check import check, events, wait_for

os.symlink(os.environ["EVERLOG_BINARY"], "everlog") if not os.path.exists("everlog") else None
environment = os.environ | {"PATH": os.getcwd() + ":" + os.environ["PATH"]}
environment.pop("EVERLOG_DATA")
for digits, level in [("678", "INFO"), ("9ab", "WARNING")]:
    run = {"DIGITS": digits, "LOG_LEVEL": level}
    ran = subprocess.run(["sh", "run.sh"], capture_output=True, text=True, env=environment | run)
    check(ran.returncode == 0, f"everlog import took the lines of {level}: {ran.stderr[-2000:]}")

refused = wait_for(3, request_id="68b46bf0-a5b8-43f7-a550-e37dee617bff")
check([event["event"] for event in refused] == ["request_started", "api.handled_exception", "request_finished"], "the first call: exactly three events, found by its request_id")
started, handled, finished = refused
check((started["request"], started["method"], started["path"], started["user_agent"], started["level"]) == ("POST /api/v2/objects?m=1", "POST", "/api/v2/objects", "curl/8.0", "info"), "request_started")
check((handled["title"], handled["code"], handled["status"], handled["data"], handled["level"], handled["user_id"]) == ("Authentication credentials were not provided.", "not_authenticated", 401, {"detail": "Authentication credentials were not provided."}, "error", None), "api.handled_exception, as it was written")
check("exception" not in handled, "no exception where there was none")
check((finished["code"], finished["status"], finished["level"], finished["stream"], finished["ip"]) == (401, 401, "warning", "WARN", "127.0.0.1"), "request_finished: 401 is a warning")

made = wait_for(10, request_id="78b46bf0-a5b8-43f7-a550-e37dee617bff")
names = [event["event"] for event in made]
for name in ["task_started", "task_succeeded"]:
    check(names.count(name) == 2, f"{name} twice, with the request_id of the request")
check(len({event["child_task_id"] for event in made if event["event"] == "task_enqueued"}) == 2, "two tasks enqueued")
created, = [event for event in made if event["event"] == "object_created"]
said = ("object_uuid", "objecttype_uuid", "objecttype_version", "token_identifier", "token_application")
expected = ("1734afac-4628-446d-b344-f39b42f48bd9", "b427ef84-189d-43aa-9efd-7bb2c459e281", 1, "application-test", "Application (test)")
check(tuple(created[key] for key in said) == expected, "object_created")
inner, = [event for event in made if event["event"] == "in_the_task"]
outer = next(event for event in made if event["event"] == "task_started" and event.get("task") == "shop.first")
check(inner["parent_task_id"] == outer["task_id"], "the parent of the task's task")
check(len(wait_for(1, task_id=inner["task_id"])) >= 1, "found by task_id")

failed, = wait_for(1, request_id="88b46bf0-a5b8-43f7-a550-e37dee617bff", event="request_failed")
check((failed["status"], failed["level"], failed["stream"]) == (500, "error", "ERROR"), "request_failed")
check([one["exc_type"] for one in failed["exception"]] == ["ValueError", "KeyError"], "the exception, as it was written")
check(wait_for(1, **{"exception.type": "ValueError", "exception.message~": "no such sku é"})[0]["id"] == failed["id"], "found by its type and message")

forged = wait_for(3, request="POST /api/v2/objects?m=2")
ids = {event["request_id"] for event in forged}
check(len(ids) == 2 and all(re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", one) for one in ids), f"an X-Request-ID with a line break is replaced by a new uuid: {ids}")

quiet = wait_for(2, request_id="98b46bf0-a5b8-43f7-a550-e37dee617bff")
check([event["event"] for event in quiet] == ["api.handled_exception", "request_finished"], "at WARNING: no request_started")
check((quiet[1]["code"], quiet[1]["level"]) == (401, "warning"), "request_finished with 401")
check(events(request_id="a8b46bf0-a5b8-43f7-a550-e37dee617bff") == [], "no object_created, nothing of its tasks")
check([event["event"] for event in events(request_id="b8b46bf0-a5b8-43f7-a550-e37dee617bff")] == ["request_failed"], "but what failed")
check(len(wait_for(2, message="a line that is no JSON")) == 2, "a line that is no JSON is an event too")
