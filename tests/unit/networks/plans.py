"""Plans of networks for the tests of the filter: one of each mode, with every option of a NIC somewhere."""

from uuid import UUID

from networks.fabric.base import Endpoint, ForwardPlan, Mode, NetworkPlan, NicPlan, RulePlan

TAG = "1a2b"


def rule(number: int, **columns) -> RulePlan:
    """Deny inbound, unless told otherwise."""
    return RulePlan(**{"id": UUID(int=number), "allow": False, "inbound": True} | columns)


WEB = rule(1, allow=True, protocol="tcp", ports=(80, 80), peers=("0.0.0.0/0", "::/0"))
RANGE = rule(2, allow=True, protocol="udp", ports=(9000, 9005), peers=("192.0.2.0/24", "192.0.2.128/25", "198.51.100.7", "2001:db8::/32"))
PING = rule(3, allow=True, protocol="icmp")
EMPTY_GROUP = rule(4, allow=True, protocol="tcp", peers=())
REST = rule(5)
NO_MAIL = rule(6, inbound=False, protocol="tcp", ports=(25, 25))

PLAIN = NicPlan("ow1a2b0000000at", "02:00:00:00:00:0a", "alice", "192.168.33.2")
DUAL = NicPlan("ow1a2b0000000bt", "02:00:00:00:00:0b", "bob", "192.168.33.3", "fd12:3456:789a::3", rate_kbit=10_000)
RULED = NicPlan(
    "ow1a2b0000000ct",
    "02:00:00:00:00:0c",
    "carol",
    "192.168.33.4",
    "fd12:3456:789a::4",
    rules=(WEB, RANGE, PING, EMPTY_GROUP, NO_MAIL, REST),
    forwards=(
        ForwardPlan(Endpoint("tcp", "127.0.0.1", 8080), 80),
        ForwardPlan(Endpoint("tcp", "198.51.100.1", 443), 8443),
        ForwardPlan(Endpoint("udp", "0.0.0.0", 53), 5353),
    ),
)
NAT = NetworkPlan(
    id=UUID(int=101), name="br0", bridge="ow1a2b00000001b", mode=Mode.NAT, cidr4="192.168.33.0/24", gateway4="192.168.33.1",
    cidr6="fd12:3456:789a::/64", gateway6="fd12:3456:789a::1", nics=(PLAIN, DUAL, RULED), linked=("ow1a2b00000003b",),
    resolvers=("192.0.2.53", "2001:db8::53"), uid=910_201,
)  # fmt: skip
ROUTED = NetworkPlan(
    id=UUID(int=103), name="br2", bridge="ow1a2b00000003b", mode=Mode.NAT, cidr4="192.168.35.0/24", gateway4="192.168.35.1",
    cidr6="2001:db8:35::/64", gateway6="2001:db8:35::1", is_nat6=False,
    nics=(NicPlan("ow1a2b0000000et", "02:00:00:00:00:0e", "erin", "192.168.35.2", "2001:db8:35::2", rules=(NO_MAIL, REST)),), uid=910_203,
)  # fmt: skip
ISOLATED = NetworkPlan(
    id=UUID(int=102), name="br1", bridge="ow1a2b00000002b", mode=Mode.ISOLATED, cidr4="192.168.34.0/24", gateway4="192.168.34.1",
    nics=(NicPlan("ow1a2b0000000dt", "02:00:00:00:00:0d", "dave", "192.168.34.2"),), uid=910_202,
)  # fmt: skip
UPLINK = NetworkPlan(
    id=UUID(int=104), name="lan", bridge="ow1a2b00000004b", mode=Mode.UPLINK, cidr4="198.51.100.0/24", gateway4="198.51.100.254",
    adapter="eth0", dhcp=False, nics=(NicPlan("ow1a2b0000000ft", "02:00:00:00:00:0f", "frank", "198.51.100.20"),),
)  # fmt: skip
ALL = (NAT, ISOLATED, ROUTED, UPLINK)
