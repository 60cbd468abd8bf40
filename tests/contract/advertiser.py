"""A router's advertisements (RFC 4861), for a namespace that has none: `advertiser.py LINK PREFIX SECONDS [answer]`.

One at once; with `answer` also one for each solicitation that it hears, until it is killed.
"""

import socket
import struct
import sys

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
SOLICITATION, ADVERTISEMENT = 133, 134


def advertisement(prefix: str, seconds: int) -> bytes:
    """Router and prefix live so long; hosts make up their addresses."""
    router = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, seconds, 0, 0)
    return router + struct.pack("!BBBBIII", 3, 4, 64, 0xC0, seconds, seconds, 0) + socket.inet_pton(socket.AF_INET6, prefix)


def main(link: str, prefix: str, seconds: str, *answer: str) -> None:
    index = socket.if_nametoindex(link)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        message = advertisement(prefix, int(seconds))
        opened.sendto(message, (ALL_NODES, 0, 0, index))
        print("ready", flush=True)
        while answer:
            if opened.recv(2048)[0] == SOLICITATION:
                opened.sendto(message, (ALL_NODES, 0, 0, index))


if __name__ == "__main__":
    main(*sys.argv[1:])
