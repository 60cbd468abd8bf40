"""What the network driver is: values in and out, and the protocol that `linux` and `fake` both keep. Pure."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


class FabricError(Exception):
    """The host refused a network change; the sentence is for the person who asked.

    `code` is stable and for programs: "bad_guard", "rules_refused", "no_nft", "bad_lock", "timeout".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


NOBODY = range(0)


@dataclass(frozen=True, order=True)
class Endpoint:
    """A port of the host."""

    protocol: str  # "tcp" or "udp"
    address: str  # IPv4
    port: int


@dataclass(frozen=True, order=True)
class Redirect:
    """A port under 1024, which QEMU may not bind, led to the one that it binds in its place."""

    public: Endpoint
    bound_port: int


@dataclass(frozen=True)
class Guard:
    """All that user-mode guests of this installation may reach on the host; everything else of it is refused.

    `allowed` maps a VM's uid to the endpoints of its own team's forwards that are bound now, as people see them (the public side
    of a redirect; the address 0.0.0.0 for a forward on all of them). A uid of the range that is not in it reaches nothing.
    """

    uid_first: int
    uid_last: int
    allowed: Mapping[int, tuple[Endpoint, ...]]
    redirects: tuple[Redirect, ...] = ()
    shared_ports: tuple[int, ...] = ()  # host ports an admin opened to every guest (OPSWEB_GUEST_HOST_PORTS)
    resolvers: tuple[str, ...] = ()  # IPv4 or IPv6; the host's nameservers, whose port 53 stays open where they are the host itself


class Fabric(Protocol):
    """What the reconciler may ask of a host's network. Each call is idempotent and bounded in time."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold `name` (e.g. "guard") alone among all processes of this host (flock: it dies with its holder). Waits up to 30 s.

        Raises: FabricError("timeout"), FabricError("bad_lock") for a name that is not [a-z0-9-]{1,64}.
        """

    def apply_guard(self, guard: Guard) -> None:
        """Make the host's rules exactly these, at once or not at all; count on.

        Read the rows and call this under `lock("guard")`, or an older reading may come last.
        Raises: FabricError("bad_guard") before anything is touched, FabricError("rules_refused"), FabricError("timeout").
        """

    def guard_holds(self, guard: Guard) -> bool:
        """Whether the rules in the kernel are these (someone may have flushed them)."""

    def busy(self, endpoints: tuple[Endpoint, ...], *, ours: range = NOBODY) -> dict[Endpoint, str]:
        """Those of `endpoints` that some process already listens on, with a word who, e.g. "sshd (pid 412)".

        VMs of ours are included, unless their uids are given as `ours`: what one of them holds is nobody else's.
        A redirect of another installation counts as well; our own does not: its row does, and a start tried again must not meet itself.
        """

    def foreign(self, addresses: frozenset[str]) -> frozenset[str]:
        """Those of the IPv4 `addresses` that the host does not have, so that nothing can listen on them."""

    def remove_all(self) -> None:
        """Leave the host as it was found."""
