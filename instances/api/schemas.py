"""What goes into the API: bodies and queries, closed (an unknown key is refused) and bounded. What comes out is in `answers`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from instances.services.create import InstanceSpec
from instances.services.uploads import MAX_SIZE
from instances.states import Verb

MAX_CONFIG = 1024**2  # characters of a config.json
MAX_OFFSET = 1_000_000_000


def _without_nul(text: str) -> str:
    """A NUL ends a C string, and no text column of PostgreSQL takes it."""
    if "\0" in text:
        raise ValueError("A NUL character can't be used here.")
    return text


Text = Annotated[str, StringConstraints(max_length=65_536), AfterValidator(_without_nul)]
Label = Annotated[str, StringConstraints(max_length=200), AfterValidator(_without_nul)]
Config = Annotated[str, StringConstraints(max_length=MAX_CONFIG), AfterValidator(_without_nul)]


class Closed(BaseModel):
    """A misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Closed):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=500)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)


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

    def spec(self) -> InstanceSpec:
        """As the services take it."""
        return InstanceSpec(**{name: getattr(self, name) for name in SpecIn.model_fields})


class InstanceIn(SpecIn):
    """An instance to be made."""

    name: Label = Field("", description="Left out: the config's InstanceName, else the image's name, numbered if taken.")
    team: Label = ""
    image: Label = Field(description="An image's id, or its name in the team.")
    start: bool = True
    config: dict[str, Any] | Config | None = Field(None, description="OPS's config.json; what is said beside it comes first.")


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
