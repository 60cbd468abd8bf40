"""The nft table that keeps user-mode guests off the host: values checked, rendered as text. Pure; `linux` and `fake` both go by it.

QEMU's user-mode network turns 10.0.2.2 into the host's own 127.0.0.1, so a guest would reach whatever listens there. Every VM
runs under a uid of its own, and a socket's uid is what these rules go by (nft(8): meta skuid, the creator of the socket).
"""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from networks.fabric import checks
from networks.fabric.base import Endpoint, FabricError, Guard, Redirect
from networks.fabric.nft_text import REJECTS, base_chain, braces, chain, counter

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a forward on every address of the host
FIRST_FREE_PORT = 1024  # ports below it are root's (ip_unprivileged_port_start)

# Where clouds answer questions about the machine, passwords and keys among them. Link-local holds most (AWS, Azure, Google,
# OpenStack), the rest are Azure's platform channel, Alibaba's and Oracle's, then AWS's and Google's over IPv6.
METADATA_V4 = ("100.100.100.200", "168.63.129.16", "169.254.0.0/16", "192.0.0.192")
METADATA_V6 = ("fd00:ec2::254", "fd20:ce::254", "fe80::/10")

_CODE = "bad_guard"
_TAG = re.compile(r"[0-9a-f]{4}", re.ASCII)
_BRIDGE = re.compile(r"ow[0-9a-f]{12}b", re.ASCII)  # of whichever installation
_HIGHEST_UID = 2**32 - 2  # 2**32-1 means "no change" to setuid(2)


def table_name(tag: str) -> str:
    """The guard's table of the installation with this tag (4 hex digits). Raises: FabricError("bad_guard")."""
    if not _TAG.fullmatch(tag):
        raise FabricError(_CODE, f"The installation's tag must be 4 hexadecimal digits, not {tag[:20]!r}.")
    return f"ow{tag}_guard"


def checked(guard: Guard) -> Guard:
    """The same guard with its addresses in canonical form and its lists sorted. Raises: FabricError("bad_guard") naming the value."""
    _check_range(guard)
    canonical = functools.cache(
        lambda endpoints: tuple(sorted({checks.endpoint(e, _CODE) for e in endpoints}))
    )  # a team's VMs share one tuple
    redirects = tuple(sorted(Redirect(checks.endpoint(r.public, _CODE), checks.port(r.bound_port, _CODE)) for r in guard.redirects))
    _check_redirects(redirects)
    return Guard(
        uid_first=guard.uid_first,
        uid_last=guard.uid_last,
        allowed={uid: canonical(tuple(guard.allowed[uid])) for uid in sorted(guard.allowed)},
        redirects=redirects,
        bridged={uid: canonical(tuple(guard.bridged[uid])) for uid in sorted(guard.bridged)},
        uplinks=tuple(sorted({_bridge(name) for name in guard.uplinks})),
        shared_ports=tuple(sorted({checks.port(port, _CODE) for port in guard.shared_ports})),
        resolvers=tuple(sorted({_resolver(address) for address in guard.resolvers})),
    )


def render(tag: str, guard: Guard, refused: tuple[int, int] = (0, 0)) -> str:
    """The text for `nft -f` that makes the table exactly this guard; `refused` is (packets, bytes) the counter goes on from.

    Raises: FabricError("bad_guard").
    """
    guard = checked(guard)
    table = table_name(tag)
    body = [counter("refused", refused), _output(guard), _guest(guard), *_bridged(guard), _host(guard), _REFUSE, *_nat(guard.redirects)]
    return f"{render_removal(tag)}table inet {table} {{\n" + "\n".join(body) + "}\n"


def render_removal(tag: str) -> str:
    """The text that removes the table, there or not."""
    table = table_name(tag)
    return f"add table inet {table}\ndelete table inet {table}\n"


def _output(guard: Guard) -> str:
    hook = "type filter hook output priority filter; policy accept;"
    return chain("output", [hook, f"meta skuid {guard.uid_first}-{guard.uid_last} jump guest"])


def _guest(guard: Guard) -> str:
    return chain("guest", [
        # Answers to whoever came through a forward. Not "established": what a guest opened itself is judged packet by packet,
        # so a forward taken away is closed to connections that already use it.
        "ct direction reply accept",
        *_resolvers(guard.resolvers),
        *(["ct status dnat jump bridged"] if _reaching(guard.bridged) else []),
        'oifname "lo" jump host',
        f'oifname "ow*" {_no_uplink(guard.uplinks)}jump refuse',
        "fib daddr type { local, broadcast, anycast, multicast } jump refuse",
        f"ip daddr {braces(METADATA_V4)} jump refuse",
        f"ip6 daddr {braces(METADATA_V6)} jump refuse",
    ])  # fmt: skip


def _no_uplink(uplinks: Iterable[str]) -> str:
    names = [f'"{name}"' for name in uplinks]
    return f"oifname != {braces(names)} " if names else ""


def _bridged(guard: Guard) -> list[str]:
    """Translated already: the hook comes after NAT, and sees the guest's own address and port."""
    rules = [rule for uids, endpoints in _reaching(guard.bridged) for rule in _allow(uids, endpoints)]
    return [chain("bridged", rules)] if rules else []


def _resolvers(addresses: Iterable[str]) -> list[str]:
    rules = []
    for family, version in (("ip", 4), ("ip6", 6)):
        of_family = [address for address in addresses if ip_address(address).version == version]
        if of_family:
            rules.append(f"{family} daddr {braces(of_family)} meta l4proto {{ tcp, udp }} th dport 53 accept")
    return rules


