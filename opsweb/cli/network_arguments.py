"""The part of the command line that is about networks: `opsweb network …`, and OPS's flags for bridged instances. Used by arguments."""

import argparse
from typing import Any

from opsweb.cli import network_commands, rule_commands
from opsweb.cli.parsing import Parser, below, leaf
from opsweb.cli.values import duration, positive, record

MODES = ("nat", "isolated", "uplink")


def networks(parser: Parser, common: Parser) -> None:
    """`opsweb network …`."""
    commands = below(parser)
    create = leaf(commands, "create", common, network_commands.create, "make a network: a bridge with addresses, DHCP, DNS and NAT")
    create.add_argument("--bridgename", dest="name", metavar="NAME", help="the network's name; default: br0, br1, …")
    _values(create)
    leaf(commands, "list", common, network_commands.list_all, "all networks you may use")
    _named(leaf(commands, "show", common, network_commands.show, "one network"))
    edit = leaf(commands, "edit", common, network_commands.edit, "change a network")
    _named(edit)
    edit.add_argument("--bridgename", dest="name", metavar="NAME", help="its new name")
    _values(edit)
    _named(leaf(commands, "delete", common, network_commands.delete, "remove a network that no instance is on"))
    _named(leaf(commands, "repair", common, network_commands.repair, "look at it now, and put right what differs"))
    _named(leaf(commands, "leases", common, network_commands.leases, "what its DHCP server has given out"))
    _rules(leaf(commands, "rules", common, rule_commands.rules, "what may pass, of a network or of one instance"))


def _named(parser: Parser) -> None:
    parser.add_argument("network", metavar="NETWORK", help="name or id")


def _values(parser: Parser) -> None:
    add = parser.add_argument
    add("--subnet", metavar="CIDR", help="192.168.33.1/24: the gateway's address and the prefix length; default: the first free /24")
    add("--mode", choices=MODES, help="nat (default): out under the host's address; isolated: its own members only; uplink: a host adapter")
    add("--adapter", metavar="NAME", help="with --mode uplink: the host's adapter, such as eth0")
    add("--ipv6", metavar="auto|PREFIX|none", help="auto: a prefix of its own; or a /64; or none")
    add("--nat6", action=argparse.BooleanOptionalAction, default=None, help="--no-nat6: the IPv6 prefix is routed to this host")
    add("--dhcp", action=argparse.BooleanOptionalAction, default=None, help="--no-dhcp: every guest is told its address instead")
    add("--dhcp-range", metavar="FIRST-LAST", help="addresses to give out, such as 192.168.33.100-192.168.33.199")
    add("--lease", type=duration, metavar="TIME", help="how long an address is lent: 1h, 30m; a bare number is seconds")
    add("--mtu", type=positive, metavar="BYTES", help="default: 1500")
    add("--domain", metavar="NAME", help="DNS domain of its instances; default: NAME.internal")
    add("--resolver", dest="resolvers", action="append", metavar="ADDRESS", help="an upstream DNS server; again for each")
    add("--record", dest="records", action="append", type=record, metavar="NAME=ADDRESS", help="a name in its DNS; again for each")
    add("--dry-run", action="store_true", help="show what would change on the host, and change nothing")
    add(
        "--share-with", dest="shared_with", action="append", metavar="TEAM", help="a team that may attach too (admins only); again for each"
    )


def _rules(parser: Parser) -> None:
    parser.usage = (
        "opsweb network rules (NETWORK | --instance NAME) (list | set FILE | add RULE | remove N) [--json]\n\n"
        'A RULE reads "deny in tcp 22 from any", "allow out udp 53 to 10.0.0.0/8", "allow in tcp 80-90 from group:web",\n'
        '"deny in any from network:br1". The first rule that fits decides; what no rule fits is allowed.'
    )
    parser.add_argument("--instance", metavar="NAME", help="the rules of this instance; they come before its networks'")
    parser.add_argument("words", nargs="+", metavar="WORD", help=argparse.SUPPRESS)


def bridged(parser: Parser, switches: tuple[str, ...], taps: tuple[str, ...]) -> None:
    """OPS's flags for an instance on a network; bridge and tap are names of the team's own network and NIC."""
    group = parser.add_argument_group("bridged networking")
    add: Any = group.add_argument
    add(*switches, dest="bridged", action="store_true", default=None, help="on a network instead of user mode")
    add(*taps, dest="tap_name", metavar="NAME", help="the NIC's name; default: tap0")
    add("--bridgename", dest="bridge_name", metavar="NAME", help="the network; default: the one of the address, else br0; made if missing")
    add("--ip-address", dest="ip_address", metavar="ADDRESS", help="a fixed IPv4 address; default: by DHCP")
    add("--ipv6-address", dest="ipv6_address", metavar="ADDRESS", help="a fixed IPv6 address")
    add("--netmask", dest="net_mask", metavar="MASK", help="of a network that has to be made; default: 255.255.255.0")
    add("--gateway", dest="gateway", metavar="ADDRESS", help="of a network that has to be made; default: its first address")
    add("--bridgeipaddress", dest="bridge_ip_address", metavar="ADDRESS", help="the same: the bridge is the gateway here")
    add("--no-create", action="store_true", help="explain instead of making a network that is missing")
