"""OPS's words in a config mean in the browser what they mean to the command line."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances.models import Image, Instance
from instances.services import bridging
from networks.models import Network
from tests.conftest import SentTasks

FORM = {"name": "web1", "size": "1x256", "restart_policy": "never"}
USER_MODE = {"nics": "1", "nic_name": "", "nic_network": "", "nic_how": "", "nic_address4": "", "nic_address6": "", "nic_rate": ""}
AS_IMAGE = USER_MODE | {"nic_network": "image"}


@pytest.mark.parametrize("rows", [{}, AS_IMAGE])
def test_the_config_of_the_image_makes_the_nic(
    signed_in: Callable[[User], Client], olga: User, image: Image, sent: SentTasks, rows: dict[str, str]
) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True, "tap_name": "tap1", "ip_address": "192.168.42.19"}})
    answer: Any = signed_in(olga).post("/instances/new/", {**FORM, **rows, "image": str(image.pk)}, follow=True)
    nic = Instance.objects.get().nics.get()
    assert (nic.name, nic.network, nic.address4) == ("tap1", Network.objects.get(), "192.168.42.19")
    assert "Network br0 was made for it" in answer.content.decode()


def test_what_is_chosen_in_the_form_comes_first(signed_in: Callable[[User], Client], olga: User, image: Image, sent: SentTasks) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True, "tap_name": "tap1"}})
    rows = USER_MODE | {"nic_name": "front"}
    assert signed_in(olga).post("/instances/new/", {**FORM, **rows, "image": str(image.pk)}).status_code == 302
    assert (Instance.objects.get().nics.get().name, Network.objects.count()) == ("front", 0)


def test_user_mode_can_be_chosen_for_an_image_that_speaks_of_networks(
    signed_in: Callable[[User], Client], olga: User, image: Image, sent: SentTasks
) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True}})
    assert signed_in(olga).post("/instances/new/", {**FORM, **USER_MODE, "image": str(image.pk)}).status_code == 302
    assert (Instance.objects.get().nics.get().network, Network.objects.count()) == (None, 0)


def test_the_word_of_the_image_stands_alone(signed_in: Callable[[User], Client], olga: User, image: Image, sent: SentTasks) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True}})
    rows = {name: [value, AS_IMAGE[name]] for name, value in USER_MODE.items() if name != "nics"}
    answer = signed_in(olga).post("/instances/new/", {**FORM, "nics": "1", **rows, "image": str(image.pk)})
    assert answer.status_code == 422
    assert "stands for all NICs" in answer.content.decode()
    assert not Instance.objects.exists()


def test_the_page_of_an_image_that_speaks_of_networks_begins_with_it(signed_in: Callable[[User], Client], olga: User, image: Image) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True, "tap_name": "tap1", "bridge_name": "br3", "ip_address": "192.168.42.19"}})
    text = signed_in(olga).get(f"/instances/new/?image={image.pk}").content.decode()
    assert '<option value="image" selected>' in text
    assert 'data-bridging="tap1 on br3, 192.168.42.19"' in text
    assert '<option value="image" selected>' not in signed_in(olga).get("/instances/new/").content.decode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, ""),
        ({"tap_name": "tap0"}, ""),
        ({"bridged": True}, "tap0 on br0"),
        ({"bridged": True, "ip_address": "10.1.0.9"}, "tap0 on the network of 10.1.0.9"),
        ({"bridged": True, "nics": [{}, {"bridge_name": "br7"}]}, "tap0 on br0; tap1 on br7"),
    ],
)
def test_what_an_image_says_in_short(said: dict[str, Any], words: str) -> None:
    assert bridging.summary(said) == words
