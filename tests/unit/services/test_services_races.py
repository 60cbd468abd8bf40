"""Many at once, each with a connection of its own: what must hold in the database holds (INV-06, INV-13)."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from instances.models import Image, Instance
from instances.services import create, images, power
from instances.services.create import InstanceSpec
from instances.states import Observed, Verb
from networks.models import PortForward
from opsweb.core.access import SYSTEM
from opsweb.core.errors import Refusal
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team

pytestmark = pytest.mark.usefixtures("file_database")

MANY = 12
AtOnce = Callable[[Any], list[Any]]


@pytest.fixture
def web(file_database: None) -> Image:
    """An image to make instances of, in the file."""
    host = Host.objects.create(name=env.host, vcpus=64, memory_mib=1_000_000)
    return Image.objects.create(team=Team.objects.create(name="race"), host=host, name="web", digest="ab" * 32)


def make(image: Image, name: str, **spec: Any) -> Instance:
    return create.create(image.team, name, image, InstanceSpec(**spec), actor=SYSTEM)[0]


def outcomes(results: list[Any]) -> Counter[str]:
    return Counter(result.code if isinstance(result, Refusal) else "done" for result in results)


@pytest.mark.parametrize("limit", ["quota_instances", "quota_vcpus", "quota_memory_mib"])
def test_creates_at_once_never_pass_the_quota(web: Image, at_once: AtOnce, limit: str) -> None:
    """INV-13."""
    Team.objects.update(**{limit: {"quota_memory_mib": 5 * 256}.get(limit, 5)})
    results = at_once(partial(make, web, f"web{number}") for number in range(MANY))
    assert outcomes(results) == {"done": 5, "quota": MANY - 5}
    assert Instance.objects.count() == Operation.objects.count() == AuditEntry.objects.count() == 5
    assert len(set(Instance.objects.values_list("uid_offset", flat=True))) == 5


def test_creates_at_once_never_pass_what_the_host_has(web: Image, at_once: AtOnce) -> None:
    Host.objects.update(memory_mib=1024)
    results = at_once(partial(make, web, f"web{number}") for number in range(MANY))
    assert outcomes(results) == {"done": 4, "no_room": MANY - 4}


def test_a_refused_create_gives_its_room_back(web: Image, at_once: AtOnce) -> None:
    """INV-13: failures release what they reserved."""
    Team.objects.update(quota_instances=2)
    make(web, "web0", ports=["8080"])
    results = at_once(partial(make, web, f"web{number}", ports=["8080"]) for number in range(1, MANY))
    assert outcomes(results) == {"port_busy": MANY - 1}
    make(web, "web1", ports=["8081"])


def test_a_port_has_one_taker(web: Image, at_once: AtOnce) -> None:
    results = at_once(partial(make, web, f"web{number}", ports=["8080", f"{9000 + number}:80"]) for number in range(MANY))
    assert outcomes(results) == {"done": 1, "port_busy": MANY - 1}
    assert PortForward.objects.count() == 2
    assert Instance.objects.count() == 1


def test_a_name_has_one_taker(web: Image, at_once: AtOnce) -> None:
    assert outcomes(at_once(partial(make, web, "web1") for _ in range(MANY))) == {"done": 1, "name_taken": MANY - 1}


def test_one_of_many_starts_is_taken(web: Image, at_once: AtOnce) -> None:
    """INV-06: losers get a 409, never a second operation."""
    instance = create.create(web.team, "web1", web, InstanceSpec(), actor=SYSTEM, start=False)[0]
    Instance.objects.update(observed=Observed.STOPPED)
    results = at_once(partial(power.request, Verb.START, Instance.objects.get(pk=instance.pk), actor=SYSTEM) for _ in range(MANY))
    assert outcomes(results) == {"done": 1, "busy": MANY - 1}
    assert Operation.objects.count() == 1


def test_start_stop_and_delete_at_once_are_one_after_the_other(web: Image, at_once: AtOnce) -> None:
    """INV-06: whatever the order, one operation is active and it is the wish that stands."""
    instance = create.create(web.team, "web1", web, InstanceSpec(), actor=SYSTEM, start=False)[0]
    Instance.objects.update(observed=Observed.STOPPED)
    verbs = [Verb.START, Verb.STOP, Verb.DELETE] * 4
    results = at_once(partial(power.request, verb, Instance.objects.get(pk=instance.pk), actor=SYSTEM) for verb in verbs)
    assert set(outcomes(results)) <= {"done", "busy", "wrong_state"}
    active = Operation.objects.get(status="queued")
    assert active.verb == "delete"
    assert Instance.objects.get().desired == "absent"


def test_no_instance_runs_an_image_that_goes(web: Image, at_once: AtOnce) -> None:
    calls = [partial(make, web, f"web{number}") for number in range(5)] + [partial(images.delete, web, actor=SYSTEM)]
    outcome = outcomes(at_once(calls))
    is_wanted = Image.objects.get().is_wanted
    assert outcome in ({"done": 5, "in_use": 1}, {"done": 1, "wrong_state": 5})
    assert is_wanted is Instance.objects.exists()
