"""Create and edit instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from instances.models import Image, Instance
from instances.services import power
from instances.services.capacity import check_room, used_by
from instances.services.images import check_name
from instances.services.texts import check_hosts, check_texts
from instances.states import Desired, Observed, Verb
from networks.models import Network, PortForward
from networks.ports import PortError, PortMap, parse_ports
from networks.services.announce import announce
from networks.services.forwards import set_forwards
from networks.services.nics import NicSpec, set_nics
from opsweb.core import access, audit, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.core.hosts import locked_host
from opsweb.core.models import Host, Operation
from opsweb.core.queue import enqueue
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import Usage, check_quota, lock_team

ROWS = ("ports", "udp_ports", "nics")  # of a spec; rows of their own


@dataclass
class InstanceSpec:
    """What a person asks for; None leaves it as the image's config, or the panel's default, has it."""

    vcpus: int | None = None
    memory_mib: int | None = None
    args: Sequence[str] | None = None
    env: Mapping[str, str | None] | None = None  # None as a value: the secret stays what it is
    secret_env: Sequence[str] | None = None
    hosts: Mapping[str, str] | None = None
    nameservers: Sequence[str] | None = None
    ports: Sequence[str] | None = None
    udp_ports: Sequence[str] | None = None
    restart_policy: str | None = None
    autostart: bool | None = None
    reboot_on_exit: bool | None = None
    nics: Sequence[NicSpec] | None = None  # None for a new one: one in user mode; ports lead to the first

    def over(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that somebody said something about: ours first, then `defaults`."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        if "env" in mine and "env" in defaults:
            mine["env"] = {**defaults["env"], **mine["env"]}  # one more variable does not take the config's away
        return {name: value for name, value in {**defaults, **mine}.items() if name in vars(self)}

    def under(self, defaults: Mapping[str, Any]) -> "InstanceSpec":
        """The same spec with `defaults` where it says nothing."""
        return InstanceSpec(**self.over(defaults))


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
    if image.team_id != team.pk:  # seeing an image in one team is no right to run it in another (SEC-F1)
        raise NotFound
    check_name(name)
    values = spec.over(image.defaults)
    ports = Ports.of(values) or Ports()
    with transaction.atomic():
        locked = lock_team(team.pk)
        if not Image.objects.filter(pk=image.pk, is_wanted=True).exists():
            raise Conflict(f"Image {image.name} is being deleted.", code="wrong_state")
        host = locked_host(image.host_id)  # uids are given out one at a time
        instance = _new(team, host, image, name, actor)
        _fill(instance, values)
        check_quota(locked, used_by(team), Usage(1, instance.vcpus, instance.memory_mib))
        check_room(host, instance)
        instance.uid_offset = _free_uid(host)
        _insert(instance)
        set_nics(instance, values.get("nics", (NicSpec(),)), actor=actor)
        if ports.maps:
            _set_ports(instance, ports, actor)
        audit.record(
            actor, "instance.create", kind="instance", target_id=instance.pk, label=name, team_id=team.pk, details={"image": image.name}
        )
        operation = _start(instance, actor) if start else None
        power.announce(instance)
    return instance, operation


def _new(team: Team, host: Host, image: Image, name: str, actor: Actor) -> Instance:
    """With an id that nobody had before, so that nothing of it is on any host."""
    unseen = {"observed": Observed.ABSENT, "observed_at": timezone.now()}
    return Instance(team=team, host=host, image=image, name=name, arch=image.arch, created_by_id=actor.user_id, **unseen)


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
    with transaction.atomic():
        team = lock_team(instance.team_id)
        instance = _again(instance)
        before = Usage(0, instance.vcpus, instance.memory_mib)
        _fill(instance, _with_secrets(instance, values))
        instance.name = name or instance.name
        _check_growth(team, instance, before)
        changed = sorted({*values, *(["name"] if name else [])})
        _update(instance, [field for field in changed if field not in ROWS])
        if "nics" in values:
            set_nics(instance, values["nics"], actor=actor)
        if name:
            _tell_networks(instance)
        if ports := Ports.of(_with_both(instance, values)):
            _set_ports(instance, ports, actor)
            enqueue("instances.apply_forwards", instance.host.queue, str(instance.pk))  # a running VM gets them at once
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


def _tell_networks(instance: Instance) -> None:
    """Its name is also the one that its networks' DNS answers to."""
    for network in Network.objects.filter(nics__instance=instance).select_related("host").distinct():
        announce(network)


