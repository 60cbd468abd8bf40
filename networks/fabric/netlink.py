"""Opens rtnetlink for one call of the fabric driver and turns its refusals into sentences."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from networks.fabric.base import FabricError

UP = 1  # IFF_UP


@contextmanager
def opened(doing: str) -> Iterator[Any]:
    """An IPRoute for as long as the block lasts. `doing` completes "The kernel refused to …". Raises: FabricError("link_refused")."""
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        reason = os.strerror(error.code) if error.code in errno.errorcode else str(error)
        raise FabricError("link_refused", f"The kernel refused to {doing}: {reason}.") from error


def link(ip: Any, name: str) -> Any:
    """The link called `name`, or None."""
    try:
        return ip.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def delete(ip: Any, name: str) -> None:
    """Take the link away. Gone already: nothing."""
    found = link(ip, name)
    if found is not None:
        _forgiving(errno.ENODEV, ip.link, "del", index=found["index"])


def add_address(ip: Any, index: int, address: str, peer: str = "", **more: Any) -> None:
    """Add "192.168.33.1/24" to the link, or the own side of a point-to-point address and its `peer`. There already: nothing."""
    host, _, prefix = address.partition("/")
    _forgiving(errno.EEXIST, ip.addr, "add", index=index, address=peer or host, local=host, prefixlen=int(prefix), **more)


def remove_address(ip: Any, index: int, address: str, peer: str = "") -> None:
    """Take "192.168.33.1/24" from the link. Gone already: nothing."""
    host, _, prefix = address.partition("/")
    _forgiving(errno.EADDRNOTAVAIL, ip.addr, "del", index=index, address=peer or host, local=host, prefixlen=int(prefix))


def kind(found: Any) -> str:
    """ "bridge", "veth", "tun" …; "" for a real adapter."""
    info = found.get_attr("IFLA_LINKINFO")
    return (info.get_attr("IFLA_INFO_KIND") if info else None) or ""


def addresses(ip: Any, index: int) -> list[Any]:
    """All addresses of the link but its IPv6 link-local ones."""
    return [row for row in ip.get_addr(index=index) if not address_of(row).lower().startswith("fe80:")]


def address_of(row: Any) -> str:
    """ "192.168.33.1/24"; of a point-to-point address the own side."""
    return f"{row.get_attr('IFA_LOCAL') or row.get_attr('IFA_ADDRESS')}/{row['prefixlen']}"


def _forgiving(code: int, call: Any, *arguments: Any, **more: Any) -> None:
    try:
        call(*arguments, **more)
    except NetlinkError as error:
        if error.code != code:
            raise
