import subprocess

from everlog_check import check, wait_for

subprocess.run(["sh", "-e", "send.sh"], check=True)
one, = wait_for(1, event="order_placed")
check(one["order"] == {"id": 17, "total": 9.75, "items": ["tea", "grün"]}, "nesting, numbers and letters as sent")
check((one["user"], one["stream"]) == ("7", "INFO"), "user and stream")
lines = wait_for(2, source="nightly")
check([line["message"] for line in lines] == ["begin", "end"], "one object a line, in order")
check(lines[1]["duration_ms"] == 1250.5, "a number with a fraction")
