"""Create and edit instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from instances.models import Image, Instance
from instances.services import power
from instances.services.capacity import check_room, used_by
from instances.services.images import check_name
from instances.states import Verb
from networks import services as networks
from networks.models import Nic, PortForward
from networks.ports import PortError, PortMap, parse_ports
from opsweb.core import access, audit, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import Usage, check_quota, lock_team

MAX_TEXT = 64 * 1024  # bytes of args and env together


@dataclass
class InstanceSpec:
    """What a person asks for; None leaves it as the image's config, or the panel's default, has it."""

    vcpus: int | None = None
    memory_mib: int | None = None
    args: Sequence[str] | None = None
    env: Mapping[str, str] | None = None
    secret_env: Sequence[str] | None = None
    hosts: Mapping[str, str] | None = None
    nameservers: Sequence[str] | None = None
    ports: Sequence[str] | None = None
    udp_ports: Sequence[str] | None = None
    restart_policy: str | None = None
    autostart: bool | None = None
    reboot_on_exit: bool | None = None

    def over(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that somebody said something about: ours first, then `defaults`."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        return {**defaults, **mine}


@dataclass
class Ports:
    """The port maps of one instance."""

    maps: tuple[PortMap, ...] = field(default=())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Ports | None":
        """From the `ports` and `udp_ports` of a spec; None when it says nothing about them. Raises: Invalid."""
        if "ports" not in values and "udp_ports" not in values:
            return None
        try:
            return cls(parse_ports(values.get("ports") or (), values.get("udp_ports") or ()))
        except PortError as error:
            raise Invalid(error.message, code=error.code, fields={"ports": [error.message]}) from error


def create(
    team: Team, name: str, image: Image, spec: InstanceSpec, *, actor: Actor, start: bool = True
) -> tuple[Instance, Operation | None]:
    """Write an instance down, inside the team's quota and the host's room, and start it.

    Raises: NotFound, Forbidden; Invalid; Conflict ("name_taken", "port_busy", "quota", "no_room").
    """
    access.require(actor, "instance.create", team.pk)
    check_name(name)
    values = spec.over(image.defaults)
    ports = Ports.of(values) or Ports()
    with transaction.atomic():
        locked = lock_team(team.pk)
        host = _lock_host(image.host)
        instance = Instance(team=team, host=host, image=image, name=name, arch=image.arch, created_by_id=actor.user_id)
        _fill(instance, values)
        check_quota(locked, used_by(team), Usage(1, instance.vcpus, instance.memory_mib))
        check_room(host, instance)
        instance.uid_offset = _free_uid(host)
        _insert(instance)
        nic = Nic.objects.create(instance=instance)
        networks.set_forwards(nic, ports.maps, host=host, team_id=team.pk, actor=actor)
        audit.record(
            actor, "instance.create", kind="instance", target_id=instance.pk, label=name, team_id=team.pk, details={"image": image.name}
        )
        operation = _start(instance, actor) if start else None
        power.announce(instance)
    return instance, operation


def _start(instance: Instance, actor: Actor) -> Operation:
    operation = operations.begin(actor, "start", kind="instance", target_id=instance.pk, label=instance.name, team_id=instance.team_id)
    power.wish(instance, Verb.START)
    return operation


def edit(instance: Instance, spec: InstanceSpec, *, actor: Actor, name: str | None = None) -> Instance:
    """Change what is asked for; a running VM keeps what it was started with until its next start.

    Raises: NotFound, Forbidden; Invalid; Conflict ("name_taken", "port_busy", "quota", "no_room").
    """
    access.require(actor, "instance.edit", instance.team_id)
    if name is not None:
        check_name(name)
    values = spec.over({})
    ports = Ports.of(_with_both(instance, values))
    with transaction.atomic():
        team = lock_team(instance.team_id)
        instance = Instance.objects.select_related("host", "image").get(pk=instance.pk)
        before = Usage(1, instance.vcpus, instance.memory_mib)
        _fill(instance, values)
        instance.name = name or instance.name
        used = used_by(team)
        others = Usage(used.instances - 1, used.vcpus - before.vcpus, used.memory_mib - before.memory_mib)
        check_quota(team, others, Usage(1, instance.vcpus, instance.memory_mib))
        _update(instance)
        if ports is not None:
            networks.set_forwards(instance.nics.get(position=0), ports.maps, host=instance.host, team_id=team.pk, actor=actor)
        changed = sorted({*values, *(["name"] if name else [])})
        audit.record(
            actor,
            "instance.edit",
            kind="instance",
            target_id=instance.pk,
            label=instance.name,
            team_id=team.pk,
            details={"fields": changed},
        )
        power.announce(instance)
    return instance


def _with_both(instance: Instance, values: dict[str, Any]) -> dict[str, Any]:
    """Ports are kept per protocol: who changes one list keeps the other."""
    if ("ports" in values) == ("udp_ports" in values):
        return values
    other = "udp_ports" if "ports" in values else "ports"
    protocol = "udp" if other == "udp_ports" else "tcp"
    kept = PortForward.objects.filter(nic__instance=instance, protocol=protocol)
    return {**values, other: [f"{f.host_address}:{f.host_port}:{f.guest_port}" for f in kept]}


def _fill(instance: Instance, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in ("ports", "udp_ports"):
            setattr(instance, name, value)
    _check_texts(instance)
    try:
        instance.clean_fields(exclude={column.name for column in Instance._meta.fields} - values.keys())
    except ValidationError as error:
        fields = error.message_dict
        raise Invalid("; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()), fields=fields) from error


def _check_texts(instance: Instance) -> None:
    texts = [*instance.args, *instance.env, *instance.env.values()]
    if not all(isinstance(text, str) for text in texts):
        raise Invalid("Args and env are texts. Put numbers in quotes.", fields={"args": ["not a text"]})
    if any("\0" in text for text in texts):
        raise Invalid("Args and env can't hold a NUL character.", fields={"args": ["NUL"]})
    if sum(len(text.encode()) for text in texts) > MAX_TEXT:
        raise Invalid(f"Args and env together may have {MAX_TEXT} bytes.", fields={"env": ["too long"]})
    for name in instance.env:
        if not name or "=" in name:
            raise Invalid(f"“{name}” is no name of an environment variable.", fields={"env": [name]})
    for address in (*instance.hosts.values(), *instance.nameservers):
        _check_address(address)
    for host in instance.hosts:
        if not host or any(c.isspace() or c == "#" for c in host):
            raise Invalid(f"“{host}” is no host name.", fields={"hosts": [host]})


def _check_address(address: str) -> None:
    try:
        IPv4Address(address)
    except AddressValueError as error:
        raise Invalid(f"“{address}” is no IPv4 address.", fields={"hosts": [address]}) from error


def _insert(instance: Instance) -> None:
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError as error:
        raise _name_taken(instance) from error


def _update(instance: Instance) -> None:
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError as error:
        raise _name_taken(instance) from error


def _name_taken(instance: Instance) -> Conflict:
    return Conflict(
        f"The team has an instance called {instance.name}. Take another name.", code="name_taken", fields={"name": [instance.name]}
    )


def _lock_host(host: Host) -> Host:
    """The same trick as `lock_team`: uids are given out one at a time."""
    Host.objects.filter(pk=host.pk).update(schedulable=F("schedulable"))
    return Host.objects.get(pk=host.pk)


def _free_uid(host: Host) -> int:
    used = set(Instance.objects.filter(host=host).values_list("uid_offset", flat=True))
    for offset in range(1, env.uid_count):
        if offset not in used:
            return offset
    raise Conflict(f"The host has no uid left: at most {env.uid_count - 1} instances.", code="no_room")
