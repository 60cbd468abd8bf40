"""The panel's REST API over HTTP: one method for each kind of request, every refusal as a Problem. Used by all commands."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from opsweb.cli.credentials import Credentials
from opsweb.cli.problems import NotAllowed, NotFound, Problem, Refused, Senseless, Unreachable

Json = dict[str, Any]
T = TypeVar("T")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
PAGE = 200
PATIENCE_SECONDS = 60.0  # how long a panel may be away, e.g. restarted, before a long command gives up
TRANSFER_SECONDS = 30.0


class Panel:
    """A signed-in client. Methods raise Unreachable, NotAllowed, NotFound or Refused; safe to use from several threads."""

    def __init__(self, credentials: Credentials, team: str = "") -> None:
        self.url = credentials.url
        self.team = team
        self.authorization = {"Authorization": f"Bearer {credentials.token}"}
        # A proxy of the environment can't reach our own loopback.
        self.through_proxy = urlsplit(self.url).hostname not in _LOOPBACK
        timeout = httpx.Timeout(TRANSFER_SECONDS, connect=10.0)
        encrypted = self.url.startswith("https:")  # without, the certificates need not be read
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1/", headers=self.authorization, timeout=timeout, trust_env=self.through_proxy, verify=encrypted
        )

    def get(self, path: str, *, held: float = 0.0, **query: Any) -> Json:
        """Read. `held`: seconds that the panel may hold the answer back (long poll)."""
        return self._json(self._answer("GET", path, held=held, params=_given(query)))

    def post(self, path: str, body: Json) -> Json:
        """Create or act. Keys whose value is None or "" are left out: the panel's default holds."""
        return self._json(self._answer("POST", path, json=_given(body)))

    def patch(self, path: str, body: Json) -> Json:
        """Change. Keys whose value is None are left out: what they name stays as it is."""
        return self._json(self._answer("PATCH", path, json={name: value for name, value in body.items() if value is not None}))

    def replace(self, path: str, body: Json) -> Json:
        """Put in place of what is there."""
        return self._json(self._answer("PUT", path, json=body))

    def delete(self, path: str) -> Json:
        """Remove; {} where the panel has nothing to say."""
        return self._json(self._answer("DELETE", path))

    def put(self, path: str, body: bytes, headers: dict[str, str]) -> Json:
        """Send raw bytes."""
        return self._json(self._answer("PUT", path, content=body, headers=headers))

    def read(self, path: str, **query: object) -> tuple[bytes, httpx.Headers]:
        """Raw bytes with the headers that came with them."""
        answer = self._answer("GET", path, params=_given(query))
        return answer.content, answer.headers

    def everything(self, path: str, **query: Any) -> list[Json]:
        """All items of a list, page by page."""
        items: list[Json] = []
        while True:
            page = self.get(path, limit=PAGE, offset=len(items), **query)
            items += page["items"]
            if not page["items"] or len(items) >= page["count"]:
                return items

    def find(self, kind: str, reference: str) -> Json:
        """The instance, image … called `reference`, or with that id. Raises: NotFound; Refused("ambiguous") if two teams have one."""
        if _UUID.fullmatch(reference):
            return self.get(f"{kind}/{reference}/")
        found = [item for item in self.everything(f"{kind}/", name=reference, team=self.team) if item["name"] == reference]
        if not found:
            raise NotFound(f"There is no {kind.rstrip('s')} called {reference}, or it is not yours to see.")
        if len(found) > 1:
            teams = ", ".join(sorted(str(item["team"]) for item in found))
            raise Refused(
                f"{reference} is the name of {len(found)} {kind}, of the teams {teams}. Say which one with --team.", code="ambiguous"
            )
        return found[0]

    def patient(self, call: Callable[[], T]) -> T:
        """`call`, again while the panel is away; gives up with the last problem after PATIENCE_SECONDS."""
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.25
        while True:
            try:
                return call()
            except Problem as problem:
                if not is_passing(problem) or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 4.0)

    def _answer(self, method: str, path: str, *, held: float = 0.0, **request: Any) -> httpx.Response:
        if held:
            request["timeout"] = httpx.Timeout(TRANSFER_SECONDS, connect=10.0, read=held + TRANSFER_SECONDS)
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise Unreachable(f"The panel at {self.url} does not answer in time.") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unreachable(f"The panel at {self.url} can't be reached: {error}.") from error
        if not answer.is_success:
            raise problem_of(answer, self.url)
        return answer

    def _json(self, answer: httpx.Response) -> Json:
        if answer.status_code == httpx.codes.NO_CONTENT or not answer.content:
            return {}
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unreachable(f"What answers at {self.url} is not an opsweb panel.")
        return value


def is_passing(problem: Problem) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(problem, Unreachable) or problem.code == "unavailable"


def problem_of(answer: httpx.Response, url: str) -> Problem:
    """A refusal of the panel, or of what stands before it, as the Problem with its exit code."""
    if answer.is_redirect:
        there = urlsplit(str(answer.headers.get("location", "")))
        return Unreachable(f"The panel lives at {there.scheme}://{there.netloc}, not at {url}. Set OPSWEB_URL to that.", code="moved")
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict) or "message" not in said:
        away = answer.status_code in (502, 503, 504)
        text = f"What answers at {url} says {answer.status_code} {answer.reason_phrase}, and not in the way of an opsweb panel."
        return Unreachable(text) if away else Refused(text, code=f"http_{answer.status_code}")
    kind = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 422: Senseless}.get(answer.status_code, Refused)
    facts: Json = {name: said.get(name) for name in ("code", "fields", "request_id") if said.get(name)}
    return kind(str(said["message"]), **facts)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ""}
