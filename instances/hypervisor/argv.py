"""The QEMU command line of a machine: pure text, golden-tested; `process` runs it, anyone may show it.

Everything QEMU opens is handed over as a descriptor, because it runs as its own uid and may open nothing of ours by path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from .base import SPARE_PORTS, Forward, Machine, Nic, TapNic, UserNic, VmnetNic

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
TCG_CACHE_MIB = 128  # QEMU's default reserves up to 1 GiB of translated code, more than most of our guests have memory
FDSET_STATUS = 1
_QUIET = "usb=off,dump-guest-core=off"


@dataclass(frozen=True)
class Architecture:
    """What differs between host architectures; the guest's and the host's are the same."""

    binary: str
    machine: str  # type and the parts we leave out
    status_port: tuple[str, ...]  # the second serial port, on the chardev "status"


# q35 and pc boot Debian's cloud kernel equally fast (TCG, median of 7: 2.01 and 2.19 s): q35, for its PCIe hotplug.
ARCHITECTURES = {
    "x86_64": Architecture("qemu-system-x86_64", f"q35,vmport=off,smbus=off,sata=off,{_QUIET}", ("-serial", "chardev:status")),
    "aarch64": Architecture("qemu-system-aarch64", f"virt,gic-version=max,{_QUIET}", ("-device", "pci-serial,chardev=status")),
}


@dataclass(frozen=True)
class Descriptors:
    """File descriptors that QEMU inherits, by what they are. The console is its stdin (what is typed) and stdout (the log)."""

    control: int  # listening unix sockets
    watch: int
    status_log: int  # open for appending
    kernel: int  # QEMU opens these again by path, which as another uid works with memfds and with files that anybody may read
    initrd: int | None = None
    vhost: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # number of a NIC on a tap → the kernel's vhost-net, one a queue


def command_line(machine: Machine, fds: Descriptors, mark: str) -> list[str]:
    """Program name and arguments; `mark` (`identity.mark`) is what the process is found again by.

    Raises: ValueError for what no value of a machine can be (an unknown architecture, a NUL byte, a port of 70000).
    """
    architecture = _architecture(machine.arch)
    return [
        architecture.binary,
        *_process(machine),
        *_hardware(machine, architecture),
        *_monitor("control", fds.control),
        *_monitor("watch", fds.watch),
        *_serial_ports(architecture, fds, mark),
        *_boot(machine, fds),
        *_nics(machine, fds),
    ]


def binary(machine: Machine) -> str:
    """The program that runs it. Raises: ValueError for an architecture we do not know."""
    return _architecture(machine.arch).binary


def quoted(value: str) -> str:
    """`value` as one value inside a QEMU key=value list: a comma is written twice.

    Raises: ValueError for a NUL byte, which would end the argument.
    """
    if "\0" in value:
        raise ValueError(f"a NUL byte in {value!r}")
    return value.replace(",", ",,")


def hostfwd(forward: Forward) -> str:
    """A forward in the grammar of `hostfwd=` and `hostfwd_add`: tcp:127.0.0.1:18080-:8080.

    Raises: ValueError for another protocol, address or port than these can be.
    """
    if forward.protocol not in ("tcp", "udp"):
        raise ValueError(f"no such protocol: {forward.protocol!r}")
    for port in (forward.host_port, forward.guest_port):
        if not 0 < port < 65536:
            raise ValueError(f"no such port: {port}")
    return f"{forward.protocol}:{IPv4Address(forward.host_address)}:{forward.host_port}-:{forward.guest_port}"


def memory_budget_mib(machine: Machine) -> int:
    """What the whole QEMU process may use: the guest's memory, translated code and QEMU itself with kernel and initrd."""
    return machine.memory_mib + 256 + (TCG_CACHE_MIB if machine.accelerator == "tcg" else 0)


def _architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        raise ValueError(f"no such architecture: {name!r}")
    return ARCHITECTURES[name]


def _process(machine: Machine) -> list[str]:
    return [
        *("-name", f"guest={quoted(machine.name)},debug-threads=off"),
        *("-uuid", str(machine.id)),
        *("-sandbox", SANDBOX),
        *("-nodefaults", "-no-user-config"),
        *("-display", "none"),
    ]


def _hardware(machine: Machine, architecture: Architecture) -> list[str]:
    if machine.accelerator not in ("kvm", "tcg"):
        raise ValueError(f"no such accelerator: {machine.accelerator!r}")
    accelerator = "kvm" if machine.accelerator == "kvm" else f"tcg,tb-size={TCG_CACHE_MIB}"
    return [
        *("-machine", architecture.machine),
        *("-accel", accelerator),
        *("-cpu", "max"),
        *("-smp", str(machine.vcpus)),
        *("-m", f"{machine.memory_mib}M"),
        *("-object", "rng-builtin,id=rng"),
        *("-device", "virtio-rng-pci,rng=rng"),
        # An ended guest stays, so that query-status can tell how it ended even when nobody was listening.
        *("-device", "pvpanic-pci"),
        *("-action", "panic=pause,shutdown=pause"),
    ]


