import json
import os
import subprocess
import urllib.parse
import urllib.request

from everlog_check import check, events, wait_for

URL = os.environ["EVERLOG_URL"]


def post(path, body, kind="text/plain;charset=UTF-8"):
    request = urllib.request.Request(URL + path, body.encode(), {"Content-Type": kind, "Origin": "https://shop.example", "User-Agent": "Firefox"})
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.headers, answer.read()


# The token may be for the log default alone; the measurement id then leads nowhere else.
subprocess.run(["sh", "-e", "purchase.sh"], check=True)
found = events("default", event="purchase") + events("web", event="purchase")
check(len(found) == 1, "the purchase is there once")
purchase, = found
check((purchase["user"], purchase["session"], purchase["source"]) == ("7", "99", "ga4"), "user, session, source")
check(purchase["ga4"]["params"]["items"] == [{"item_id": "tea", "price": 6.25, "quantity": 2}], "items as sent")

shared = urllib.parse.urlencode({"v": "2", "tid": "G-SHOP", "cid": "1467.1767", "sid": "99", "dl": "https://shop.example/grün?m=1", "dr": "https://search.example/", "dt": "Tee"})
status, headers, body = post("/g/collect?" + shared, "en=page_view&_et=5\r\nen=scroll&epn.pct=90&ep.area=main")
check((status, body) == (204, b""), "204 and nothing")
check((headers["Access-Control-Allow-Origin"], headers["Access-Control-Allow-Credentials"]) == ("https://shop.example", "true"), "a page of another site may send, with credentials")
view, = wait_for(1, "web", event="page_view")
check((view["stream"], view["url"], view["path"], view["referrer"], view["title"], view["user"], view["user_agent"]) == ("VIEW", "https://shop.example/grün?m=1", "/grün", "https://search.example/", "Tee", "1467.1767", "Firefox"), "a page view")
scroll, = wait_for(1, "web", event="scroll")
check(scroll["ga4"]["params"] | {"page_location": "", "page_referrer": "", "page_title": "", "session_id": ""} == {"pct": 90, "area": "main", "page_location": "", "page_referrer": "", "page_title": "", "session_id": ""}, "numbers and texts")
status, _, body = post("/debug/mp/collect?measurement_id=G-SHOP", json.dumps({"client_id": "1", "events": [{"name": "9"}]}), "application/json")
check(json.loads(body)["validationMessages"][0]["validationCode"] == "NAME_INVALID", "what is wrong with a request")
