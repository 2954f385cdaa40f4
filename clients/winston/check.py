"""winston with winston-elasticsearch."""

import subprocess

from everlog_check import check, wait_for

with open("app.mjs", encoding="utf8") as file:
    app = file.read()
with open("more.mjs", "w", encoding="utf8") as more:
    more.write(app)
    more.write("""
for (let n = 0; n < 300; n++) logger.debug(`line ${n}`, { n, mixed: n % 2 ? n : String(n), text: 'Grüße 世界 🦀' })
logger.warn('large', { deep: { list: [1, 2.5, null, { a: [] }] }, big: 'b'.repeat(1_000_000) })
await new Promise((done) => { logger.on('finish', done); logger.end() })
// The stream hands its lines over one by one, in later turns: flushing once would leave some behind.
for (let n = 0; n < 30; n++) { await everlog.flush(); await new Promise((done) => setTimeout(done, 50)) }
process.exit(0)
""")
said = subprocess.run(["node", "more.mjs"], check=True, capture_output=True, text=True)
check(said.stderr == "", "the transport reports no error")
(paid,) = wait_for(1, "shop", message="paid by card")
check(paid["fields"] == {"event": "order_paid", "amount": 12.5, "user": {"id": 42}}, "what the line carries, as it was sent")
check((paid["severity"], paid["level"]) == ("info", "info"), "the severity is the level")
check(paid["timestamp"][:23] == paid["@timestamp"][:23], "@timestamp is the time")
(error,) = wait_for(1, "shop", level="error")
check(error["message"] == "the total is missing" and error["fields"]["order"] == 17, "an error, found by its level")
lines = wait_for(300, "shop", level="debug")
check(sorted(line["fields"]["n"] for line in lines) == list(range(300)), "300 lines, each once")
check({type(line["fields"]["mixed"]) for line in lines} == {int, str}, "a key of two types")
check(all(line["fields"]["text"] == "Grüße 世界 🦀" for line in lines), "letters")
(large,) = wait_for(1, "shop", level="warning")
check(len(large["fields"]["big"]) == 1_000_000, "a field of 1 MB")
check(large["fields"]["deep"] == {"list": [1, 2.5, None, {"a": []}]}, "nesting")
