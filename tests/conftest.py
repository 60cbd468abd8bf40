"""What every test may use: the cast, a team with a host, and a queue that runs what was sent when the test says so."""

import atexit
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import settings

from opsweb.core import queue
from opsweb.core.access import Actor
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.actors import actor_for
from opsweb.teams.models import Membership, Team

# A shell that runs us in the background has SIGINT ignored, and so would every child whose Ctrl-C a test wants to see.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("opsweb", deadline=None)
settings.load_profile("opsweb")


# A busy machine is no fault of what is tested; pytest-timeout ends what hangs.
settings.register_profile("opsweb", deadline=None)
settings.load_profile("opsweb")


def pytest_sessionfinish() -> None:
    """The scratch directories of tests.settings go when the process ends."""
    atexit.register(shutil.rmtree, env.state_dir.parent, ignore_errors=True)


@pytest.fixture
def host(db: None) -> Host:
    """The host of the fake driver."""
    return Host.objects.create(name=env.host, vcpus=8, memory_mib=16_384, accelerator="tcg")


@pytest.fixture
def team(db: None) -> Team:
    """The team that the cast is in."""
    return Team.objects.create(name="payments")


@pytest.fixture
def other_team(db: None) -> Team:
    """A team that nobody of the cast is in."""
    return Team.objects.create(name="elsewhere")


def _person(team: Team, name: str, role: str) -> User:
    user = User.objects.create_user(name, password="correct horse battery")
    if role:
        Membership.objects.create(user=user, team=team, role=role)
    return user


@pytest.fixture
def ana(team: Team) -> User:
    """Admin of the team."""
    return _person(team, "ana", "admin")


@pytest.fixture
def olga(team: Team) -> User:
    """Operator of the team."""
    return _person(team, "olga", "operator")


@pytest.fixture
def vic(team: Team) -> User:
    """Viewer of the team."""
    return _person(team, "vic", "viewer")


@pytest.fixture
def nobody(team: Team) -> User:
    """Signed in, a member of no team."""
    return _person(team, "nobody", "")


@pytest.fixture
def root(db: None) -> User:
    """A superuser."""
    return User.objects.create_superuser("root", password="correct horse battery")


@pytest.fixture
def as_actor() -> Callable[[User], Actor]:
    """Build the actor of a user."""
    return actor_for


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A client with a session of the user."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


class SentTasks(list[tuple[str, tuple[str, ...]]]):
    """What was handed to the workers, in order: (task, ids)."""

    def drain(self) -> int:
        """Run what was sent, and what that sends, until nothing is left; returns how many ran. Bounded."""
        from celery import current_app

        import instances.tasks  # noqa: F401  # registers them
        import networks.tasks  # noqa: F401

        ran = 0
        while self and ran < 100:
            name, args = self.pop(0)
            current_app.tasks[name](*args)
            ran += 1
        return ran


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> SentTasks:
    """Captures tasks instead of sending them. Commit hooks run at once, as outside a test's transaction."""
    tasks = SentTasks()
    monkeypatch.setattr(queue, "_send", lambda task, _queue, args, countdown: tasks.append((task, args)) if countdown is None else None)
    monkeypatch.setattr("django.db.transaction.on_commit", lambda hook, using=None, robust=False: hook())
    return tasks


@contextmanager
def nothing_changes(*models: Any) -> Iterator[None]:
    """Assert that a refusal left the rows of `models` as they were."""
    before = [list(model.objects.order_by("pk").values()) for model in models]
    yield
    assert [list(model.objects.order_by("pk").values()) for model in models] == before
