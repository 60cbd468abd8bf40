"""config/check: what the panel makes of a config.json, without making anything. Its reading is the one that images and instances get."""

import json
from typing import Any

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from instances.api.schemas import ConfigIn
from instances.imaging.opsconfig import OpsConfig
from instances.services.create import InstanceSpec, Ports
from instances.services.images import check_name, defaults_of, notes_of, read_config
from opsweb.teams.api.answers import Note

router = Router()


class Checked(BaseModel):
    """What is taken from a config, and what happens to its other fields."""

    config: dict[str, Any]
    notes: list[Note]


@router.post("check", response=Checked, url_name="check_config")
def check_config(request: HttpRequest, payload: ConfigIn) -> Checked:
    """What would be refused later is refused here, before anything is made; 422 names line, column and the mend."""
    config = read_config(payload.text)
    for name in filter(None, (config.instance_name, config.image_name)):
        check_name(name)
    said_beside = InstanceSpec(ports=payload.ports, udp_ports=payload.udp_ports)
    Ports.of(said_beside.over(defaults_of(config)))
    said = vars(config) | {"bridging": config.bridging.as_json(), "notes": ()}
    return Checked(config={name: value for name, value in said.items() if value}, notes=[Note(**note) for note in notes_of(config)])


def config_of(given: dict[str, Any] | str | None) -> OpsConfig | None:
    """A config as a body carries it: an object, or the text of the file (whose line and column an error names). Raises: Invalid."""
    if given is None:
        return None
    return read_config(given if isinstance(given, str) else json.dumps(given))
