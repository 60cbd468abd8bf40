"""`opsweb network …`: make, look at, change and remove networks."""

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from opsweb.cli import operations
from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Usage
from opsweb.cli.screen import Screen, harmless, table
from opsweb.cli.session import Session

HEAD = ("NAME", "STATE", "MODE", "SUBNET", "GATEWAY", "IPV6", "NICS", "TEAM")
LEASES = ("ADDRESS", "MAC", "NAME", "INSTANCE", "EXPIRES")
SAME = ("name", "mode", "adapter", "dhcp", "mtu", "domain", "resolvers", "shared_with")  # as the panel calls them


def create(session: Session) -> None:
    """Make a network; returns when it is up."""
    panel, screen = session.panel, session.screen
    body = {"team": panel.team, **_values(session.args)}
    if session.args.dry_run:
        _preview(session, body)
        return
    _show_done(panel, screen, panel.post("networks/", body))


def edit(session: Session) -> None:
    """Change a network; returns when the host has it."""
    panel, values = session.panel, {name: value for name, value in _values(session.args).items() if value is not None}
    if not values:
        raise Usage("Nothing was said to change. `opsweb network edit --help` tells what can be.")
    network = panel.find("networks", session.args.network)
    if session.args.dry_run:
        _preview(session, {"network": network["id"], **values})
        return
    _show_done(panel, session.screen, panel.patch(f"networks/{network['id']}/", values))


def _preview(session: Session, body: Json) -> None:
    found = session.panel.post("networks/preview/", body)
    _warn(session.screen, found)
    texts = [f"{section['title']}\n{section['text']}" for section in found["sections"]]
    session.screen.result(found, "\n\n".join(texts) or "Nothing would change on the host.")


def _values(args: Namespace) -> Json:
    first, dash, last = (args.dhcp_range or "").partition("-")
    if args.dhcp_range and not (first and dash and last):
        raise Usage(f"“{args.dhcp_range}” is no range; it looks like 192.168.33.100-192.168.33.199.")
    return {
        **{name: getattr(args, name) for name in SAME},
        "cidr4": args.subnet,
        "cidr6": args.ipv6,
        "nat6": args.nat6,
        "dhcp_first": first or None,
        "dhcp_last": last or None,
        "lease_seconds": args.lease,
        "records": dict(args.records) if args.records else None,
    }


def _show_done(panel: Panel, screen: Screen, answer: Json) -> None:
    operations.finish(panel, answer["operation"])
    network = panel.patient(lambda: panel.get(f"networks/{answer['network']['id']}/"))
    _warn(screen, network)
    screen.result(network, summary(network))


def _warn(screen: Screen, network: Json) -> None:
    for warning in network.get("warnings") or []:
        screen.note(f"warning: {warning['message']} ({warning['code']})")


def list_all(session: Session) -> None:
    """All networks that one may use."""
    networks = session.panel.everything("networks/", team=session.panel.team)
    session.screen.items(networks, table(HEAD, map(_row, networks)))


def show(session: Session) -> None:
    """One network, as the panel knows it."""
    network = _named(session)
    _warn(session.screen, network)
    session.screen.result(network, details(network))


def delete(session: Session) -> None:
    """Remove a network that no instance is on."""
    panel = session.panel
    network = _named(session)
    operation = operations.finish(panel, panel.delete(f"networks/{network['id']}/"))
    session.screen.result(operation, f"{network['name']}: deleted")


def repair(session: Session) -> None:
    """Look at it now and put right what differs; returns when it is done."""
    panel = session.panel
    network = _named(session)
    operation = operations.finish(panel, panel.post(f"networks/{network['id']}/actions/", {"verb": "repair"}))
    network = panel.get(f"networks/{network['id']}/")
    _warn(session.screen, network)
    session.screen.result(operation, summary(network))


def leases(session: Session) -> None:
    """What its DHCP server has given out."""
    found = session.panel.everything(f"networks/{_named(session)['id']}/leases/")
    rows = ((each["address"], each["mac"], each["name"], each["instance"], each["expires_at"] or "never") for each in found)
    session.screen.items(found, table(LEASES, rows))


def summary(network: Json) -> str:
    """Name, state and addresses in a line; why it failed in a second one."""
    facts = [network["label"], network["cidr4"], f"gateway {network['gateway4']}", network.get("cidr6")]
    line = f"{network['name']}: {', '.join(str(fact) for fact in facts if fact)}"
    return f"{line}\n  {network['message']}" if network.get("message") else line


def details(network: Json) -> str:
    """Everything that matters, one fact a line."""
    pool = f"{network['dhcp_first']}-{network['dhcp_last']}, {network['lease_seconds']} s" if network["dhcp"] else "no"
    facts: dict[str, Any] = {
        "name": network["name"],
        "state": network["label"],
        "message": network.get("message"),
        "id": network["id"],
        "team": network["team"],
        "mode": " ".join(filter(None, (network["mode"], network.get("adapter")))),
        "IPv4": f"{network['cidr4']}, gateway {network['gateway4']}",
        "IPv6": _ipv6(network),
        "DHCP": pool,
        "MTU": network["mtu"],
        "domain": network.get("domain"),
        "resolvers": " ".join(network.get("resolvers") or []),
        "records": " ".join(f"{name}={address}" for name, address in (network.get("records") or {}).items()),
        "shared with": " ".join(network.get("shared_with") or []),
        "linked": " ".join(network.get("linked") or []),
        "NICs": network["nics"],
        "created": f"{network['created_at']} by {network['created_by']}",
    }
    lines = [f"{name + ':':<13}{harmless(value)}" for name, value in facts.items() if value not in (None, "")]
    return "\n".join([*lines, *_drift(network.get("drift") or [])])


def _ipv6(network: Json) -> str:
    if not network.get("cidr6"):
        return "none"
    way = {"nat": ", NAT66" if network["nat6"] else ", routed"}.get(network["mode"], "")
    return f"{network['cidr6']}, gateway {network['gateway6']}{way}"


def _drift(found: Iterable[Json]) -> list[str]:
    return [f"drift:       {each['at']} {each['what']} {each['reason']}{', mended' if each.get('mended') else ''}" for each in found]


def _row(network: Json) -> tuple[object, ...]:
    addresses = (network["cidr4"], network["gateway4"], network.get("cidr6") or "-")
    return (network["name"], network["label"], network["mode"], *addresses, network["nics"], network["team"])


def _named(session: Session) -> Json:
    return session.panel.find("networks", session.args.network)
