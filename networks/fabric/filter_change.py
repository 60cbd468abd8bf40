"""From one text of the packet filter to another: what differs alone, as one transaction. Pure.

A whole replacement takes nft the longer the more NICs there are; other rules for them change a few chains and maps.
"""

import re
from collections.abc import Collection, Mapping

_TABLE = re.compile(r"^table (\w+ \w+) \{\n(.*?)^\}\n", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^\t(\w+) (\w+) \{\n.*?^\t\}\n", re.MULTILINE | re.DOTALL)
_ELEMENTS = re.compile(r"^\t\telements = \{.*", re.MULTILINE | re.DOTALL)

_Blocks = Mapping[tuple[str, str], str]  # (kind, name) → its text


def change(before: str, after: str) -> str | None:
    """The text for nft that makes what `before` made into what `after` would make, both as `filter.render` gives them without counts.

    None where only a whole replacement does: another table, a limit, another kind of set, a rule that now counts in one table less.
    """
    old, new = _tables(before), _tables(after)
    if old.keys() != new.keys():
        return None
    counted = {key for blocks in new.values() for key in blocks if key[0] == "counter"}
    parts = [_of_table(table, old[table], new[table], counted) for table in new]
    return "".join(part for part in parts if part) if None not in parts else None


def _tables(text: str) -> dict[str, _Blocks]:
    return {name: {(block[1], block[2]): block[0] for block in _BLOCK.finditer(body)} for name, body in _TABLE.findall(text)}


def _of_table(table: str, old: _Blocks, new: _Blocks, counted: Collection[tuple[str, str]]) -> str | None:
    """First all that goes is emptied, so that nothing holds anything else; what stays is then filled as if it were new."""
    changed = [key for key in new if key in old and old[key] != new[key]]
    if any(_frame(key[0], old[key]) != _frame(key[0], new[key]) for key in changed):
        return None
    gone = [key for key in old if key not in new]
    if any(key[0] == "limit" or key in counted for key in gone):  # what it counted here would be lost: the whole text adds it up
        return None
    lines = [f"flush {kind} {table} {name}\n" for kind, name in (*changed, *gone) if kind != "counter"]
    lines += [f"delete {kind} {table} {name}\n" for kind, name in gone]
    blocks = [block for key, block in new.items() if key not in old or key in changed]
    return "".join((*lines, f"table {table} {{\n", *blocks, "}\n")) if lines or blocks else ""


def _frame(kind: str, block: str) -> str:
    """What of the block cannot change while it stands: the hook of a chain, the type of a set, all of anything else."""
    if kind == "chain":
        return "".join(line for line in block.splitlines() if line.startswith("\t\ttype "))
    return _ELEMENTS.sub("", block).removesuffix("\t}\n") if kind in ("set", "map") else block
