import subprocess

import app
from everlog_check import check, wait_for

app.main()

error, = wait_for(1, event="exception")
exception = error["exception"]
check((exception["type"], exception["message"]) == ("Stock", "no stock: 日本"), "type and message of the exception")
check([one["type"] for one in exception["chain"]] == ["Stock", "KeyError"], "its cause after it")
raised = exception["frames"][-1]
check(raised["function"] == "pay" and raised["file"].endswith("app.py") and isinstance(raised["line"], int), "where it was raised, last of the frames")
check((error["user"], error["level"], error["method"]) == ("7", "error", "POST"), "user, level and method")
check(error["url"].endswith("/pay/7?m=mk1&q=h%C3%A9") and error["path"] == "/pay/7", "URL with its query")
check((error["request_id"], error["user_agent"]) == ("req-pyramid-1", "shopper/1.0"), "request id and user agent")
check((error["release"], error["environment"], error["source"]) == ("1.4.2", "production", "pay"), "release, environment and route")
request = error["rollbar"]["request"]
check(request["GET"] == {"m": "mk1", "q": "hé"} and request["params"] == {"n": "7"}, "arguments, letters included")
check("secret" not in str(error) and request["POST"]["sku"] == "tea", "the form, without its password")
check(error["rollbar"]["uuid"] == error["id"], "the id is Rollbar's own")

messages = {one["message"]: one for one in wait_for(2, event="message")}
odd = messages["cart is odd"]
check(odd["level"] == "warning" and odd["rollbar"]["custom"] == {"total": 9.75, "big": 2**60, "lines": [{"sku": "tea"}]}, "a message with its data")
check(messages["paying 7 failed"]["logger"] == "shop.pay", "what `logging` says, with its logger")

subprocess.run(["sh", "-e", "deploy.sh"], check=True, stdout=subprocess.DEVNULL)
deploy, = wait_for(1, event="deploy")
check((deploy["release"], deploy["environment"], deploy["user"]) == ("1.4.2", "production", "bob"), "a deploy")
