"""Networks, NICs, port forwards, rules: the wish, and what was seen of it."""

import secrets
import uuid
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from networks.addressing import Subnet4, Subnet6, default_pool
from networks.states import Desired, Observed

NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z", "Use lower-case letters, digits and hyphens, 40 at most, no hyphen at the ends."
)
NIC_NAME = RegexValidator(r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?\Z", "Use lower-case letters, digits and hyphens, 15 at most.")
ADAPTER = RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}\Z", "The name of a network adapter of the host, such as eth0.")
PORT = (MinValueValidator(1), MaxValueValidator(65_535))


def new_mac() -> str:
    """A random unicast, locally administered MAC (IEEE 802, first octet 02)."""
    return ":".join(("02", *(f"{byte:02x}" for byte in secrets.token_bytes(5))))


def new_tag() -> str:
    """Eight random hex digits: the part of a host object's name that tells it from others of this installation."""
    return secrets.token_hex(4)


class Network(models.Model):
    """A bridge with its addresses, DHCP, DNS and rules, as somebody wants it and as it was last seen."""

    class Mode(models.TextChoices):
        NAT = "nat", "NAT"
        ISOLATED = "isolated", "Isolated"
        UPLINK = "uplink", "Uplink"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="networks")
    host = models.ForeignKey("core.Host", on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=40, validators=[NAME])
    tag = models.CharField(max_length=8, unique=True, default=new_tag, editable=False)
    uid_offset = models.PositiveIntegerField(help_text="Its dnsmasq runs as OPSWEB_UID_BASE plus this.")
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.NAT)
    adapter = models.CharField(max_length=15, blank=True, validators=[ADAPTER], help_text="Uplink: what joins the bridge.")
    cidr4 = models.CharField(max_length=18, help_text="192.168.33.0/24")
    gateway4 = models.GenericIPAddressField(protocol="IPv4", help_text="The bridge's own address; of an uplink the router's.")
    cidr6 = models.CharField(max_length=43, blank=True, help_text="fd12:3456:789a::/64; empty: no IPv6")
    gateway6 = models.GenericIPAddressField(protocol="IPv6", null=True, blank=True)
    is_nat6 = models.BooleanField(default=True, help_text="IPv6 leaves under the host's address (NAT66); False: the prefix is routed here.")
    dhcp = models.BooleanField("DHCP", default=True)
    dhcp_first = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True, help_text="Addresses are given out from here …")
    dhcp_last = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True, help_text="… to here.")
    lease_seconds = models.PositiveIntegerField(default=3600, validators=[MinValueValidator(120), MaxValueValidator(30 * 86_400)])
    mtu = models.PositiveIntegerField("MTU", default=1500, validators=[MinValueValidator(1280), MaxValueValidator(9000)])
    domain = models.CharField(max_length=120, blank=True, help_text="DNS domain of its instances; empty: <name>.internal")
    resolvers = models.JSONField(default=list, blank=True, help_text="Upstream DNS servers; empty: those of the host.")
    records = models.JSONField(default=dict, blank=True, help_text='{"db": "192.168.33.200"}, names beside those of instances')
    shared_with = models.ManyToManyField("teams.Team", blank=True, related_name="shared_networks", help_text="Who may attach, too.")
    linked = models.ManyToManyField("self", blank=True, help_text="Networks it exchanges packets with; only a superuser says so.")

    desired = models.CharField(max_length=10, choices=[(d.value, d.value) for d in Desired], default=Desired.PRESENT)
    observed = models.CharField(max_length=10, choices=[(o.value, o.value) for o in Observed], default=Observed.UNKNOWN)
    observed_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(blank=True, help_text="Why the last pass failed.")
    drift = models.JSONField(default=list, help_text='[{"what", "reason", "at" (ISO), "mended"}] of the last passes, newest first')
    warnings = models.JSONField(default=list, help_text='[{"code", "message"}] of the last preflight')
    leases = models.JSONField(default=list, help_text='[{"mac", "address", "name", "expires_at" (ISO or null)}] as dnsmasq has them')

    applied = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Digest of the plan last applied: what differs from another plan is no drift."
    )

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("team", "name"), name="one_network_name_per_team"),
            models.UniqueConstraint(fields=("host", "uid_offset"), name="one_uid_per_network"),
            # What overlaps without being equal is refused in services.networks, under the host's lock.
            models.UniqueConstraint(fields=("host", "cidr4"), name="one_network_per_cidr4"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subnet4(self) -> Subnet4:
        """Its IPv4 side."""
        return Subnet4(IPv4Network(self.cidr4), IPv4Address(self.gateway4))

    @property
    def subnet6(self) -> Subnet6 | None:
        """Its IPv6 side; None without."""
        if not self.cidr6 or self.gateway6 is None:
            return None
        return Subnet6(IPv6Network(self.cidr6), IPv6Address(self.gateway6))

    @property
    def pool(self) -> tuple[IPv4Address, IPv4Address] | None:
        """(first, last) of the addresses that are given out; None on an uplink where nobody said which are free."""
        if self.dhcp_first and self.dhcp_last:
            return IPv4Address(self.dhcp_first), IPv4Address(self.dhcp_last)
        return None if self.mode == self.Mode.UPLINK else default_pool(self.subnet4)

    def recorded(self, version: int) -> set[str]:
        """Addresses of that IP version that its records name."""
        return {address for address in self.records.values() if (":" in address) == (version == 6)}

    @property
    def full_domain(self) -> str:
        """The DNS domain of its instances."""
        return self.domain or f"{self.name}.internal"


class Nic(models.Model):
    """A network adapter of an instance. Without a network it is a user-mode NIC."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="nics")
    network = models.ForeignKey(Network, null=True, blank=True, on_delete=models.PROTECT, related_name="nics")
    position = models.PositiveSmallIntegerField(default=0)
    name = models.CharField(max_length=15, default="tap0", validators=[NIC_NAME], help_text="For people, not for the host.")
    tag = models.CharField(max_length=8, unique=True, default=new_tag, editable=False)
    mac = models.CharField(max_length=17, unique=True, default=new_mac)
    address4 = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True, help_text="On a network: reserved for it.")
    address6 = models.GenericIPAddressField(protocol="IPv6", null=True, blank=True)
    is_fixed = models.BooleanField(default=False, help_text="The guest is told its address; False: it asks by DHCP and gets the same one.")
    rate_kbit = models.PositiveIntegerField(default=0, help_text="kbit/s in each direction; 0: no limit")
    counts = models.JSONField(default=dict, help_text='{"in": [packets, bytes], "out": …, "dropped": …} since the network came up')
    counted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When these counts were new.")
    counted_before = models.JSONField(default=dict, editable=False, help_text='The reading before that: {"at": time, "in": …}')

    class Meta:
        ordering = ("position",)
        constraints = [
            models.UniqueConstraint(fields=("instance", "position"), name="one_nic_per_position"),
            models.UniqueConstraint(fields=("instance", "name"), name="one_nic_per_name"),
            models.UniqueConstraint(fields=("network", "address4"), name="one_taker_per_address4"),
            models.UniqueConstraint(fields=("network", "address6"), name="one_taker_per_address6"),
            models.CheckConstraint(condition=Q(network=None) | Q(address4__isnull=False), name="a_nic_on_a_network_has_an_address"),
        ]

    def __str__(self) -> str:
        return self.mac


class Group(models.Model):
    """Instances of a team under one name, for rules to speak of."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="groups")
    name = models.CharField(max_length=40, validators=[NAME])
    instances = models.ManyToManyField("instances.Instance", blank=True, related_name="groups")

    class Meta:
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=("team", "name"), name="one_group_name_per_team")]

    def __str__(self) -> str:
        return self.name


