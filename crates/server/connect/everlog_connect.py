"""Connects a Python application with Everlog: what it logs, and one event for each request that it answers.

Written by `everlog init`; it needs nothing but the standard library of Python 3.8 or later. Nothing here waits for the
network or raises into the application: events go into a bounded queue, and one thread sends them. What it could not
send it sends again under the same ids, so that each event is kept once. When the queue is full, new events are dropped,
and how many is told in the next event.

    import everlog_connect
    app = everlog_connect.connect(app)          # Flask, FastAPI, Starlette, any WSGI or ASGI application, or its factory
    everlog_connect.log("order_placed", user="alice", order={"id": 17})

EVERLOG_URL and EVERLOG_TOKEN say where the server is, when it is not on this machine.
"""

import atexit
import collections
import contextvars
import datetime
import functools
import http.client
import inspect
import json
import logging
import os
import random
import sys
import threading
import time
import traceback
import urllib.parse
import uuid

LOG = "default"
URL = "http://127.0.0.1:7171"

_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "_everlog_has_it"}
# Servers that log each request once more, with its query string.
_ACCESS = frozenset(("werkzeug", "django.server", "gunicorn.access", "hypercorn.access", "uvicorn.access"))
_LEVELS = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))
_AGAIN = (408, 429, 500, 502, 503, 504)
_FRAMES_MAX = 50

# What is known about the request under way: its id, and its user once somebody said so.
_request = contextvars.ContextVar("everlog_request", default=None)


