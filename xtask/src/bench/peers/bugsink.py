"""Bugsink as its documentation sets it up on one server: gunicorn, its background workers, SQLite.

Arguments: an empty folder, a port. Says `ready KEY` once it takes errors for project 1; then answers each line on its
standard input with the number of errors that it has digested. Ends with its input.
"""

import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

folder, port = pathlib.Path(sys.argv[1]), sys.argv[2]
programs = pathlib.Path(sys.executable).parent
environment = dict(os.environ, PYTHONPATH=str(folder), DJANGO_SETTINGS_MODULE="bugsink_conf")


def run(program, *arguments):
    said = subprocess.run([programs / program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if said.returncode:
        sys.exit(f"{program} {' '.join(arguments)}: {said.stdout}{said.stderr}")


run("bugsink-create-conf", "--template", "singleserver", "--host", "127.0.0.1", "--port", port,
    "--base-dir", str(folder), "-o", "bugsink_conf.py")
with open(folder / "bugsink_conf.py", "a") as file:
    # Its limits are for a shared installation; here it may take what it can.
    file.write(f"""
BUGSINK["BASE_URL"] = "http://127.0.0.1:{port}"
BUGSINK.update({{name: 1_000_000_000 for name in (
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES", "MAX_EVENTS_PER_PROJECT_PER_HOUR", "MAX_EVENTS_PER_PROJECT_PER_MONTH",
    "MAX_EVENTS_PER_5_MINUTES", "MAX_EVENTS_PER_HOUR", "MAX_EVENTS_PER_MONTH")}})
""")
run("bugsink-manage", "migrate")
run("bugsink-manage", "migrate", "snappea", "--database=snappea")
run("bugsink-manage", "shell", "-c",
    "from projects.models import Project; "
    "Project.objects.create(name='bench', retention_max_event_count=1000000000, sentry_key='0123456789abcdef0123456789abcdef')")
log = open(folder / "output.log", "w")
servers = [
    subprocess.Popen([programs / "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "4", "--timeout", "60",
                      "bugsink.wsgi"], cwd=folder, env=environment, stdout=log, stderr=log),
    subprocess.Popen([programs / "bugsink-runsnappea"], cwd=folder, env=environment, stdout=log, stderr=log),
]
try:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.1)
    print("ready 0123456789abcdef0123456789abcdef", flush=True)
    for _ in sys.stdin:
        with sqlite3.connect(f"file:{folder}/db.sqlite3?mode=ro", uri=True, timeout=60) as database:
            count, = database.execute("SELECT digested_event_count FROM projects_project WHERE id = 1").fetchone()
        print(count, flush=True)
finally:
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait()