class Rule(models.Model):
    """One line of a network's or an instance's rules. The first that fits decides; what none fits is allowed. See `sharing.binds`."""

    class Action(models.TextChoices):
        ALLOW = "allow"
        DENY = "deny"

    class Direction(models.TextChoices):
        IN = "in"
        OUT = "out"

    class Protocol(models.TextChoices):
        ANY = "any"
        TCP = "tcp"
        UDP = "udp"
        ICMP = "icmp"  # ICMPv6 too

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="rules")
    network = models.ForeignKey(Network, null=True, blank=True, on_delete=models.CASCADE, related_name="rules")
    instance = models.ForeignKey("instances.Instance", null=True, blank=True, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField(default=0)
    action = models.CharField(max_length=5, choices=Action)
    direction = models.CharField(max_length=3, choices=Direction)
    protocol = models.CharField(max_length=4, choices=Protocol, default=Protocol.ANY)
    port_first = models.PositiveIntegerField(null=True, blank=True, validators=PORT)
    port_last = models.PositiveIntegerField(null=True, blank=True, validators=PORT)
    peer_cidr = models.CharField(max_length=43, blank=True, help_text="v4 or v6")
    peer_group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    peer_network = models.ForeignKey(Network, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    gone_peer = models.CharField(max_length=40, blank=True, help_text="The name of another team's network that was the peer: fits nothing.")
    counts = models.JSONField(default=list, help_text="[packets, bytes] that it decided")

    class Meta:
        ordering = ("position",)
        constraints = [
            models.CheckConstraint(
                condition=Q(network=None, instance__isnull=False) | Q(network__isnull=False, instance=None), name="a_rule_has_one_owner"
            ),
            models.CheckConstraint(
                condition=Q(gone_peer="") | Q(peer_cidr="", peer_group=None, peer_network=None), name="a_gone_peer_is_the_only_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.direction} {self.protocol}"


class PublishedAddress(models.Model):
    """An address of the host that forwards may bind beside loopback: an admin's word, with the ports that go with it."""

    host = models.ForeignKey("core.Host", on_delete=models.CASCADE, related_name="published_addresses")
    address = models.GenericIPAddressField(protocol="IPv4", help_text="0.0.0.0: all of them")
    port_first = models.PositiveIntegerField(default=1024, validators=PORT)
    port_last = models.PositiveIntegerField(default=65_535, validators=PORT)
    teams = models.ManyToManyField("teams.Team", blank=True, related_name="+", help_text="Empty: every team.")

    class Meta:
        ordering = ("address", "port_first")
        verbose_name_plural = "published addresses"

    def __str__(self) -> str:
        return f"{self.address}:{self.port_first}-{self.port_last}"

    @property
    def example(self) -> str:
        """As it is typed before a port: the address and its first port."""
        return f"{self.address}:{self.port_first}"

    def clean(self) -> None:
        """The admin's form asks."""
        if self.port_first is not None and self.port_last is not None and self.port_first > self.port_last:
            raise ValidationError({"port_last": f"The range {self.port_first}-{self.port_last} runs backwards."})


class PortForward(models.Model):
    """One port of a host that leads to one port of a NIC. One row for each port: the database refuses a second taker."""

    class Protocol(models.TextChoices):
        TCP = "tcp"
        UDP = "udp"

    nic = models.ForeignKey(Nic, on_delete=models.CASCADE, related_name="forwards")
    host = models.ForeignKey("core.Host", on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="+")
    protocol = models.CharField(max_length=3, choices=Protocol, default=Protocol.TCP)
    host_address = models.GenericIPAddressField(protocol="IPv4", default="127.0.0.1")
    host_port = models.PositiveIntegerField(validators=PORT)
    guest_port = models.PositiveIntegerField(validators=PORT)
    bound_port = models.PositiveIntegerField(validators=PORT, help_text="What QEMU binds: the same, or a high port for one under 1024.")

    is_withdrawn = models.BooleanField(default=False, help_text="Its address is published no more: it leads nowhere until it is again.")

    class Meta:
        ordering = ("protocol", "host_port")
        constraints = [
            # An address is not part of it: 0.0.0.0 and 127.0.0.1 would clash on the host, and a port means one thing to people.
            models.UniqueConstraint(fields=("host", "protocol", "host_port"), name="one_taker_per_host_port"),
            models.UniqueConstraint(fields=("host", "protocol", "bound_port"), name="one_binder_per_host_port"),
        ]

    def __str__(self) -> str:
        return f"{self.host_address}:{self.host_port} → {self.guest_port}/{self.protocol}"
