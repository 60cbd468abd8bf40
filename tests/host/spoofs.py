"""What a guest may say and what it may not, frame by frame: the catalogue of the packet tests (INV-08, SEC-G1).

ME is the guest whose tap is written to, PEER its neighbour, OTHER a guest of another team.
"""

import struct
from dataclasses import dataclass

from networks.fabric.filter_values import link_local
from tests.host import frames as f


@dataclass(frozen=True)
class Who:
    """One that a frame can claim to be."""

    mac: str
    v4: str
    v6: str

    @property
    def local(self) -> str:
        return link_local(self.mac)


ME = Who("02:00:00:00:00:0a", "192.168.33.10", "fd12:3456:789a::a")
PEER = Who("02:00:00:00:00:0b", "192.168.33.11", "fd12:3456:789a::b")
OTHER = Who("02:00:00:00:00:0c", "192.168.34.12", "fd12:3456:789b::c")
GATEWAY = Who("02:00:00:00:00:01", "192.168.33.1", "fd12:3456:789a::1")
NOBODY4, EVERYBODY4, NOTHING = "0.0.0.0", "255.255.255.255", "00:00:00:00:00:00"
RANDOM = "fe80::5c3a:91ff:1234:5678"  # as NetworkManager makes one up (RFC 7217)
ALL_NODES, ALL_ROUTERS, ALL_DHCP, ALL_MLD = "ff02::1", "ff02::2", "ff02::1:2", "ff02::16"


def eth4(packet: bytes, to: str = PEER.mac, source: str = ME.mac) -> bytes:
    return f.ethernet(source, to, f.IP4, packet)


def eth6(packet: bytes, to: str = PEER.mac, source: str = ME.mac) -> bytes:
    return f.ethernet(source, to, f.IP6, packet)


def many(address: str) -> str:
    """The MAC of a multicast address."""
    return "33:33:" + f.ip(address)[-4:].hex(":") if ":" in address else "01:00:5e:" + f.ip(address)[-3:].hex(":")


def udp4(source: str, to: str, ports: tuple[int, int] = (5000, 6000), mac: str = PEER.mac, body: bytes = b"x" * 20) -> bytes:
    return eth4(f.ip4(source, to, f.UDP, f.udp(*ports, body)), mac)


def udp6(source: str, to: str, ports: tuple[int, int] = (5000, 6000), mac: str = PEER.mac) -> bytes:
    return eth6(f.ip6(source, to, f.UDP, f.udp6((source, to), *ports)), mac)


def icmp6(source: str, to: str, kind: int, body: bytes, mac: str = PEER.mac, sender: str = ME.mac) -> bytes:
    return eth6(f.ip6(source, to, f.ICMP6, f.icmp6((source, to), kind, body)), mac, sender)


def mld(source: str, kind: int = 143) -> bytes:
    body = f.icmp6((source, ALL_MLD), kind, b"\0\0\0\1\4\0\0\0" + f.ip("ff02::fb"))
    return eth6(f.ip6(source, ALL_MLD, 0, f.router_alert(f.ICMP6) + body, hops=1), many(ALL_MLD))


def behind(header: bytes, protocol: int, kind: int = 134) -> bytes:
    """An ICMPv6 message behind a header of type `protocol`."""
    body = f.icmp6((ME.local, ALL_NODES), kind, f.router_advert("2001:db8:bad::")[4:] if kind == 134 else bytes(16))
    return eth6(f.ip6(ME.local, ALL_NODES, protocol, header + body), many(ALL_NODES))


def dhcp4(client: str, source: str = NOBODY4, to: str = EVERYBODY4, ports: tuple[int, int] = (68, 67), **fields) -> bytes:
    mac = f.BROADCAST if to == EVERYBODY4 else GATEWAY.mac
    return udp4(source, to, ports, mac, f.dhcp(client, **fields))