class Sender:
    """A bounded queue, and a thread that empties it."""

    def __init__(self, url=None, token=None, log=None, events_max=10_000, bytes_max=16 << 20):
        url = urllib.parse.urlsplit(url or os.environ.get("EVERLOG_URL") or URL)
        self._secure, self._address = url.scheme == "https", url.netloc.rpartition("@")[2]
        self._path = "%s/api/v1/logs/%s/events" % (url.path.rstrip("/"), urllib.parse.quote(log or LOG, safe=""))
        self._token = token or os.environ.get("EVERLOG_TOKEN")
        self._events_max, self._bytes_max = events_max, bytes_max
        self._begin()
        atexit.register(self.flush, 3)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self):
        # Also in the child of a fork: threads do not live on there, and what is queued is the parent's to send.
        self._changed = threading.Condition()
        self._queue, self._bytes, self._sending, self._dropped = collections.deque(), 0, 0, 0
        self._thread, self._connection, self._complained = None, None, 0.0

    def put(self, event):
        """Takes an event, or drops and counts it. True when it was taken."""
        try:
            event.setdefault("id", str(uuid.uuid4()))
            event.setdefault("timestamp", _now())
            line = _json(event)
            with self._changed:
                if len(self._queue) >= self._events_max or self._bytes + len(line) > self._bytes_max:
                    self._dropped += 1
                    return False
                self._queue.append(line)
                self._bytes += len(line)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="everlog", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
            return True
        except Exception as error:  # Whatever it is: the application goes on.
            self._complain("an event could not be taken: %r" % error)
            return False

    def flush(self, seconds=10):
        """Waits until all is sent, at most so long. True when it is."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._queue or self._sending:
                rest = deadline - time.monotonic()
                if rest <= 0 or self._thread is None:
                    return False
                self._changed.wait(rest)
            return True

    def _run(self):
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                lines, size = [], 0
                while self._queue and len(lines) < 1000 and size < 1 << 20:
                    lines.append(self._queue.popleft())
                    size += len(lines[-1])
                self._bytes -= size
                dropped, self._dropped = self._dropped, 0
                self._sending = len(lines)
            if dropped:
                told = {"id": str(uuid.uuid4()), "timestamp": _now(), "level": "warning", "source": "everlog_connect"}
                told.update(event="events_dropped", dropped=dropped, message="%d events were dropped: the queue was full" % dropped)
                lines.append(_json(told))
            try:
                self._deliver(b"\n".join(lines))
            except Exception as error:
                self._complain("%d events are lost: %r" % (len(lines), error))
            with self._changed:
                self._sending = 0
                self._changed.notify_all()

    def _deliver(self, body):
        pause = 0.1
        while True:
            try:
                status, answer = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                self._connection = None
                status, answer = 503, repr(error).encode()
            if 200 <= status < 300:
                refused = json.loads(answer).get("refused")
                if refused:
                    self._complain("Everlog refused %d events: %s" % (len(refused), refused[0].get("detail")))
                return
            text = answer[:500].decode("utf-8", "replace")
            if status not in _AGAIN:
                self._complain("Everlog refused events with status %d: %s" % (status, text))
                return
            self._complain("Everlog cannot be reached, events wait: %s" % text)
            # Not all processes at once.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 15.0)

    def _post(self, body):
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._address, timeout=30)
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token:
            headers["Authorization"] = "Bearer " + self._token
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _complain(self, text):
        # Once a minute, and not through `logging`, which would come back here.
        now = time.monotonic()
        if self._complained and now - self._complained < 60:
            return
        self._complained = now
        try:
            sys.stderr.write("everlog_connect: %s\n" % text)
        except Exception:
            pass


_sender = None
_sender_lock = threading.Lock()


def sender():
    """The sender of this process."""
    global _sender
    if _sender is None:
        with _sender_lock:
            _sender = _sender or Sender()
    return _sender


def flush(seconds=10):
    """Waits until all is sent, at most so long. True when it is."""
    return sender().flush(seconds)


def log(event, level="info", **fields):
    """Sends one event: its name, and whatever belongs to it."""
    return sender().put(_with_request(dict(fields, event=event, level=level)))


def user(name):
    """Says whose request this is; its events get the name."""
    known = _request.get()
    if known is not None:
        known["user"] = str(name)


class Handler(logging.Handler):
    """Sends what is logged through `logging`, with what was given as `extra` and the exception."""

    def __init__(self, level=logging.NOTSET, sender=None):
        super().__init__(level)
        self._own = sender

    def emit(self, record):
        try:
            if self._own is None:
                if getattr(record, "_everlog_has_it", False):
                    return
                record._everlog_has_it = True
            event = {
                "timestamp": _time(record.created),
                "level": next((name for number, name in _LEVELS if record.levelno >= number), "debug"),
                "logger": record.name,
                "message": record.getMessage(),
            }
            if record.exc_info and record.exc_info[1] is not None:
                event["exception"] = _exception(record.exc_info[1], handled=True)
            for name, value in vars(record).items():
                # Django adds the request itself, which as a text shows its query string.
                if name not in _PLAIN_RECORD and not (name == "request" and record.name.startswith("django.")):
                    event.setdefault(name, value)
            (self._own or sender()).put(_with_request(event))
        except Exception:
            self.handleError(record)


_installed = False


def install(level=logging.INFO):
    """Sends what reaches the root logger, from this level on. A second call changes nothing.

    Nobody can tell: the root logger gets no handler and no other level. With one, Flask, werkzeug, `logging.basicConfig`
    and the handler of last resort would find that somebody listens already, and leave the console empty.
    """
    global _installed
    if _installed:
        return
    _installed = True
    is_enabled, call_handlers = logging.Logger.isEnabledFor, logging.Logger.callHandlers
    handler = Handler()

    def wanted(logger, number):
        return number >= level and number > logger.manager.disable and _follows_root(logger)

    @functools.wraps(is_enabled)
    def is_enabled_for(self, number):
        return is_enabled(self, number) or wanted(self, number)

    @functools.wraps(call_handlers)
    def call_all(self, record):
        try:
            # What only Everlog wants is not for the others.
            if is_enabled(self, record.levelno) or not wanted(self, record.levelno):
                call_handlers(self, record)
        finally:
            if record.levelno >= level and record.name not in _ACCESS and _reaches_root(self):
                handler.emit(record)

    logging.Logger.isEnabledFor, logging.Logger.callHandlers = is_enabled_for, call_all


def _follows_root(logger):
    """Whether the level of the root logger decides about this one, and nobody switched it off."""
    on = not logger.disabled
    while logger.parent is not None and not logger.level:
        logger = logger.parent
    return on and logger.parent is None


def _reaches_root(logger):
    while logger.parent is not None and logger.propagate:
        logger = logger.parent
    return logger.parent is None


def django_logging(config=None):
    """The setting LOGGING as it is; what is logged is sent too."""
    install()
    return config or {}


def connect(app):
    """The same application, or factory of one, with an event for each request and what it logs."""
    install()
    if inspect.isfunction(app) and not _is_application(app):

        @functools.wraps(app)
        def factory(*positional, **named):
            return connect(app(*positional, **named))

        return factory
    if hasattr(app, "wsgi_app"):
        app.wsgi_app = Wsgi(app.wsgi_app)
        return app
    if hasattr(app, "add_middleware"):
        app.add_middleware(Asgi)
        return app
    call = app if inspect.isfunction(app) else getattr(app, "__call__", app)
    return Asgi(app) if inspect.iscoroutinefunction(call) else Wsgi(app)


def _is_application(function):
    names = list(inspect.signature(function).parameters)
    return inspect.iscoroutinefunction(function) or names[:2] in (["environ", "start_response"], ["env", "start_response"])


class Wsgi:
    """A WSGI application with an event for each request. The time is that until the answer begins."""

    def __init__(self, app):
        self._app = app

    def __getattr__(self, name):
        return getattr(self._app, name)

    def __call__(self, environ, start_response):
        request = _Request(
            environ.get("REQUEST_METHOD"),
            # WSGI gives the bytes of a path as if they were Latin-1.
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace"),
            environ.get("REMOTE_ADDR"),
            environ.get("HTTP_USER_AGENT"),
            environ.get("HTTP_X_REQUEST_ID"),
        )

        def started(status, headers, *rest):
            request.status = int(status[:3])
            return start_response(status, headers, *rest)

        with request:
            body = self._app(environ, started)
            request.user = environ.get("REMOTE_USER")
        return body


class Asgi:
    """An ASGI application with an event for each request."""

    def __init__(self, app):
        self.app = app

    def __getattr__(self, name):
        return getattr(self.__dict__["app"], name)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope.get("headers", ())}
        client = scope.get("client") or (None,)
        request = _Request(scope.get("method"), scope.get("path"), client[0], headers.get(b"user-agent"), headers.get(b"x-request-id"))

        async def sent(message):
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        with request:
            await self.app(scope, receive, sent)
            request.user = getattr(scope.get("user"), "display_name", None)


class DjangoMiddleware:
    """Django's middleware with an event for each request, and its user if the view asked who it is."""

    def __init__(self, get_response):
        self._get_response = get_response

    def __call__(self, asked):
        meta = asked.META
        request = _Request(
            asked.method, asked.path, meta.get("REMOTE_ADDR"), meta.get("HTTP_USER_AGENT"), meta.get("HTTP_X_REQUEST_ID")
        )
        with request:
            answer = self._get_response(asked)
            request.status = answer.status_code
            # Only if somebody looked: asking now could cost a query.
            known = getattr(asked, "_cached_user", None)
            if getattr(known, "is_authenticated", False):
                request.user = known.get_username()
        return answer


