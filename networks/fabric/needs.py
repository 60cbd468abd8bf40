"""Which of the host's switches each installation of opsweb needs, told to the others: an nft table each, which no packet meets.

It is in the kernel, in the network namespace whose switches they are: a killed installation leaves it as it leaves its bridges, and
nothing survives a boot. A set "ipv4" or "ipv6" is a need. With "ipv4_off" that switch was off when the first installation came; its
elements are the links that forwarded nevertheless. "accept_ra_off" has the links whose accept_ra was 1.
"""

import re
from collections.abc import Mapping, Sequence

from networks.fabric import names, netlink, nfnetlink, nft
from networks.fabric.filter_values import checked_tag
from networks.fabric.nft_text import named_set

_TABLE = re.compile(r"ow([0-9a-f]{4})_needs", re.ASCII)
_NETS = re.compile(r"ow([0-9a-f]{4})_nets", re.ASCII)
_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}", re.ASCII)  # a name that can't mean anything else in nft's text


def text_of(installation: str, needed: Mapping[str, Sequence[str] | None], *, anew: bool) -> str:
    """nft's text that tells exactly this: what is needed → the elements of its "_off" set, None for no such set. "" where it is told.

    `anew`: other elements than last time.
    """
    found = {f"{name}_off": elements for name, elements in needed.items() if elements is not None}
    sets: dict[str, Sequence[str]] = dict.fromkeys(needed, ()) | found
    table = _table(installation)
    if nfnetlink.sets(nfnetlink.INET, table) == set(sets) and not (anew and sets):
        return ""
    text = f"add table inet {table}\ndelete table inet {table}\n"
    if sets:
        body = (named_set(name, "type ifname", _quoted(elements)) for name, elements in sorted(sets.items()))
        text += f"table inet {table} {{\n" + "".join(body) + "}\n"
    return text


def of_others(installation: str) -> set[str]:
    """What other installations need. One that has neither filter nor bridge has gone, however its table came to stay."""
    tags = _others(installation)
    return {name for tag in tags for name in nfnetlink.sets(nfnetlink.INET, _table(tag))}


def found_by_others(installation: str, name: str) -> list[str] | None:
    """The elements of the "_off" set that another installation has for `name`; None when none has one."""
    for tag in sorted(_others(installation)):
        if f"{name}_off" in nfnetlink.sets(nfnetlink.INET, _table(tag)):
            return nft.elements(_table(tag), f"{name}_off")
    return None


def are_unknown(installation: str) -> bool:
    """Whether some other installation has bridges here and no table: somebody flushed the rules, and its need with them."""
    tables = nfnetlink.tables(nfnetlink.INET)
    known = {match[1] for table in tables if (match := _TABLE.fullmatch(table) or _NETS.fullmatch(table))}
    return bool(_bridged() - known - {installation})


def _others(installation: str) -> set[str]:
    tables = nfnetlink.tables(nfnetlink.INET)
    told = {match[1] for table in tables if (match := _TABLE.fullmatch(table))} - {installation}
    if not told:
        return told
    return told & ({match[1] for table in tables if (match := _NETS.fullmatch(table))} | _bridged())


def _bridged() -> set[str]:
    """Installations that have a bridge here."""
    with netlink.opened("list the host's links") as ip:
        found = [row.get_attr("IFLA_IFNAME") for row in ip.get_links()]
    return {name[2:6] for name in found if names.is_bridge(name, name[2:6])}


def _table(installation: str) -> str:
    return f"ow{checked_tag(installation)}_needs"


def _quoted(links: Sequence[str]) -> list[str]:
    return [f'"{link}"' for link in sorted(links) if _LINK.fullmatch(link)]
