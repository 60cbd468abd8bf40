"""The packet filter of bridged networks as text for nft: two tables, replaced as a whole. Pure; `linux` and `fake` both go by it."""

from collections.abc import Sequence

from networks.fabric import filter_nets, filter_taps
from networks.fabric.base import Counts, NetworkPlan
from networks.fabric.filter_values import checked, checked_tag

NOTHING_COUNTED = Counts(nics={}, rules={})


def table_names(tag: str) -> tuple[str, str]:
    """The tables of the installation with this tag: of family bridge, then of family inet. Raises: FabricError("bad_network")."""
    return f"ow{checked_tag(tag)}_taps", f"ow{tag}_nets"


def render(tag: str, networks: Sequence[NetworkPlan], counts: Counts = NOTHING_COUNTED) -> str:
    """The text for `nft -f` that makes both tables exactly these; their counters go on from `counts`.

    Without a network there are no tables. Names of counters: `filter_taps.counter_names`, `filter_rules.counter_name`.
    Raises: FabricError("bad_network") naming the value.
    """
    return text_of(tag, checked(tag, networks), counts)


def text_of(tag: str, plans: Sequence[NetworkPlan], counts: Counts = NOTHING_COUNTED) -> str:
    """The same of plans that `checked` gave."""
    if not plans:
        return render_removal(tag)
    taps, nets = table_names(tag)
    wildcard = f"ow{tag}*"
    return render_removal(tag) + filter_taps.table(taps, plans, counts, wildcard) + filter_nets.table(nets, plans, counts, wildcard)


def render_removal(tag: str) -> str:
    """The text that removes both tables, there or not."""
    taps, nets = table_names(tag)
    tables = (f"bridge {taps}", f"inet {nets}")
    return "".join(f"add table {table}\ndelete table {table}\n" for table in tables)
