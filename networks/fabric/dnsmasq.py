"""One dnsmasq for each network: started as a user of its own, known by its settings' path, ended by pidfd.

A process is the network's when its command line names the network's settings file, which no other has; a pid alone says nothing.
It goes into the background by itself: its first process ends once the sockets are open or with the reason why not, and init reaps the rest,
so a worker waits for exactly that and leaves no zombie.
"""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from networks.fabric import dnsmasq_text, files, pidfd
from networks.fabric.base import Drift, FabricError, Lease, NetworkPlan
from networks.fabric.dnsmasq_text import Paths
from networks.fabric.undoing import Undo

DNSMASQ = Path("/usr/sbin/dnsmasq")
_SETPRIV = "/usr/bin/setpriv"
_CAPABILITIES = "+net_admin,+net_bind_service,+net_raw"  # ARP entries for DHCP answers; ports 53, 67, 547; ICMPv6
_SECONDS = 10
_END_SECONDS = 3.0
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True)
class _Wanted:
    """A network's files as they are to be."""

    conf: str
    reservations: str
    hosts: str


def ensure(network: NetworkPlan, directory: Path, index: int, undo: Undo) -> None:
    """Let the network's dnsmasq run with exactly these settings on the bridge with this index; what is so is left alone.

    New names and reservations are read by the running one; it starts anew when its settings change, or when somebody holds
    a lease that is now reserved for another. Raises: FabricError("no_dnsmasq"), FabricError("dnsmasq_failed").
    """
    paths = Paths(directory)
    if not dnsmasq_text.is_needed(network):
        return end(paths)
    if not DNSMASQ.exists():
        raise FabricError("no_dnsmasq", f"{DNSMASQ} is not there. Install Debian's package dnsmasq-base.")
    wanted, present = _wanted(network, paths, index), _present(paths)
    if is_running(paths, network.uid) and present is not None and wanted.conf == present.conf and not _stale(network, paths, present):
        return _reload(network, paths, wanted, present, undo)
    undo.later(_go_back, network, paths, present, was_running=find(paths) is not None)
    end(paths)
    _prune(network, paths, present)
    _write(network, paths, wanted)
    _start(network, paths)
    return None


def drift(network: NetworkPlan, directory: Path, index: int) -> tuple[Drift, ...]:
    """How it differs: not there, other settings."""
    paths = Paths(directory)
    if not dnsmasq_text.is_needed(network):
        return (Drift("dnsmasq", "runs, though the network needs none"),) if find(paths) else ()
    found = [] if is_running(paths, network.uid) else [Drift("dnsmasq", "does not run")]
    present = _present(paths)
    if present != _wanted(network, paths, index):
        found.append(Drift("dnsmasq", "has other settings"))
    elif present is not None and _stale(network, paths, present):
        found.append(Drift("dnsmasq", "keeps a lease that is reserved for another NIC"))
    return tuple(found)


def leases(directory: Path) -> tuple[Lease, ...]:
    """What it has given out; () where it never ran."""
    return dnsmasq_text.leases(files.read(Paths(directory).leases) or "")


def end(paths: Paths) -> None:
    """End the network's dnsmasq, by identity. Ended already: nothing."""
    pid = find(paths)
    while pid is not None:
        pidfd.end(pid, lambda found: _is_of(paths, found), _END_SECONDS)
        pid = find(paths)


def is_running(paths: Paths, uid: int) -> bool:
    """Whether the process of its pid file is this network's, and under its user id."""
    pid = _recorded(paths)
    return pid is not None and _is_of(paths, pid) and _uid(pid) == uid


def find(paths: Paths) -> int | None:
    """Its pid: from its file, else by a look at all processes (a start that was killed half-way left no file)."""
    pid = _recorded(paths)
    if pid is not None and _is_of(paths, pid):
        return pid
    everybody = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal())
    return next((pid for pid in everybody if _is_of(paths, pid)), None)


def _argument(paths: Paths) -> str:
    return f"--conf-file={paths.conf}"


