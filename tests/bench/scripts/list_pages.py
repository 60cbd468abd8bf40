"""The list of instances as a page and by REST: milliseconds (median of the calls after the first) and queries."""

import json
import time
from statistics import median

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from opsweb.environment import env  # noqa: E402

CALLS = 15
PAGES = {"page": "/instances/", "api": "/api/v1/instances/?limit=50"}

client = Client(headers={"host": env.panel_host})
client.force_login(User.objects.get())


def call(path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.content
    assert b"ledger-" in answer.content
    return took


def facts(path: str) -> dict[str, float]:
    call(path)
    with CaptureQueriesContext(connection) as queries:
        call(path)
    count = len(queries)  # now: the next request resets what was captured
    return {"ms": median(call(path) for _ in range(CALLS)), "queries": count}


print(json.dumps({name: facts(path) for name, path in PAGES.items()}))
