"""What the checks of clients share: asking Everlog what has arrived, and saying what holds."""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 60


def ask(path, method="GET", body=None, token=None):
    """The answer to a request with the administrator's token, read as JSON."""
    request = urllib.request.Request(os.environ["EVERLOG_URL"] + path, method=method)
    request.add_header("Authorization", "Bearer " + (token or os.environ["EVERLOG_ADMIN_TOKEN"]))
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def events(log="default", **query):
    """The events of a log that pass these conditions of the URL grammar, oldest first."""
    query = {"_sort": "timestamp", "_limit": 1000} | query
    try:
        return ask(f"/api/v1/logs/{log}/events?" + urllib.parse.urlencode(query))
    except urllib.error.HTTPError as error:
        # No such log, or no event with one of the columns: not yet, perhaps.
        if error.code == 404 or (error.code == 400 and b"unknown_column" in error.read()):
            return []
        raise


def wait_for(count, log="default", **query):
    """The same, once there are at least so many."""
    end = time.monotonic() + PATIENCE
    while True:
        found = events(log, **query)
        if len(found) >= count:
            return found
        if time.monotonic() > end:
            check(False, f"{count} events of {log} for {query}, found {len(found)}: {json.dumps(found)[:2000]}")
        time.sleep(0.05)


def check(condition, what):
    """Says that something holds, or ends with what does not."""
    if not condition:
        print("FAILED", what, flush=True)
        caller = sys._getframe(1)
        print(f"  at {caller.f_code.co_filename}:{caller.f_lineno}", flush=True)
        sys.exit(1)
    print("ok ", what, flush=True)
