"""The one task that is about no host: any worker does it."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from opsweb.core import audit
from opsweb.environment import env


@shared_task(name="core.trim_audit", ignore_result=True)
def trim_audit() -> None:
    """Let go of entries that are older than the panel keeps them."""
    if env.audit_days:
        audit.trim(timezone.now() - timedelta(days=env.audit_days))
