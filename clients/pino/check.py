"""pino with pino-elasticsearch, as a stream of the logger."""

import subprocess

from everlog_check import check, events, wait_for

app = open("app.mjs", encoding="utf8").read()
with open("more.mjs", "w", encoding="utf8") as more:
    more.write(app)
    more.write("""
for (let n = 0; n < 1000; n++) logger.debug({ n, mixed: n % 2 ? n : String(n), text: 'Grüße 世界 🦀', 'flat.key': n }, `line ${n}`)
logger.warn({ deep: { list: [1, 2.5, null, { a: [] }] }, big: 'b'.repeat(1_000_000) }, 'large')
""")
said = subprocess.run(["node", "more.mjs"], check=True, capture_output=True, text=True)
check(said.stderr == "", "the stream reports no error")
(paid,) = wait_for(1, "shop", event="order_paid")
check(paid["msg"] == "paid by card" and paid["amount"] == 12.5 and paid["user"] == {"id": 42}, "the line as it was sent")
check(events("shop", user="42", level="info")[0]["id"] == paid["id"], "found by its level's name and its user")
check(isinstance(paid["level"], int) and paid["level"] == 30, "the level stays the number that was sent")
check(paid["timestamp"][:4].startswith("20") and paid["timestamp"] <= paid["received"], "its time is pino's")
(error,) = wait_for(1, "shop", level="error")
check("TypeError" in error["err"]["type"] and "app" in error["err"]["stack"] or "more.mjs" in error["err"]["stack"], "the error with its stack")
lines = wait_for(1000, "shop", level="debug", _limit=2000)
check(sorted(line["n"] for line in lines) == list(range(1000)), "1,000 lines, each once")
check({type(line["mixed"]) for line in lines} == {int, str}, "a key of two types")
check(all(line["text"] == "Grüße 世界 🦀" and line["flat.key"] == line["n"] for line in lines), "letters and flat keys")
(large,) = wait_for(1, "shop", level="warning")
check(len(large["big"]) == 1_000_000 and large["deep"] == {"list": [1, 2.5, None, {"a": []}]}, "a field of 1 MB, and nesting")