RA = f.router_advert("2001:db8:bad::", f.option(1, ME.mac))
REDIRECT6 = bytes(4) + f.ip(ME.local) + f.ip("2001:db8::99") + f.option(2, ME.mac)
LONG = b"y" * 1200

# Name → frame. "host": it comes up to the host as well or alone, "peer": to the neighbour.
LEGAL4 = {
    "arp asks": ("both", f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, "192.168.33.77"))),
    "arp answers": ("peer", f.arp(ME.mac, 2, (ME.mac, ME.v4), (PEER.mac, PEER.v4), PEER.mac)),
    "arp probes its own": ("both", f.arp(ME.mac, 1, (ME.mac, NOBODY4), (NOTHING, ME.v4))),
    "arp announces itself": ("both", f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, ME.v4))),
    "udp": ("peer", udp4(ME.v4, PEER.v4)),
    "icmp echo": ("peer", eth4(f.ip4(ME.v4, PEER.v4, f.ICMP, f.icmp(8)))),
    "icmp echo to the gateway": ("host", eth4(f.ip4(ME.v4, GATEWAY.v4, f.ICMP, f.icmp(8)), GATEWAY.mac)),
    "tcp syn": ("peer", eth4(f.ip4(ME.v4, PEER.v4, f.TCP, struct.pack("!HHIIHHHH", 4000, 80, 1, 0, 0x5002, 1024, 0, 0)))),
    "sctp": ("peer", eth4(f.ip4(ME.v4, PEER.v4, 132, bytes(16)))),
    "broadcast": ("both", udp4(ME.v4, EVERYBODY4, mac=f.BROADCAST)),
    "multicast": ("both", udp4(ME.v4, "224.0.0.251", (5353, 5353), many("224.0.0.251"))),
    "igmp report": ("both", eth4(f.ip4(ME.v4, "224.0.0.22", f.IGMP, b"\x22\0\0\0" + bytes(4)), many("224.0.0.22"))),
    "dhcp asks": ("both", dhcp4(ME.mac)),
    "dhcp renews": ("host", dhcp4(ME.mac, ME.v4, GATEWAY.v4)),
}
LEGAL6 = {
    "nd solicits": ("both", icmp6(ME.v6, f.multicast_of("fd12:3456:789a::77")[0], 135, f.solicit("fd12:3456:789a::77", f.option(1, ME.mac)),
                                  f.multicast_of("fd12:3456:789a::77")[1])),
    "nd solicits by its link-local": ("peer", icmp6(ME.local, PEER.v6, 135, f.solicit(PEER.v6, f.option(1, ME.mac)))),
    "nd answers": ("peer", icmp6(ME.v6, PEER.v6, 136, f.advertise(ME.v6, f.option(2, ME.mac)))),
    "nd answers for its link-local": ("peer", icmp6(ME.local, PEER.local, 136, f.advertise(ME.local, f.option(2, ME.mac)))),
    "nd announces": ("both", icmp6(ME.v6, ALL_NODES, 136, f.advertise(ME.v6, f.option(2, ME.mac)), many(ALL_NODES))),
    "dad for its own": ("both", icmp6("::", f.multicast_of(ME.v6)[0], 135, f.solicit(ME.v6), f.multicast_of(ME.v6)[1])),
    "dad for its link-local": ("both", icmp6("::", f.multicast_of(ME.local)[0], 135, f.solicit(ME.local), f.multicast_of(ME.local)[1])),
    "router solicited": ("both", icmp6(ME.local, ALL_ROUTERS, 133, bytes(4) + f.option(1, ME.mac), many(ALL_ROUTERS))),
    "router solicited by nobody": ("both", icmp6("::", ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS))),
    "mld report": ("both", mld(ME.local)),
    "mld report of nobody": ("both", mld("::")),
    "udp over 6": ("peer", udp6(ME.v6, PEER.v6)),
    "udp by link-local": ("peer", udp6(ME.local, PEER.local)),
    "echo over 6": ("peer", icmp6(ME.v6, PEER.v6, 128, b"\0\1\0\1payload.")),
    "echo over 6 to the gateway": ("host", icmp6(ME.v6, GATEWAY.v6, 128, b"\0\1\0\1payload.", GATEWAY.mac)),
    "dhcp over 6": ("both", udp6(ME.local, ALL_DHCP, (546, 547), many(ALL_DHCP))),
}  # fmt: skip

