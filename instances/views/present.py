"""Rows and pages as templates want them: an instance with its badge, addresses, buttons and bars. Called by the views."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet

from instances import shown
from instances.models import Image, Instance
from instances.states import Verb
from opsweb.core.access import Actor
from opsweb.core.models import Operation

# The buttons in a page's head, by what is so; the rest is in the menu behind them.
PRIMARY: dict[bool, tuple[Verb, ...]] = {True: (Verb.STOP, Verb.REBOOT), False: (Verb.START,)}


def with_relations(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """What a row or a page needs, in a constant number of queries."""
    return rows.select_related("image", "host", "team", "created_by").prefetch_related("nics__forwards", "nics__network")


@dataclass
class Shown:
    """An instance for a template."""

    instance: Instance
    operation: Operation | None
    actor: Actor

    @cached_property
    def badge(self) -> shown.Badge:
        """Its state in words, with a tone."""
        return shown.badge(self.instance, self.operation)

    @cached_property
    def forwards(self) -> list[dict[str, Any]]:
        """Its port forwards with links."""
        return shown.forwards(self.instance)

    @cached_property
    def addresses(self) -> list[str]:
        """Where it can be reached."""
        return shown.addresses(self.instance)

    @cached_property
    def nics(self) -> list[dict[str, Any]]:
        """Its NICs, those on networks with their addresses."""
        return shown.nics(self.instance)

    @cached_property
    def buttons(self) -> list[shown.VerbButton]:
        """Every verb, with the sentence why it can't be pressed."""
        return shown.verb_buttons(self.instance, self.actor)

    @property
    def primary(self) -> list[shown.VerbButton]:
        """The verbs in the head of its page."""
        wanted = PRIMARY[self.instance.is_up]
        return [button for button in self.buttons if button.verb in wanted]

    @property
    def secondary(self) -> list[shown.VerbButton]:
        """The verbs in the menu."""
        wanted = PRIMARY[self.instance.is_up]
        return [button for button in self.buttons if button.verb not in wanted]

    @property
    def live(self) -> str:
        """What its fragment listens to."""
        names = [f"instance:{self.instance.pk}", f"image:{self.instance.image_id}"]
        return " ".join([*names, f"operation:{self.operation.pk}"] if self.operation else names)


def shown_rows(instances: Iterable[Instance], actor: Actor) -> list[Shown]:
    """Rows with their active operations. One query beside theirs."""
    rows = list(instances)
    active = shown.active_operations(rows)
    return [Shown(row, active.get(row.pk), actor) for row in rows]


LEAST_WIDTH = 0.7  # percent: what is too short to be seen is seen


@dataclass(frozen=True)
class Bar:
    """One step of the waterfall; x and width in percent of the whole."""

    name: str
    x: float
    width: float
    until: str
    tone: str  # "host", "guest", "port"


def bars(instance: Instance, start: Operation | None) -> list[Bar]:
    """The waterfall of the last start, scaled to its whole length."""
    times = shown.boot_times(instance, start)
    whole = max((item["start_ms"] + item["ms"] for item in times), default=0) or 1
    host = {step["name"] for step in (start.steps if start else [])}
    return [
        Bar(
            name=item["name"],
            x=min(round(100 * item["start_ms"] / whole, 2), 100 - LEAST_WIDTH),
            width=max(round(100 * item["ms"] / whole, 2), LEAST_WIDTH),
            until=_until(item["start_ms"] + item["ms"]),
            tone="host" if item["name"] in host else "port" if item["name"].startswith("port") else "guest",
        )
        for item in times
    ]


def _until(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


IMAGE_TONES = {"ready": ("Ready", "run"), "building": ("Building…", "wait"), "failed": ("Failed", "bad")}


def image_badge(image: Image) -> shown.Badge:
    """Its state in words, with a tone."""
    return shown.Badge(*IMAGE_TONES[image.state]) if image.is_wanted else shown.Badge("Deleting…", "wait")
