"""The rows of the rules editor: what people type and what a row of the database reads like. Called by views of both apps."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.http import QueryDict

from networks.models import Rule
from networks.services.rules import RuleSpec, spec_of

COLUMNS = ("action", "direction", "protocol", "ports", "peer")
MOST = 200  # rows that a form may send; a team's quota says less
ANY_PEERS = ("any", "anybody", "anywhere")


@dataclass(frozen=True)
class RuleRow:
    """One row of the editor."""

    action: str = "allow"
    direction: str = "in"
    protocol: str = "tcp"
    ports: str = ""
    peer: str = ""

    def spec(self) -> RuleSpec:
        """As the service takes it."""
        return RuleSpec(self.action, self.direction, self.protocol, self.ports, self.peer)


def rows_of_post(data: QueryDict) -> list[RuleRow]:
    """The editor's rows in their order."""
    columns = (data.getlist(f"rule_{name}")[:MOST] for name in COLUMNS)
    rows = [RuleRow(*(value.strip() for value in row)) for row in zip(*columns, strict=False)]
    return [row if row.peer.lower() not in ANY_PEERS else RuleRow(row.action, row.direction, row.protocol, row.ports) for row in rows]


def rows_of_rules(rules: Iterable[Rule]) -> list[RuleRow]:
    """What is saved, as rows to edit. Select `peer_group` and `peer_network` with them."""
    return [RuleRow(**vars(spec_of(rule))) for rule in rules]