# What any Linux says by itself over a link, IPv6 or not.
CHATTER = {
    **{name: LEGAL6[name][1] for name in (
        "dad for its link-local", "router solicited", "router solicited by nobody", "mld report", "mld report of nobody",
    )},
    "mld report of old": mld(ME.local, 131),
    "mld done": mld(ME.local, 132),
    "a router solicited by a random link-local": icmp6(RANDOM, ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS)),
    "dad for a random link-local": icmp6("::", f.multicast_of(RANDOM)[0], 135, f.solicit(RANDOM), f.multicast_of(RANDOM)[1]),
}  # fmt: skip
# Nearly the same, and no Linux says it by itself without IPv6.
NO_CHATTER = {
    "a router solicited of one": icmp6(ME.local, PEER.local, 133, bytes(4)),
    "a router solicited under an address": icmp6(ME.v6, ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS)),
    "a router solicited under the peer's mac": icmp6(ME.local, ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS), PEER.mac),
    "a router solicited beyond the link": icmp6(ME.local, "ff05::2", 133, bytes(4), many(ALL_ROUTERS)),
    "mld report under an address": mld(ME.v6),
    "mld query": mld(ME.local, 130),
    "dad for an address": icmp6("::", f.multicast_of(ME.v6)[0], 135, f.solicit(ME.v6), f.multicast_of(ME.v6)[1]),
    "nd solicits by its link-local": icmp6(ME.local, f.multicast_of(PEER.local)[0], 135, f.solicit(PEER.local)),
    "nd answers for its link-local": icmp6(ME.local, ALL_NODES, 136, f.advertise(ME.local), many(ALL_NODES)),
    "dhcp over 6": udp6(ME.local, ALL_DHCP, (546, 547), many(ALL_DHCP)),
    "cut short": icmp6(ME.local, ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS))[:50],
    "cut before its kind": icmp6(ME.local, ALL_ROUTERS, 133, bytes(4), many(ALL_ROUTERS))[:54],
    "a piece": eth6(f.ip6(ME.local, ALL_ROUTERS, 44, f.fragment6(f.ICMP6, 8, False) + bytes([133] * 8)), many(ALL_ROUTERS)),
}  # fmt: skip