def _monitor(name: str, fd: int) -> list[str]:
    return ["-chardev", f"socket,id={name},fd={fd},server=on,wait=off", "-mon", f"chardev={name},mode=control"]


def _serial_ports(architecture: Architecture, fds: Descriptors, mark: str) -> list[str]:
    # Not a socket with a logfile: a full socket makes QEMU log a byte twice, and a reader that rests stalls the guest.
    return [
        *("-chardev", "stdio,id=console,signal=off"),
        *("-serial", "chardev:console"),
        *("-add-fd", f"fd={fds.status_log},set={FDSET_STATUS},{mark}"),
        *("-chardev", f"file,id=status,path=/dev/fdset/{FDSET_STATUS},append=on"),
        *architecture.status_port,
    ]


def _boot(machine: Machine, fds: Descriptors) -> list[str]:
    if "\0" in machine.cmdline:
        raise ValueError("a NUL byte in the kernel's command line")
    initrd = [] if fds.initrd is None else ["-initrd", f"/proc/self/fd/{fds.initrd}"]
    paused = ["-S"] if machine.paused else []
    return ["-kernel", f"/proc/self/fd/{fds.kernel}", *initrd, "-append", machine.cmdline, *paused]


def _nics(machine: Machine, fds: Descriptors) -> list[str]:
    nics = [word for number, nic in enumerate(machine.nics) for word in _nic(number, nic, fds.vhost.get(number, ()))]
    return nics + [word for spare in range(SPARE_PORTS) for word in _port(len(machine.nics) + spare)]


def _nic(number: int, nic: Nic, vhost: tuple[int, ...]) -> list[str]:
    words = ((name, "on" if value is True else str(value)) for name, value in device(number, nic).items())
    text = ",".join(f"{name}={quoted(value)}" for name, value in words)
    return ["-netdev", _backend(number, nic, vhost), *_port(number), "-device", text.removeprefix("driver=")]


def _port(number: int) -> list[str]:
    # A root port each: on the root bus itself a NIC could be neither added nor taken away while the guest runs.
    return ["-device", f"pcie-root-port,id=port{number},chassis={number + 1},slot={number + 1}"]


def device(number: int, nic: Nic) -> dict[str, object]:
    """The guest's side of NIC `number`, as `-device` and QMP's device_add know it."""
    words: dict[str, object] = {"driver": "virtio-net-pci", "id": f"nic{number}", "netdev": f"net{number}", "bus": f"port{number}"}
    return words | {"mac": nic.mac, "romfile": ""} | _queues(nic)


def _backend(number: int, nic: Nic, vhost: tuple[int, ...]) -> str:
    if isinstance(nic, TapNic):
        return f"tap,id=net{number},{_tap(nic, vhost)}"
    if isinstance(nic, VmnetNic):
        return f"vmnet-bridged,id=net{number},ifname={quoted(nic.adapter)}"
    return f"user,id=net{number},{_user_network(nic)}"


def _tap(nic: TapNic, vhost: tuple[int, ...]) -> str:
    if not nic.fds or len(vhost) not in (0, len(nic.fds)):
        raise ValueError(f"a NIC of {len(nic.fds)} queues with {len(vhost)} of the kernel")
    one, several = ("fd", "vhostfd") if len(nic.fds) == 1 else ("fds", "vhostfds")
    kernel = f",vhost=on,{several}={_joined(vhost)}" if vhost else ""
    return f"{one}={_joined(nic.fds)}{kernel}"


def _joined(fds: tuple[int, ...]) -> str:
    return ":".join(str(fd) for fd in fds)


def _queues(nic: Nic) -> dict[str, object]:
    """A multiqueue device has two interrupts a queue, one for its control queue and one for its configuration."""
    queues = len(nic.fds) if isinstance(nic, TapNic) else 1
    return {"mq": True, "vectors": 2 * queues + 2} if queues > 1 else {}


def _user_network(nic: UserNic) -> str:
    """IPv6 is off: slirp would lead fec0::2 to the host's ::1, past the guard of its 127.0.0.1."""
    network = IPv4Network(nic.network)
    if network.num_addresses < 32:
        raise ValueError(f"too small a network for user mode: {network}")
    host, dns, first = network[2], network[3], network[15]
    forwards = "".join(f",hostfwd={quoted(hostfwd(forward))}" for forward in nic.forwards)
    return f"net={network},host={host},dns={dns},dhcpstart={first},ipv6=off,restrict=off{forwards}"