def _host(guard: Guard) -> str:
    rules = []
    if guard.shared_ports:
        rules.append(f"meta l4proto {{ tcp, udp }} th dport {braces(map(str, guard.shared_ports))} accept")
    # The filter hook comes after NAT and sees the port that QEMU bound.
    bound = {r.public: Endpoint(r.public.protocol, r.public.address, r.bound_port) for r in guard.redirects}
    allowed = {uid: tuple(bound.get(e, e) for e in endpoints) for uid, endpoints in guard.allowed.items()}
    for uids, endpoints in _reaching(allowed):
        rules += _allow(uids, endpoints)
    return chain("host", [*rules, "jump refuse"])


def _reaching(endpoints_of: Mapping[int, tuple[Endpoint, ...]]) -> list[tuple[list[int], tuple[Endpoint, ...]]]:
    """VMs of one team may reach the same endpoints: one rule for all of them keeps the table small."""
    groups: dict[tuple[Endpoint, ...], list[int]] = {}
    for uid, endpoints in endpoints_of.items():
        if endpoints:
            groups.setdefault(endpoints, []).append(uid)
    return sorted((uids, endpoints) for endpoints, uids in groups.items())


def _allow(uids: Iterable[int], endpoints: Iterable[Endpoint]) -> list[str]:
    who = f"meta skuid {braces(map(str, uids))}"
    exact = [f"{e.address} . {e.protocol} . {e.port}" for e in endpoints if e.address != ANY_ADDRESS]
    anywhere = [f"{e.protocol} . {e.port}" for e in endpoints if e.address == ANY_ADDRESS]
    rules = []
    if exact:
        rules.append(f"{who} ip daddr . meta l4proto . th dport {braces(exact)} accept")
    if anywhere:
        rules.append(f"{who} meta nfproto ipv4 meta l4proto . th dport {braces(anywhere)} accept")
    return rules


_REFUSE = chain("refuse", ["counter name refused", *REJECTS])


def _nat(redirects: tuple[Redirect, ...]) -> list[str]:
    """Low ports for local clients and, unless on loopback, for those outside; the bound port is not given to the outside itself."""
    if not redirects:
        return []
    chains = [base_chain("nat_output", "nat", "output", "-100", [_dnat(r) for r in redirects])]
    outside = [r for r in redirects if not IPv4Address(r.public.address).is_loopback]
    if outside:
        chains.append(base_chain("nat_prerouting", "nat", "prerouting", "dstnat", [_dnat(r) for r in outside]))
        chains.append(base_chain("bound", "filter", "prerouting", "raw", [_drop_bound(r) for r in outside]))
    return chains


def _dnat(redirect: Redirect) -> str:
    public = redirect.public
    match = f"{_daddr(public.address)} {public.protocol} dport {public.port}"
    target = "redirect to " if public.address == ANY_ADDRESS else f"dnat ip to {public.address}"
    return f'{match} {target}:{redirect.bound_port} comment "{redirect_comment(public)}"'


def _drop_bound(redirect: Redirect) -> str:
    public = redirect.public
    return f'iifname != "lo" {_daddr(public.address)} {public.protocol} dport {redirect.bound_port} drop'


def _daddr(address: str) -> str:
    return "meta nfproto ipv4 fib daddr type local" if address == ANY_ADDRESS else f"ip daddr {address}"


def redirect_comment(public: Endpoint) -> str:
    """How a redirect's rule names its public side, for other installations to read (`redirect_of`)."""
    return f"redirect {public.protocol} {public.address} {public.port}"


def redirect_of(comment: str) -> Endpoint | None:
    """The public side named by a rule's comment, or None: comments are anybody's."""
    match = re.fullmatch(r"redirect (tcp|udp) ([0-9.]{7,15}) ([0-9]{1,5})", comment, re.ASCII)
    return Endpoint(match[1], match[2], int(match[3])) if match else None


def overlap(one: Endpoint, other: Endpoint) -> bool:
    """Whether a packet may be meant for both."""
    same_port = (one.protocol, one.port) == (other.protocol, other.port)
    return same_port and (one.address == other.address or ANY_ADDRESS in (one.address, other.address))


def _check_range(guard: Guard) -> None:
    first, last = guard.uid_first, guard.uid_last
    if not (type(first) is type(last) is int and 0 < first <= last <= _HIGHEST_UID):
        raise FabricError(_CODE, f"The range of user ids {first!r}-{last!r} is not one. It must run upwards and leave out root.")
    for uid in (*guard.allowed, *guard.bridged):
        if type(uid) is not int or not first <= uid <= last:
            raise FabricError(_CODE, f"The user id {uid!r} is outside the range {first}-{last} of VMs.")


def _check_redirects(redirects: tuple[Redirect, ...]) -> None:
    for public, bound in ((redirect.public, redirect.bound_port) for redirect in redirects):
        if public.port >= FIRST_FREE_PORT or bound < FIRST_FREE_PORT:
            raise FabricError(_CODE, f"A redirect leads from a port under 1024 to one from 1024 on, not {public.port} to {bound}.")
    for one, other in itertools.combinations(redirects, 2):
        if overlap(one.public, other.public):
            raise FabricError(_CODE, f"Port {one.public.port}/{one.public.protocol} of {one.public.address} is redirected twice.")


def _bridge(name: str) -> str:
    if not _BRIDGE.fullmatch(name):
        raise FabricError(_CODE, f"{name[:40]!r} is no bridge of an installation.")
    return name


def _endpoints(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(sorted({checks.endpoint(endpoint, _CODE) for endpoint in endpoints}))


def _resolver(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise FabricError(_CODE, f"The nameserver {address!r} is not an IP address.") from None
    # The zone of a link-local one ("%eth0") is no part of what nft compares.
    return str(IPv6Address(int(parsed))) if isinstance(parsed, IPv6Address) else str(parsed)