def _is_of(paths: Paths, pid: int) -> bool:
    with suppress(OSError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return arguments[:2] == [os.fsencode(DNSMASQ), os.fsencode(_argument(paths))]
    return False


def _uid(pid: int) -> int | None:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}").stat().st_uid
    return None


def _recorded(paths: Paths) -> int | None:
    text = (files.read(paths.pid) or "").strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _wanted(network: NetworkPlan, paths: Paths, index: int) -> _Wanted:
    # Its sockets belong to one bridge, not to its name: on a bridge made anew it must start anew.
    conf = f"{dnsmasq_text.conf(network, paths)}# link {index}\n"
    return _Wanted(conf, dnsmasq_text.reservations(network), dnsmasq_text.hosts(network))


def _present(paths: Paths) -> _Wanted | None:
    conf, reservations, hosts = (files.read(path) for path in (paths.conf, paths.reservations, paths.hosts))
    return None if conf is None or reservations is None or hosts is None else _Wanted(conf, reservations, hosts)


def _write(network: NetworkPlan, paths: Paths, wanted: _Wanted) -> None:
    """Root's, readable for the network's group alone: dnsmasq itself cannot change them."""
    for path, text in ((paths.hosts, wanted.hosts), (paths.reservations, wanted.reservations), (paths.conf, wanted.conf)):
        files.write(path, text, mode=0o640, gid=network.uid)


def _reload(network: NetworkPlan, paths: Paths, wanted: _Wanted, present: _Wanted, undo: Undo) -> None:
    if wanted == present:
        return
    undo.later(_write, network, paths, present)
    _write(network, paths, wanted)
    pid = find(paths)
    if pid is not None:
        pidfd.send(pid, signal.SIGHUP, lambda found: _is_of(paths, found))


def _start(network: NetworkPlan, paths: Paths) -> None:
    identity = (f"--reuid={network.uid}", f"--regid={network.uid}", "--clear-groups")
    limits = (f"--inh-caps=-all,{_CAPABILITIES}", f"--ambient-caps=-all,{_CAPABILITIES}", f"--bounding-set=-all,{_CAPABILITIES}")
    command = [_SETPRIV, *identity, *limits, "--no-new-privs", "--", str(DNSMASQ), _argument(paths)]
    with TemporaryFile() as said:  # not a pipe, which the process in the background would hold open
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=_SECONDS,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            end(paths)
            raise FabricError("dnsmasq_failed", f"The dnsmasq of {network.name} did not get ready within {_SECONDS} s.") from None
        said.seek(0)
        sentence = said.read(2000).decode(errors="replace").strip()
    if done.returncode != 0 or not is_running(paths, network.uid):
        raise FabricError("dnsmasq_failed", f"The dnsmasq of {network.name} did not start: {sentence[:500] or 'no reason given'}")


def _stale(network: NetworkPlan, paths: Paths, present: _Wanted) -> set[str]:
    """Addresses whose lease stands against the reservations."""
    gone = dnsmasq_text.reserved6(present.reservations) - dnsmasq_text.reserved6(dnsmasq_text.reservations(network))
    moved = {address for _, address in gone}
    found = dnsmasq_text.leases(files.read(paths.leases) or "")
    return {lease.address for lease in found if dnsmasq_text.stale(network, lease) or lease.address in moved}


def _prune(network: NetworkPlan, paths: Paths, present: _Wanted | None) -> None:
    """Leases are kept over a restart, but for the stale ones."""
    text = files.read(paths.leases)
    if text is None:
        return
    stale = _stale(network, paths, present or _Wanted("", "", ""))
    kept = [line for line in text.splitlines(keepends=True) if len(fields := line.split(" ")) < 3 or fields[2] not in stale]
    files.write(paths.leases, "".join(kept), uid=network.uid, gid=network.uid)


def _go_back(network: NetworkPlan, paths: Paths, present: _Wanted | None, *, was_running: bool) -> None:
    """After a failed change: the files of before, and the process if there was one."""
    end(paths)
    if present is None:
        return
    _write(network, paths, present)
    if was_running:
        _start(network, paths)