class _Request:
    """A request under way; when it ends, its event is sent."""

    def __init__(self, method, path, ip, user_agent, request_id):
        self.status, self.user = None, None
        self._known = {"request_id": (request_id or "")[:128] or uuid.uuid4().hex}
        self._event = {"method": method, "path": path, "ip": ip, "user_agent": user_agent}

    def __enter__(self):
        self._start = time.perf_counter()
        self._token = _request.set(self._known)

    def __exit__(self, kind, error, trace):
        try:
            _request.reset(self._token)
            event = {name: value for name, value in self._event.items() if value is not None}
            event.update(self._known, event="request_finished", duration_ms=round((time.perf_counter() - self._start) * 1000, 3))
            if isinstance(error, Exception):
                event["exception"] = _exception(error, handled=False)
                self.status = self.status or 500
            if self.status is not None:
                event["status"] = self.status
            if self.user:
                event["user"] = str(self.user)
            event["level"] = "error" if (self.status or 0) >= 500 else "info"
            event["message"] = "%s %s %s" % (event.get("method"), event.get("path"), self.status)
            sender().put(event)
        except Exception as trouble:
            sender()._complain("a request could not be noted: %r" % trouble)
        return False


class _EntryLogger:
    """The call of API Logger: `logger.delay(stream, location, message)`, without a queue or a worker to run."""

    def delay(self, stream=None, location=None, message=None, timestamp=False, heading=None, dict_to_string=False, m=None):
        """Sends an entry of a stream. The location is a user, or "system". `m` alone is an INFO entry of the system."""
        # Every entry has its time; `timestamp` and `dict_to_string` only said how a line of text should look.
        event = {"stream": stream or "INFO", "user": location or "system", "message": m if message is None else message}
        if message is not None and m is not None:
            event["m"] = m
        if heading is not None:
            event["heading"] = heading
        return sender().put(_with_request(event))

    __call__ = delay


logger = _EntryLogger()


def _with_request(event):
    for name, value in (_request.get() or {}).items():
        event.setdefault(name, value)
    return event


def _exception(error, handled):
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "handled": handled,
        "frames": [{"function": frame.name, "file": frame.filename, "line": frame.lineno} for frame in frames],
    }


def _json(event):
    try:
        return json.dumps(event, default=str, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        # A key that is no text, a number that is none, a list that holds itself.
        return json.dumps({str(name): repr(value) for name, value in event.items()}).encode()


def _now():
    return _time(time.time())


def _time(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat().replace("+00:00", "Z")
