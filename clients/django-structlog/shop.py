"""An objects API: a call without a token, one whose handler enqueues a task that enqueues another, and one that fails."""

import os
import threading

import django
import structlog
from celery import Celery, shared_task
from celery.contrib.testing.worker import start_worker
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

import logging_settings

names = [name for name in dir(logging_settings) if name.isupper()]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", USE_TZ=True, **{name: getattr(logging_settings, name) for name in names})
django.setup()

from django.test import Client  # noqa: E402
from django_structlog.celery.steps import DjangoStructLogInitStep  # noqa: E402

log = structlog.get_logger("objects.api")
celery = Celery("shop", broker="memory://", backend="cache+memory://")
celery.conf.worker_hijack_root_logger = False
celery.set_default()
celery.steps["worker"].add(DjangoStructLogInitStep)
ended = threading.Event()


@shared_task(name="shop.first")
def first():
    second.delay()


@shared_task(name="shop.second")
def second():
    log.info("in_the_task", size=3)


OBJECT = {
    "object_uuid": "1734afac-4628-446d-b344-f39b42f48bd9",
    "objecttype_uuid": "b427ef84-189d-43aa-9efd-7bb2c459e281",
    "objecttype_version": 1,
    "token_identifier": "application-test",
    "token_application": "Application (test)",
}


def objects(request):
    if "HTTP_AUTHORIZATION" not in request.META:
        detail = "Authentication credentials were not provided."
        log.error("api.handled_exception", title=detail, code="not_authenticated", status=401, data={"detail": detail}, user_id=None)
        return JsonResponse({"detail": detail}, status=401)
    log.info("object_created", **OBJECT)
    first.delay()
    return JsonResponse({}, status=201)


def broken(request):
    try:
        {}["sku"]
    except KeyError as error:
        raise ValueError("no such sku é") from error


urlpatterns = [path("api/v2/objects", objects), path("broken", broken)]

from celery.signals import task_success  # noqa: E402


@task_success.connect
def succeeded(sender=None, **_):
    if sender.name == "shop.second":
        ended.set()


with start_worker(celery, perform_ping_check=False, pool="solo", loglevel=os.environ["LOG_LEVEL"]):
    client = Client(raise_request_exception=False, headers={"user-agent": "curl/8.0"})
    refused, made, failed = [f"{digit}8b46bf0-a5b8-43f7-a550-e37dee617bff" for digit in os.environ["DIGITS"]]
    for request_id, headers in [(refused, {}), (made, {"authorization": "Token x"})]:
        client.post("/api/v2/objects?m=1", headers={"x-request-id": request_id} | headers)
    client.get("/broken", headers={"x-request-id": failed})
    client.post("/api/v2/objects?m=2", headers={"x-request-id": "a\r\nb"})
    assert ended.wait(60)
print("a line that is no JSON", flush=True)
