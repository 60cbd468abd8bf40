"""The celery application: `celery -A opsweb.celery worker -Q host.<name>`."""

import os

from celery import Celery
from celery.signals import worker_ready

from opsweb.environment import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsweb.settings")

app = Celery("opsweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def look_at_the_host(**_: object) -> None:
    """A worker that comes up looks at its host and at everything on it, at once."""
    app.send_task("instances.inspect_host", queue=f"host.{env.host}", ignore_result=True)
