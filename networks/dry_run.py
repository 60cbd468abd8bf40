"""What a save would change, found out by the save itself: done whole, with all that it checks, and undone before anybody sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction


@contextmanager
def undone() -> Iterator[None]:
    """Everything written inside is rolled back; what waits for its commit (tasks, events) never comes.

    Whoever writes waits until it ends: read in it what is to be compared, and compare afterwards.
    """
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
