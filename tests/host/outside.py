"""A world outside the host: a second network namespace behind a veth, with a web page and a name server. For whole roads."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST, WORLD = "203.0.113.1", "203.0.113.2"  # TEST-NET-3 (RFC 5737)
PAGE = "A page of the outside."
KEEP = "import signal; print('ready', flush=True); signal.pause()"
SERVE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 8080), Page)
print('ready', flush=True)
server.serve_forever()
"""


@contextmanager
def the_outside(name: str) -> Iterator[list[str]]:
    """Joined to this namespace, which must be the test's own; `name` resolves to its page, also for the host's resolver.

    Yields the words before a command that is to run out there.
    """
    with _process(["unshare", "--net", sys.executable, "-I", "-c", KEEP]) as keeper:
        within = ["nsenter", "-t", str(keeper.pid), "-n"]
        _ip(f"link add outside0 type veth peer name outside1 netns {keeper.pid}")
        _ip(f"addr add {HOST}/24 dev outside0")
        _ip("link set outside0 up")
        _ip(f"route add default via {WORLD}")
        for line in ("link set lo up", f"addr add {WORLD}/24 dev outside1", "link set outside1 up"):
            _ip(line, within)
        dns = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file="]
        with (
            _process([*within, sys.executable, "-I", "-c", SERVE, WORLD, PAGE]),
            _process([*within, *dns, f"--listen-address={WORLD}", f"--address=/{name}/{WORLD}"], says_ready=False),
            _resolver(WORLD),
        ):
            try:
                yield within
            finally:
                _ip("link del outside0")


@contextmanager
def _resolver(address: str) -> Iterator[None]:
    """/etc/resolv.conf of this mount namespace alone (`unshare --mount`)."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"nameserver {address}\n")
        file.flush()
        Path(file.name).chmod(0o644)
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True, timeout=10)
        try:
            yield
        finally:
            subprocess.run(["umount", "/etc/resolv.conf"], check=True, timeout=10)


@contextmanager
def _process(command: list[str], *, says_ready: bool = True) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE if says_ready else None, text=True)
    try:
        assert not says_ready or (child.stdout and child.stdout.readline() == "ready\n")
        yield child
    finally:
        child.kill()
        child.wait(10)
        if child.stdout:
            child.stdout.close()


def _ip(line: str, prefix: list[str] | None = None) -> None:
    subprocess.run([*(prefix or []), "ip", *line.split()], check=True, timeout=10)