def _again(instance: Instance) -> Instance:
    """The row as it is now, inside the transaction that changes it. Raises: NotFound, Conflict("wrong_state")."""
    row = Instance.objects.select_related("host", "image").filter(pk=instance.pk).first()
    if row is None:
        raise NotFound
    if row.desired == Desired.ABSENT:
        raise Conflict(f"{row.name} is being deleted.", code="wrong_state")
    return row


def _check_growth(team: Team, instance: Instance, before: Usage) -> None:
    """A team over its quota may still shrink and rename."""
    if instance.vcpus > before.vcpus or instance.memory_mib > before.memory_mib:
        check_quota(team, used_by(team), Usage(0, instance.vcpus - before.vcpus, instance.memory_mib - before.memory_mib))
        check_room(instance.host, instance)


def _set_ports(instance: Instance, ports: Ports, actor: Actor) -> None:
    """They lead to the first NIC."""
    nic = instance.nics.select_related("network").filter(position=0).first()
    if nic is not None:
        set_forwards(nic, ports.maps, host=instance.host, team_id=instance.team_id, actor=actor)
    elif ports.maps:
        raise Invalid("Without a NIC no port leads to the instance. Give it one, or take the ports away.", fields={"ports": ["no NIC"]})


def _with_secrets(instance: Instance, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of secrets that were not sent again, put in. One that is to be secret no more must be: nobody gets to see it (SEC-J1)."""
    if "env" not in values and "secret_env" not in values:
        return values
    secret = set(instance.secret_env) & instance.env.keys()
    kept = secret & set(values.get("secret_env", secret))
    env = values.get("env", {**instance.env, **dict.fromkeys(secret)})
    for name, value in env.items():
        if value is None and name not in kept:
            raise Invalid(f"Give {name} its value again: only a secret that stays secret keeps the one it has.", fields={"env": [name]})
    return {**values, "env": {name: instance.env[name] if value is None else value for name, value in env.items()}}


def _with_both(instance: Instance, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ports are kept per protocol: who changes one list keeps the other."""
    if ("ports" in values) == ("udp_ports" in values):
        return values
    other = "udp_ports" if "ports" in values else "ports"
    protocol = "udp" if other == "udp_ports" else "tcp"
    kept = PortForward.objects.filter(nic__instance=instance, protocol=protocol)
    return {**values, other: [f"{f.host_address}:{f.host_port}:{f.guest_port}" for f in kept]}


def _fill(instance: Instance, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in ROWS:
            setattr(instance, name, value)
    check_texts(instance)
    check_hosts(instance)
    try:
        instance.clean_fields(exclude={column.name for column in Instance._meta.fields} - values.keys())
    except ValidationError as error:
        fields = error.message_dict
        raise Invalid("; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()), fields=fields) from error


def _insert(instance: Instance) -> None:
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError as error:
        raise _name_taken(instance) from error


def _update(instance: Instance, fields: Sequence[str]) -> None:
    """Only what was edited: the worker may be writing down what it saw."""
    try:
        with transaction.atomic():
            instance.save(update_fields=fields)
    except IntegrityError as error:
        raise _name_taken(instance) from error


def _name_taken(instance: Instance) -> Conflict:
    return Conflict(
        f"The team has an instance called {instance.name}. Take another name.", code="name_taken", fields={"name": [instance.name]}
    )


def _free_uid(host: Host) -> int:
    used = set(Instance.objects.filter(host=host).values_list("uid_offset", flat=True))
    for offset in env.vm_offsets:
        if offset not in used:
            return offset
    raise Conflict(f"The host has no uid left: at most {len(env.vm_offsets)} instances.", code="no_room")
