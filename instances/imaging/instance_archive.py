"""The last part of a guest's initrd: what differs per instance. Pure; made anew at each start by the reconciler."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Interface, NetmaskValueError, ip_address
from typing import Final

from instances.imaging import cpio
from instances.imaging.base import GuestConfig, GuestNic, ImagingError
from instances.imaging.base_archive import HOME

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_MTU: Final = 65_535
MAX_STRING_BYTES: Final = 128 * 1024 - 1  # one argument or one variable (execve(2): MAX_ARG_STRLEN)
MAX_STRINGS_BYTES: Final = 1024 * 1024  # all of them; the kernel takes a quarter of the stack limit

_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def instance_archive(config: GuestConfig) -> bytes:
    """The archive. Raises: ImagingError("bad_config") naming the value that can't be passed on (a NUL byte, a bad address, too long)."""
    entries = [
        cpio.regular(f"{HOME}/instance", instance_script(config)),
        cpio.regular(f"{HOME}/hosts", hosts_file(config)),
    ]
    if config.nameservers:
        text = resolv_conf(config)
        entries += [cpio.regular("etc/resolv.conf", text), cpio.regular(f"{HOME}/resolv.conf", text)]  # the second says: not by DHCP
    return cpio.pack(entries)


def environment(config: GuestConfig) -> tuple[tuple[str, str], ...]:
    """What the program finds in its environment: the instance's own variables over the defaults."""
    defaults = {"PATH": PATH, "HOME": "/", "USER": "root", "PWD": config.working_directory, "TERM": "xterm-256color"}
    return tuple((defaults | dict(config.env)).items())


def instance_script(config: GuestConfig) -> bytes:
    """What the guest's init sources: assignments, `nic` calls, and the command line for env(1) as its positional parameters.

    Every value is a word in single quotes, where the shell knows no special character but the quote itself.
    """
    lines = [
        b"hostname=" + quoted(_matching(_HOSTNAME, config.hostname, "host name")),
        b"directory=" + quoted(_absolute(config.working_directory, "working directory")),
        b"reboot=" + (b"reboot" if config.reboot_on_exit else b""),
        b"ports=" + quoted(" ".join(_port(protocol, port) for protocol, port in config.watch_ports)),
        *(_nic(nic) for nic in config.nics),
        b" ".join([b"set --", *(quoted(word) for word in _command(config))]),
    ]
    return b"\n".join(lines) + b"\n"


def hosts_file(config: GuestConfig) -> bytes:
    """hosts(5) of this instance; init appends what the image brings."""
    hostname = _matching(_HOSTNAME, config.hostname, "host name")
    lines = [f"127.0.0.1 localhost {hostname}", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{_address(address)} {_matching(_HOST, name, 'host name')}" for address, name in config.hosts]
    return "".join(line + "\n" for line in lines).encode("ascii")


def resolv_conf(config: GuestConfig) -> bytes:
    """resolv.conf(5)."""
    search = f"search {_matching(_HOST, config.search, 'domain')}\n" if config.search else ""
    return (search + "".join(f"nameserver {_address(address)}\n" for address in config.nameservers)).encode("ascii")


def quoted(value: str) -> bytes:
    """One word for a POSIX shell that stands for exactly these characters. Raises: ImagingError("bad_config") for what no word can be."""
    if "\0" in value:
        raise ImagingError("bad_config", f"{_shown(value)} holds a NUL byte, which no argument or variable can hold.")
    try:
        data = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ImagingError("bad_config", f"{_shown(value)} can't be written as UTF-8.") from error
    return b"'" + data.replace(b"'", b"'\\''") + b"'"


def _command(config: GuestConfig) -> list[str]:
    busybox = f"/{HOME}/busybox"
    variables = [_variable(name, value) for name, value in environment(config)]
    arguments = [_absolute(config.program, "program"), *config.args]
    _check_sizes([*variables, *arguments])
    runner = [busybox, "time", "-f", "", "-o", f"/{HOME}/ended", busybox, "setsid", "-c"]
    return [*variables, *runner, *arguments]


def _variable(name: str, value: str) -> str:
    # env(1) takes what begins with a dash as an option and what holds no "=" as the command.
    if not name or "=" in name or name.startswith("-"):
        raise ImagingError("bad_config", f"{_shown(name)} can't be the name of an environment variable.")
    return f"{name}={value}"


def _check_sizes(strings: list[str]) -> None:
    sizes = [len(string.encode("utf-8", "surrogatepass")) for string in strings]
    if max(sizes) > MAX_STRING_BYTES or sum(sizes) > MAX_STRINGS_BYTES:
        raise ImagingError(
            "bad_config", "Arguments and environment are too long: 128 KiB each and 1 MiB together are the most that Linux passes on."
        )


def _nic(nic: GuestNic) -> bytes:
    mac = _matching(_MAC, nic.mac, "MAC address").lower()
    try:
        words = [mac, *(_addressed4(nic) if nic.address else ("", "", "")), *_beside4(nic)]
    except (AddressValueError, NetmaskValueError) as error:
        raise ImagingError("bad_config", f"The NIC {mac} has a bad address: {error}.") from error
    return b" ".join([b"nic", *(quoted(word) for word in words)])


def _addressed4(nic: GuestNic) -> tuple[str, str, str]:
    interface = IPv4Interface(nic.address)
    return str(interface.ip), str(interface.netmask), str(IPv4Address(nic.gateway)) if nic.gateway else ""


def _beside4(nic: GuestNic) -> tuple[str, ...]:
    """IPv6 address and MTU; nothing at all for a NIC that has neither."""
    if not 0 <= nic.mtu <= MAX_MTU:
        raise ImagingError("bad_config", f"{nic.mtu} is no MTU.")
    # Written out whole: one of OPS's guests, Nanos, misreads what is shortened in its second half.
    interface = IPv6Interface(nic.address6) if nic.address6 else None
    if interface and "%" in nic.address6:
        raise AddressValueError(f"a zone in {nic.address6!r}")
    address6 = f"{interface.ip.exploded}/{interface.network.prefixlen}" if interface else ""
    return (address6, str(nic.mtu or "")) if address6 or nic.mtu else ()


def _port(protocol: str, port: int) -> str:
    if protocol not in ("tcp", "udp") or not 0 < port < 65536:
        raise ImagingError("bad_config", f"{_shown(protocol)} {port} is no port.")
    return f"{protocol}:{port:04X}:{port}"


def _absolute(path: str, what: str) -> str:
    if not path.startswith("/"):
        raise ImagingError("bad_config", f"The {what} {_shown(path)} must be an absolute path in the guest.")
    return path


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise ImagingError("bad_config", f"{_shown(value)} is no {what}.")
    return value


def _address(value: str) -> str:
    try:
        address = ip_address(value)
    except ValueError as error:
        raise ImagingError("bad_config", f"{_shown(value)} is no IP address.") from error
    if "%" in value:  # ipaddress takes any text as an IPv6 zone
        raise ImagingError("bad_config", f"{_shown(value)} is an address with a zone, which no guest of ours has.")
    return str(address)


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 60 else value[:57] + "...")
