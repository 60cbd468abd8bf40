"""What the fake panel knows: uploads, images, instances with their consoles. Waiting is on one condition, never on time."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TOKEN = "ow_" + "t" * 43
NOW = "2024-05-01T10:00:00Z"


class Answer(Exception):
    """An HTTP answer that ends the handling of a request."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.status, self.body = status, body


def refuse(status: int, code: str, message: str, **fields: Any) -> Answer:
    return Answer(status, {"code": code, "message": message, "fields": fields, "request_id": "r-1"})


@dataclass
class Vm:
    """An instance and its guest."""

    body: dict[str, Any]
    changed: threading.Condition
    state: str = "running"
    exit: dict[str, Any] | None = None
    console: bytearray = field(default_factory=bytearray)
    kept_from: int = 0
    typed: str = ""
    writer: str = ""
    viewers: list[Any] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    program_runs: bool = True
    ports: set[int] = field(default_factory=set)
    stops_at_verb: bool = True
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def prints(self, data: bytes) -> None:
        with self.changed:
            self.console += data
            self.changed.notify_all()

    def ends(self, *, code: int | None = None, signal: int | None = None, reason: str = "exit") -> None:
        with self.changed:
            self.state, self.exit = "stopped", {"reason": reason, "code": code, "signal": signal, "message": "", "at": NOW}
            self.changed.notify_all()

    def listens(self, port: int) -> None:
        with self.changed:
            self.ports.add(port)
            self.changed.notify_all()

    def wait_until(self, true: Callable[[], bool], seconds: float = 20) -> bool:
        with self.changed:
            return self.changed.wait_for(true, seconds)

    def is_true(self, what: str) -> bool:
        kind, _, port = what.partition(":")
        facts = {"running": self.state == "running", "ended": self.state == "stopped", "ready": bool(self.ports)}
        return int(port) in self.ports if kind == "port" else facts[kind]

    def shown(self) -> dict[str, Any]:
        body = self.body
        ports = [
            {"protocol": "tcp", "host_address": "127.0.0.1", "host_port": 18081, "guest_port": 8080, "url": "http://127.0.0.1:18081/"}
            for _ in body.get("ports") or []
        ]
        return {
            "id": self.id, "name": body["name"], "team": body.get("team") or "demo", "host": "local", "arch": "x86_64",
            "image": {"id": "i", "name": str(body["image"]), "digest": "d"}, "vcpus": body.get("vcpus") or 1,
            "memory_mib": body.get("memory_mib") or 256, "args": body.get("args") or [], "env": body.get("env") or {}, "hosts": {},
            "nameservers": [], "desired": "running" if self.state == "running" else "stopped", "state": self.state,
            "label": self.state.capitalize(), "tone": "run", "addresses": ["127.0.0.1:18081"] if ports else [], "ports": ports,
            "nics": body.get("nics") or [],
            "boot": [{"name": "program", "start_ms": 0, "ms": 655}] if self.program_runs else [],
            "exit": self.exit, "restart_policy": body.get("restart_policy") or "never", "autostart": False, "restart_to_apply": [],
            "verbs": [], "created_at": NOW, "created_by": "olga", "started_at": NOW, "operation": None, "message": "",
        }  # fmt: skip


class State:
    """Everything, with knobs for what goes wrong."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.requests: list[tuple[str, str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.vms: dict[str, Vm] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, list[dict[str, Any]]] = {}  # by the id of a network or an instance
        self.leases: list[dict[str, Any]] = []
        self.network_error = ""
        self.preview: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self.program: Callable[[Vm], None] = lambda vm: None  # what a new guest does, in a thread of its own
        self.chunk_size = 64
        self.hooks: list[tuple[str, Callable[[], None]]] = []  # (beginning of "METHOD path", what happens before one such request)
        self.config_check: dict[str, Any] | Answer = {"config": {}, "notes": []}
        self.build_error = self.start_error = ""
        self.cut_console_after = 0  # bytes; the next console connection breaks there
        self.refuse_verb: Answer | None = None

    def operation(self, verb: str, label: str, error: str = "") -> dict[str, Any]:
        """A new one that is done at the first look."""
        made = {
            "id": str(uuid.uuid4()), "kind": "instance", "target_id": "t", "target_label": label, "verb": verb, "status": "queued",
            "progress": 0, "steps": [{"name": "prepare", "started": 0, "ms": 12}], "requested_by": "olga",
            "error_code": "start_failed" if error else "", "error_message": error, "created_at": NOW, "finished_at": None,
        }  # fmt: skip
        self.operations[made["id"]] = made
        return made

    def settle(self, operation: dict[str, Any]) -> dict[str, Any]:
        operation["status"] = "failed" if operation["error_message"] else "succeeded"
        return operation

    def vm(self, name: str = "web1", **facts: Any) -> Vm:
        """An instance that is there already."""
        made = Vm({"name": name, "image": "img", **facts.pop("body", {})}, self.changed, **facts)
        self.vms[made.id] = made
        return made

    def image(self, name: str, **facts: Any) -> dict[str, Any]:
        """An image that is there already."""
        made = {
            "id": str(uuid.uuid4()), "name": name, "team": "demo", "kind": "program", "runtime": "linux", "arch": "x86_64",
            "state": "ready", "digest": "ab" * 32, "size": 3 * 1024**2, "program": "/g", "notes": [], "error": "", "created_at": NOW,
            "created_by": "olga", "in_use_by": 0, **facts,
        }  # fmt: skip
        self.images[made["id"]] = made
        return made

    def network(self, name: str = "br0", **facts: Any) -> dict[str, Any]:
        """A network that is there already."""
        made = {
            "id": str(uuid.uuid4()), "name": name, "team": "demo", "host": "local", "mode": "nat", "adapter": "",
            "cidr4": "192.168.33.0/24", "gateway4": "192.168.33.1", "cidr6": "", "gateway6": None, "nat6": True, "dhcp": True,
            "dhcp_first": "192.168.33.2", "dhcp_last": "192.168.33.254", "lease_seconds": 3600, "mtu": 1500, "domain": "",
            "resolvers": [], "records": {}, "shared_with": [], "linked": [], "state": "up", "label": "Up", "tone": "run", "message": "",
            "drift": [], "warnings": [], "nics": 0, "created_at": NOW, "created_by": "olga", "operation": None, "verbs": [], **facts,
        }  # fmt: skip
        self.networks[made["id"]] = made
        return made

    def on(self, request: str, *hooks: Callable[[], None]) -> None:
        """Do these, one before each of the next requests whose "METHOD path" begins like that; one that raises answers."""
        self.hooks += [(request, hook) for hook in hooks]

    def before(self, request: str) -> None:
        """Run the first hook that waits for such a request."""
        for place, (beginning, hook) in enumerate(self.hooks):
            if request.startswith(beginning):
                del self.hooks[place]
                hook()
                return

    def record(self, method: str, path: str, body: Any) -> None:
        """Note a request; whoever waits for one is told."""
        with self.changed:
            self.requests.append((method, path, body))
            self.changed.notify_all()

    def sent(self, method: str, part: str) -> list[Any]:
        """Bodies of the requests of `method` whose path contains `part`."""
        return [body for verb, path, body in self.requests if verb == method and part in path]
