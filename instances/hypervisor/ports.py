"""What both drivers say of the ports that NICs are plugged into while a VM runs: pure."""

from collections.abc import Mapping

from .base import RELEASE_TIMEOUT, DriverError, TapNic

KEPT = f"The guest has not let go of the NIC within {RELEASE_TIMEOUT:g} s. Restart the instance to apply."


def need_port(ports: Mapping[int, str], number: int, nic: TapNic) -> bool:
    """Whether the NIC has to be plugged; False when it is there. Raises: DriverError("no_port") for a port that is not free."""
    if ports.get(number) == nic.mac.lower():
        return False
    if number not in ports:
        raise DriverError("no_port", f"The VM was started without a port {number} for a NIC. Restart the instance to apply.")
    if ports[number]:
        raise DriverError("no_port", f"Another NIC, {ports[number]}, is on port {number}. Take it off first.")
    return True
