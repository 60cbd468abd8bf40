"""Fixtures of networks' tests: actors, and networks made through the services."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from networks.models import Network
from networks.services.networks import NetworkSpec, create
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.models import Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks

MakeNetwork = Callable[..., Network]


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


@pytest.fixture
def vics(vic: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(vic)


@pytest.fixture
def nobodys(nobody: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(nobody)


@pytest.fixture
def make_network(host: Host, team: Team, sent: SentTasks) -> MakeNetwork:
    """A network that is there, its operation done; columns of its spec as keywords."""

    def make(of: Team = team, **spec: object) -> Network:
        network, _ = create(of, NetworkSpec(**spec), actor=SYSTEM)
        Operation.objects.filter(target_id=network.pk).update(status=Operation.Status.SUCCEEDED)
        sent.clear()
        return network

    return make
