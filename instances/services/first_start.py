"""What a first start makes: the host's row, the first admin, the team `demo` with its instance `hello`. Only what is not there."""

import socket

from django.contrib.auth.models import User
from django.db import transaction

from instances.models import Image, Instance
from instances.services import create
from instances.services.create import InstanceSpec
from networks.services.forwards import free_port
from opsweb.core import audit, operations
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host
from opsweb.core.queue import enqueue
from opsweb.environment import env
from opsweb.teams.models import Membership, OneTimePassword, Team
from opsweb.teams.services import add_member, give_one_time_password

ADMIN = "admin"
TEAM = "demo"
HELLO = "hello"
HELLO_PORT = 8088  # 8080 and 8081 stay free for the networking document's own examples


def first_admin() -> User:
    """The first superuser; made when there is none."""
    admin = User.objects.filter(is_superuser=True).order_by("pk").first()
    if admin is None:
        admin = User.objects.create_superuser(ADMIN)
        give_one_time_password(admin, actor=SYSTEM)
    return admin


def one_time_password(admin: User) -> str | None:
    """A fresh one while the last has not been used; None once somebody has signed in with it."""
    if not OneTimePassword.objects.filter(user=admin).exists():
        return None
    return give_one_time_password(admin, actor=SYSTEM)


def ensure() -> User:
    """Make what is missing; returns the first admin."""
    host, _ = Host.objects.get_or_create(name=env.host)
    is_first = not Team.objects.exists()
    admin = first_admin()
    if is_first:
        team = Team.objects.create(name=TEAM)
        add_member(team, admin, Membership.RoleName.ADMIN, actor=SYSTEM)
        make_hello(team, host)
    return admin


def hello_port(host: Host) -> int:
    """HELLO_PORT, or the next one that no forward has and nobody listens on: another panel's hello may have it."""
    port = free_port(host, HELLO_PORT)
    while not _can_be_bound(port):
        port = free_port(host, port + 1)
    return port


def _can_be_bound(port: int) -> bool:
    with socket.socket() as knocked:
        knocked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            knocked.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def make_hello(team: Team, host: Host) -> Instance:
    """The demo instance: a small web page, served from inside a VM."""
    with transaction.atomic():
        image = Image.objects.create(team=team, host=host, name=HELLO, recipe={"builtin": HELLO})
        operations.begin(SYSTEM, "build", kind="image", target_id=image.pk, label=image.name, team_id=team.pk)
        audit.record(SYSTEM, "image.create", kind="image", target_id=image.pk, label=image.name, team_id=team.pk)
        enqueue("instances.build_image", host.queue, str(image.pk))
        spec = InstanceSpec(ports=[f"{hello_port(host)}:8080"], memory_mib=128, restart_policy="on-failure")
        instance, _ = create.create(team, HELLO, image, spec, actor=SYSTEM)
    return instance
