"""NICs and port forwards. Networks of their own (bridges) join them in the next release."""

import secrets
import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

PORT = (MinValueValidator(1), MaxValueValidator(65_535))


def new_mac() -> str:
    """A random unicast, locally administered MAC (IEEE 802, first octet 02)."""
    return ":".join(("02", *(f"{byte:02x}" for byte in secrets.token_bytes(5))))


class Nic(models.Model):
    """A network adapter of an instance. Without a network it is a user-mode NIC."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="nics")
    position = models.PositiveSmallIntegerField(default=0)
    mac = models.CharField(max_length=17, unique=True, default=new_mac)

    class Meta:
        ordering = ("position",)
        constraints = [models.UniqueConstraint(fields=("instance", "position"), name="one_nic_per_position")]

    def __str__(self) -> str:
        return self.mac


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

    class Meta:
        ordering = ("protocol", "host_port")
        constraints = [
            # An address is not part of it: 0.0.0.0 and 127.0.0.1 would clash on the host, and a port means one thing to people.
            models.UniqueConstraint(fields=("host", "protocol", "host_port"), name="one_taker_per_host_port"),
            models.UniqueConstraint(fields=("host", "protocol", "bound_port"), name="one_binder_per_host_port"),
        ]

    def __str__(self) -> str:
        return f"{self.host_address}:{self.host_port} → {self.guest_port}/{self.protocol}"