SPOOFS = {
    "the gateway's mac": udp4(ME.v4, PEER.v4).replace(f.mac(ME.mac), f.mac(GATEWAY.mac)),
    "the peer's mac": f.ethernet(PEER.mac, f.BROADCAST, f.ARP, f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, GATEWAY.v4))[14:]),
    "a mac of nobody": f.ethernet("02:00:00:00:00:99", f.BROADCAST, f.ARP, f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, GATEWAY.v4))[14:]),
    "a multicast mac": udp4(ME.v4, EVERYBODY4, mac=f.BROADCAST)[:6] + f.mac("03:00:00:00:00:0a") + udp4(ME.v4, EVERYBODY4)[12:],
    "arp as the peer": f.arp(ME.mac, 1, (ME.mac, PEER.v4), (NOTHING, GATEWAY.v4)),
    "arp claims the gateway": f.arp(ME.mac, 2, (ME.mac, GATEWAY.v4), (PEER.mac, PEER.v4), PEER.mac),
    "arp announces the gateway": f.arp(ME.mac, 1, (ME.mac, GATEWAY.v4), (NOTHING, GATEWAY.v4)),
    "arp with a foreign sender mac": f.arp(ME.mac, 2, (PEER.mac, ME.v4), (GATEWAY.mac, GATEWAY.v4), GATEWAY.mac),
    "arp probes the peer's": f.arp(ME.mac, 1, (ME.mac, NOBODY4), (NOTHING, PEER.v4)),
    "arp probes the gateway's": f.arp(ME.mac, 1, (ME.mac, NOBODY4), (NOTHING, GATEWAY.v4)),
    "arp answers as nobody": f.arp(ME.mac, 2, (ME.mac, NOBODY4), (PEER.mac, ME.v4)),
    "arp as another team's": f.arp(ME.mac, 1, (ME.mac, OTHER.v4), (NOTHING, GATEWAY.v4)),
    "reverse arp": f.arp(ME.mac, 3, (ME.mac, ME.v4), (ME.mac, NOBODY4)),
    "arp of another hardware": f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, PEER.v4), hardware=6),
    "arp of other sizes": f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, PEER.v4), length=16),
    "arp cut short": f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, PEER.v4))[:26],
    "the peer's ipv4": udp4(PEER.v4, GATEWAY.v4, mac=GATEWAY.mac),
    "the gateway's ipv4": udp4(GATEWAY.v4, PEER.v4),
    "another team's ipv4": udp4(OTHER.v4, PEER.v4),
    "a stranger's ipv4": udp4("8.8.8.8", PEER.v4),
    "from loopback": udp4("127.0.0.1", PEER.v4),
    "from loopback to the host": udp4("127.0.0.1", GATEWAY.v4, mac=GATEWAY.mac),
    "from broadcast": udp4(EVERYBODY4, PEER.v4),
    "from multicast": udp4("224.0.0.1", PEER.v4),
    "from link-local": udp4("169.254.1.1", PEER.v4),
    "from nobody": udp4(NOBODY4, EVERYBODY4, mac=f.BROADCAST),
    "an ipv4 header cut short": eth4(f.ip4(ME.v4, PEER.v4, f.UDP, f.udp(1, 2))[:16]),
    "an ipv4 header that promises more": eth4(f.ip4(ME.v4, PEER.v4, f.UDP, f.udp(67, 68), length=600)),
    "icmp redirect": eth4(f.ip4(ME.v4, PEER.v4, f.ICMP, f.icmp(5, f.ip(ME.v4) + f.ip4(PEER.v4, "8.8.8.8", f.UDP, f.udp(1, 2, b""))))),
    "icmp router": eth4(f.ip4(ME.v4, PEER.v4, f.ICMP, f.icmp(9, b"\1\2\7\10" + f.ip(ME.v4) + bytes(4)))),
    "igmp query": eth4(f.ip4(ME.v4, "224.0.0.1", f.IGMP, b"\x11\x64\0\0" + bytes(8)), many("224.0.0.1")),
    "a dhcp server": dhcp4(PEER.mac, ME.v4, EVERYBODY4, (67, 68), operation=2, message=2),
    "a dhcp server to one": udp4(ME.v4, PEER.v4, (67, 68), body=f.dhcp(PEER.mac, 2, 5)),
    "a dhcp server from another port": udp4(ME.v4, PEER.v4, (4711, 68), body=f.dhcp(PEER.mac, 2, 5)),
    "a dhcp relay": dhcp4(ME.mac, ME.v4, GATEWAY.v4, (67, 67)),
    "a dhcp relay's field": dhcp4(ME.mac, relay="192.168.33.200"),
    "dhcp for the peer": dhcp4(PEER.mac),
    "dhcp for nobody": dhcp4("02:00:00:00:00:99"),
    "dhcp for the peer from its own address": dhcp4(PEER.mac, ME.v4, GATEWAY.v4),
    "dhcp release for the peer": dhcp4(PEER.mac, ME.v4, GATEWAY.v4, (4711, 67), message=7),
    "dhcp that is an answer": dhcp4(ME.mac, operation=2),
    "dhcp in pieces": eth4(f.ip4(ME.v4, GATEWAY.v4, f.UDP, f.udp(68, 67, f.dhcp(PEER.mac))[:32], more=True), GATEWAY.mac),
    "dhcp server in pieces": eth4(f.ip4(ME.v4, EVERYBODY4, f.UDP, f.udp(67, 68, LONG)[:64], more=True), f.BROADCAST),
    "the peer's pieces": eth4(f.ip4(PEER.v4, GATEWAY.v4, f.UDP, LONG[:64], fragment=64), GATEWAY.mac),
    "vlan": f.tagged(udp4(ME.v4, PEER.v4)),
    "priority tag": f.tagged(udp4(ME.v4, PEER.v4), tag=0),
    "vlan arp": f.tagged(f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, GATEWAY.v4))),
    "qinq": f.tagged(udp4(ME.v4, PEER.v4), f.QINQ),
    "double tag": f.tagged(f.tagged(udp4(ME.v4, PEER.v4)), f.QINQ),
    "old qinq": f.tagged(udp4(ME.v4, PEER.v4), 0x9100),
    "llc": f.ethernet(ME.mac, f.BROADCAST, 30, b"\xaa\xaa\3" + bytes(27)),
    "stp": f.ethernet(ME.mac, "01:80:c2:00:00:00", 38, b"\x42\x42\3" + bytes(35)),
    "snap with ipv4": f.ethernet(ME.mac, PEER.mac, 56, b"\xaa\xaa\3\0\0\0\x08\0" + f.ip4(ME.v4, PEER.v4, f.UDP, f.udp(1, 2))),
    "cdp": f.ethernet(ME.mac, "01:00:0c:cc:cc:cc", 40, b"\xaa\xaa\3\0\0\x0c\x20\0" + bytes(32)),
    "lldp": f.ethernet(ME.mac, "01:80:c2:00:00:0e", 0x88CC, bytes(46)),
    "lldp to all bridges": f.ethernet(ME.mac, "01:80:c2:00:00:03", 0x88CC, bytes(46)),
    "eapol": f.ethernet(ME.mac, "01:80:c2:00:00:03", 0x888E, bytes(46)),
    "pppoe": f.ethernet(ME.mac, f.BROADCAST, 0x8863, bytes(46)),
    "mpls": f.ethernet(ME.mac, PEER.mac, 0x8847, b"\0\0\1\x40" + f.ip4(ME.v4, PEER.v4, f.UDP, f.udp(1, 2))),
    "wake on lan": f.ethernet(ME.mac, f.BROADCAST, 0x0842, b"\xff" * 6 + f.mac(PEER.mac) * 16),
    "an unknown kind": f.ethernet(ME.mac, f.BROADCAST, 0x1234, bytes(46)),
    "the peer's ipv6": udp6(PEER.v6, GATEWAY.v6, mac=GATEWAY.mac),
    "the gateway's ipv6": udp6(GATEWAY.v6, PEER.v6),
    "another team's ipv6": udp6(OTHER.v6, PEER.v6),
    "a stranger's ipv6": udp6("2001:4860:4860::8888", PEER.v6),
    "a made-up link-local": udp6("fe80::1", PEER.local),
    "the peer's link-local": udp6(PEER.local, GATEWAY.local, mac=GATEWAY.mac),
    "from ipv6 loopback": udp6("::1", PEER.v6),
    "from nowhere in ipv6": udp6("::", PEER.v6),
    "nd answers for the peer": icmp6(ME.v6, GATEWAY.v6, 136, f.advertise(PEER.v6, f.option(2, ME.mac)), GATEWAY.mac),
    "nd claims the gateway": icmp6(ME.v6, ALL_NODES, 136, f.advertise(GATEWAY.v6, f.option(2, ME.mac)), many(ALL_NODES)),
    "nd claims the gateway's link-local": icmp6(ME.local, ALL_NODES, 136, f.advertise(GATEWAY.local), many(ALL_NODES)),
    "nd solicits as the peer": icmp6(PEER.v6, GATEWAY.v6, 135, f.solicit(GATEWAY.v6, f.option(1, ME.mac)), GATEWAY.mac),
    "nd solicits as the gateway": icmp6(GATEWAY.v6, PEER.v6, 135, f.solicit(PEER.v6, f.option(1, ME.mac))),
    "dad for the peer's": icmp6("::", f.multicast_of(PEER.v6)[0], 135, f.solicit(PEER.v6), f.multicast_of(PEER.v6)[1]),
    "dad for the gateway's": icmp6("::", f.multicast_of(GATEWAY.v6)[0], 135, f.solicit(GATEWAY.v6), f.multicast_of(GATEWAY.v6)[1]),
    "nd answers as nobody": icmp6("::", ALL_NODES, 136, f.advertise(ME.v6), many(ALL_NODES)),
    "a router": icmp6(ME.local, ALL_NODES, 134, RA, many(ALL_NODES)),
    "a router to one": icmp6(ME.local, PEER.local, 134, RA),
    "a router as the gateway": icmp6(GATEWAY.local, ALL_NODES, 134, RA, many(ALL_NODES)),
    "a router under the gateway's mac": icmp6(GATEWAY.local, ALL_NODES, 134, RA, many(ALL_NODES), GATEWAY.mac),
    "icmpv6 redirect": icmp6(ME.local, PEER.v6, 137, REDIRECT6),
    "router renumbering": icmp6(ME.local, ALL_NODES, 138, bytes(12), many(ALL_NODES)),
    "mld query": mld(ME.local, 130),
    "mld query without an alert": icmp6(ME.local, ALL_NODES, 130, bytes(20), many(ALL_NODES)),
    "a router behind options": behind(f.extension(f.ICMP6), 60),
    "a router behind hop-by-hop": behind(f.extension(f.ICMP6), 0),
    "a router behind an alert": behind(f.router_alert(f.ICMP6), 0),
    "a router behind routing": behind(struct.pack("!BBBBI", f.ICMP6, 0, 0, 0, 0), 43),
    "a router behind two headers": behind(f.extension(60) + f.extension(f.ICMP6), 0),
    "a router in a fragment": behind(f.fragment6(f.ICMP6, 0, False), 44),
    "a router's first piece": behind(f.fragment6(f.ICMP6, 0, True), 44),
    "options in a first piece": eth6(f.ip6(ME.local, ALL_NODES, 44, f.fragment6(60, 0, True) + f.extension(f.ICMP6)), many(ALL_NODES)),
    "options' later piece": eth6(f.ip6(ME.local, ALL_NODES, 44, f.fragment6(60, 8, False) + RA), many(ALL_NODES)),
    "a router behind a fragment and options": behind(f.fragment6(60, 0, False) + f.extension(f.ICMP6), 44),
    "nd answers for the peer behind options": behind(f.extension(f.ICMP6), 60, 136),
    "nd answers for the peer in a fragment": behind(f.fragment6(f.ICMP6, 0, False), 44, 136),
    "mobility": eth6(f.ip6(ME.v6, PEER.v6, 135, bytes(8))),
    "a dhcpv6 server": udp6(ME.local, PEER.local, (547, 546)),
    "a dhcpv6 server from another port": udp6(ME.local, PEER.local, (4711, 546)),
    "a dhcpv6 relay": udp6(ME.local, ALL_DHCP, (547, 547), many(ALL_DHCP)),
    "an ipv6 header cut short": eth6(f.ip6(ME.v6, PEER.v6, f.UDP, b"")[:30]),
    "ipv6 under ipv4's kind": eth4(f.ip6(ME.v6, PEER.v6, f.UDP, f.udp6((ME.v6, PEER.v6), 1, 2))),
    "ipv4 under ipv6's kind": eth6(f.ip4(ME.v4, PEER.v4, f.UDP, f.udp(1, 2))),
}  # fmt: skip
