"""`opsweb network rules …`: what may pass, of a network or of one instance. The panel judges; a rule reads like a sentence here."""

import json
import re
from pathlib import Path

from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Usage
from opsweb.cli.session import Session

ACTIONS, DIRECTIONS, PROTOCOLS = ("allow", "deny"), ("in", "out"), ("any", "tcp", "udp", "icmp")
FIELDS = ("action", "direction", "protocol", "ports", "peer")
MAX_BYTES = 1024**2
LOOKS_LIKE = 'A rule looks like "deny in tcp 22 from any" or "allow out udp 53 to 10.0.0.0/8".'


def rules(session: Session) -> None:
    """list, set FILE, add RULE, remove N."""
    target, verb, value = _words(session.args.words, session.args.instance)
    if verb not in VERBS or (verb == "list") == bool(value):
        raise Usage("Say what to do with the rules: list, set FILE, add RULE or remove N. See `opsweb network rules --help`.")
    kind = "instances" if session.args.instance else "networks"
    panel = session.panel
    path = f"{kind}/{panel.find(kind, target)['id']}/rules/"
    _print(session, VERBS[verb](panel, path, value))


def _words(words: list[str], instance: str | None) -> tuple[str, str, str]:
    target, rest = (instance, words) if instance else (words[0], words[1:])
    verb, *values = rest or [""]
    return target, verb, " ".join(values)


def _print(session: Session, found: Json) -> None:
    lines = [f"{number:>3}  {written(rule)}{_counted(rule)}" for number, rule in enumerate(found["items"], 1)]
    session.screen.items(found["items"], "\n".join(lines) or "No rules: everything passes that the network's isolation lets through.")


def _counted(rule: Json) -> str:
    return f"  # {rule['packets']} packets" if rule.get("packets") else ""


def _list(panel: Panel, path: str, value: str) -> Json:
    return panel.get(path)


def _set(panel: Panel, path: str, value: str) -> Json:
    return panel.replace(path, {"rules": read(_text(Path(value)))})


def _add(panel: Panel, path: str, value: str) -> Json:
    return panel.replace(path, {"rules": [*_bare(panel, path), parsed(value)]})


def _remove(panel: Panel, path: str, value: str) -> Json:
    there = _bare(panel, path)
    number = int(value) if value.isascii() and value.isdecimal() else 0
    if not 1 <= number <= len(there):
        raise Usage(f"There is no rule {value}: `list` numbers them from 1 to {len(there)}." if there else "There are no rules.")
    return panel.replace(path, {"rules": [rule for place, rule in enumerate(there, 1) if place != number]})


VERBS = {"list": _list, "set": _set, "add": _add, "remove": _remove}


def _bare(panel: Panel, path: str) -> list[Json]:
    return [{name: rule[name] for name in FIELDS} for rule in panel.get(path)["items"]]


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Usage(f"{path} can't be read: {error.strerror}.", code="no_rules") from error
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 text.", code="bad_rules") from error
    if len(text) > MAX_BYTES:
        raise Usage(f"{path} has more than {MAX_BYTES} characters; those are no rules.", code="bad_rules")
    return text


def read(text: str) -> list[Json]:
    """The rules of a file: what `list` prints, with or without --json. Raises: Usage."""
    if not text.lstrip().startswith(("{", "[")):
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return [parsed(line) for line in lines if line]
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Usage(f"The rules are no JSON: {error}.", code="bad_rules") from error
    items = value.get("items", value.get("rules")) if isinstance(value, dict) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Usage("The rules must be a list of objects, as `list --json` prints them.", code="bad_rules")
    return [{name: item[name] for name in FIELDS if name in item} for item in items]


def parsed(text: str) -> Json:
    """ "deny in tcp 22 from any" as the panel takes it; a number before it, as `list` prints it, counts for nothing. Raises: Usage."""
    words = re.sub(r"^\s*[0-9]+\s+", "", text).split()
    peer = ""
    if len(words) >= 2 and words[-2] in ("from", "to"):
        _refuse_unless((words[-2] == "from") == (words[1] == "in"), text, f"“in” goes with “from”, “out” with “to”. {LOOKS_LIKE}")
        peer, words = words[-1], words[:-2]
    _refuse_unless(3 <= len(words) <= 4, text, LOOKS_LIKE)
    action, direction, protocol, *ports = words
    for word, known in ((action, ACTIONS), (direction, DIRECTIONS), (protocol, PROTOCOLS)):
        _refuse_unless(word in known, text, f"{word} is none of {', '.join(known)}. {LOOKS_LIKE}")
    return dict(zip(FIELDS, (action, direction, protocol, "".join(ports), "" if peer == "any" else peer), strict=True))


def _refuse_unless(good: bool, text: str, why: str) -> None:
    if not good:
        raise Usage(f"“{text}” is no rule. {why}", code="bad_rules")


def written(rule: Json) -> str:
    """The rule as `parsed` reads it."""
    word = "from" if rule["direction"] == "in" else "to"
    words = (rule["action"], rule["direction"], rule["protocol"], rule.get("ports"), word, rule.get("peer") or "any")
    return " ".join(word for word in words if word)
