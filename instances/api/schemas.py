"""What goes into the API: bodies and queries, closed (an unknown key is refused) and bounded. What comes out is in `answers`."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from instances.imaging import opsnetwork
from instances.imaging.opsnetwork import Bridging, NicWish
from instances.services.create import InstanceSpec
from instances.services.uploads import MAX_SIZE
from instances.states import Verb
from networks.api.schemas import MAX_NICS, NicIn
from networks.models import Network
from opsweb.teams.api.schemas import Closed, Label, PageQuery, Text, without_nul

MAX_CONFIG = 1024**2  # characters of a config.json
Config = Annotated[str, StringConstraints(max_length=MAX_CONFIG), AfterValidator(without_nul)]


class ImageQuery(PageQuery):
    """Images, all that one may see or fewer."""

    name: Label = ""
    team: Label = ""


class InstanceQuery(ImageQuery):
    """Instances; `state` is what was seen last."""

    state: Literal["", "unknown", "absent", "stopped", "running", "paused", "crashed"] = ""


class OperationQuery(PageQuery):
    """Operations, newest first."""

    active: bool = False
    target_id: UUID | None = None


class UploadIn(Closed):
    """An announcement: so many bytes will come."""

    filename: Annotated[Label, Field(min_length=1)]
    size: int = Field(ge=1, le=100 * MAX_SIZE, description="bytes")
    team: Label = ""


class ImageIn(Closed):
    """An image to be built of uploads."""

    name: Label
    team: Label = ""
    program: UUID | None = Field(None, description="An upload: the program, a Linux ELF.")
    files: UUID | None = Field(None, description="An upload: a tar or zip of files that go with it.")
    program_name: Label = Field("", description="Its file name in the guest.")
    config: dict[str, Any] | Config | None = Field(None, description="OPS's config.json, as an object or as text.")


def _checked(check: Callable[[str], str]) -> AfterValidator:
    """Empty says nothing."""
    return AfterValidator(lambda text: check(text) if text else "")


class NicWishIn(Closed):
    """One of OPS's RunConfig.Nics."""

    ip_address: Annotated[Label, _checked(opsnetwork.ipv4_address)] = ""
    ipv6_address: Annotated[Label, _checked(opsnetwork.ipv6_address)] = ""
    net_mask: Annotated[Label, _checked(opsnetwork.net_mask)] = ""
    gateway: Annotated[Label, _checked(opsnetwork.ipv4_address)] = ""
    bridge_name: Annotated[Label, _checked(opsnetwork.network_name)] = ""


class BridgingIn(NicWishIn):
    """OPS's words for bridged networking; they come before those of the config. Names are of the team's own network and NIC."""

    bridged: bool | None = None
    tap_name: Annotated[Label, _checked(opsnetwork.nic_name)] = ""
    bridge_ip_address: Annotated[Label, _checked(opsnetwork.ipv4_address)] = ""
    nics: list[NicWishIn] = Field([], max_length=opsnetwork.MAX_NICS)
    create_network: bool = Field(True, description="false: explain instead of making a network that is missing.")

    def wish(self) -> Bridging:
        """As the services take it."""
        words = {name: getattr(self, name) for name in opsnetwork.OPS_NAMES if name != "nics"}
        return Bridging(**words, nics=tuple(NicWish(**vars(nic)) for nic in self.nics))


class SpecIn(Closed):
    """What an instance can be given; left out or null: as the image's config, or the panel's default, has it."""

    vcpus: int | None = Field(None, ge=1, le=64)
    memory_mib: int | None = Field(None, ge=128, le=1_048_576)
    args: list[Text] | None = None
    env: dict[Text, Text | None] | None = Field(None, description="null keeps the value of a secret one.")
    secret_env: list[Text] | None = Field(None, description="Names in `env` whose values nobody gets to see again.")
    ports: list[Text] | None = Field(None, description='TCP: "8080", "18081:8080", "127.0.0.1:18081:8080", "9000-9005".')
    udp_ports: list[Text] | None = None
    hosts: dict[Text, Text] | None = Field(None, description="Names for the guest's /etc/hosts: {name: IPv4 address}.")
    nameservers: list[Text] | None = None
    restart_policy: Literal["never", "on-failure", "always"] | None = None
    autostart: bool | None = None
    reboot_on_exit: bool | None = None
    nics: list[NicIn] | None = Field(None, max_length=MAX_NICS, description="Ports lead to the first. Left out: one in user mode.")

    def spec(self, network_named: Callable[[str], Network]) -> InstanceSpec:
        """As the services take it. Raises: NotFound for a network that may not be used."""
        values = {name: getattr(self, name) for name in SpecIn.model_fields}
        if self.nics is not None:
            values["nics"] = [nic.spec(network_named(nic.network) if nic.network else None) for nic in self.nics]
        return InstanceSpec(**values)


class InstanceIn(SpecIn):
    """An instance to be made."""

    name: Label = Field("", description="Left out: the config's InstanceName, else the image's name, numbered if taken.")
    team: Label = ""
    image: Label = Field(description="An image's id, or its name in the team.")
    start: bool = True
    config: dict[str, Any] | Config | None = Field(None, description="OPS's config.json; what is said beside it comes first.")
    bridging: BridgingIn | None = Field(None, description="OPS's flags; not beside `nics`.")


class InstancePatch(SpecIn):
    """What is to change; ports of a running VM change at once, the rest at its next start."""

    name: Label | None = None


class ActionIn(Closed):
    """A verb for an instance."""

    verb: Verb


class ConfigIn(Closed):
    """A config.json to look at, and the ports that are said beside it."""

    text: Config
    ports: list[Text] | None = None
    udp_ports: list[Text] | None = None
