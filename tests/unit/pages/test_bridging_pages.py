"""OPS's words in a config mean in the browser what they mean to the command line."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances.models import Image, Instance
from networks.models import Network
from tests.conftest import SentTasks

FORM = {"name": "web1", "size": "1x256", "restart_policy": "never"}
USER_MODE = {"nics": "1", "nic_name": "", "nic_network": "", "nic_how": "", "nic_address4": ""}


@pytest.mark.parametrize("rows", [{}, USER_MODE])
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
