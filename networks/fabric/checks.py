"""Values as they come from rows, made canonical or refused by name: what guard and filter have in common. Pure."""

from ipaddress import AddressValueError, IPv4Address

from networks.fabric.base import Endpoint, FabricError


def port(value: int, code: str) -> int:
    """The same port. Raises: FabricError(`code`)."""
    if type(value) is not int or not 1 <= value <= 65535:
        raise FabricError(code, f"{value!r} is not a port. Ports go from 1 to 65535.")
    return value


def endpoint(value: Endpoint, code: str) -> Endpoint:
    """The same endpoint, its address canonical. Raises: FabricError(`code`)."""
    if value.protocol not in ("tcp", "udp"):
        raise FabricError(code, f"The protocol {value.protocol!r} is neither tcp nor udp.")
    return Endpoint(value.protocol, address4(value.address, code), port(value.port, code))


def address4(value: str, code: str) -> str:
    """The same IPv4 address. Raises: FabricError(`code`)."""
    try:
        return str(IPv4Address(value))
    except AddressValueError:
        raise FabricError(code, f"The address {value!r} is not an IPv4 address.") from None
