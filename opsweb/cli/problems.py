"""What can go wrong, each with the exit code that scripts rely on (table in docs/cli.md). Raised everywhere here, shown by main."""

from collections.abc import Mapping
from typing import Any

INTERRUPTED = 130


class Problem(Exception):
    """Something was not done. `code` is for programs, `message` a sentence for people."""

    exit_code = 1
    code = "refused"

    def __init__(self, message: str, *, code: str = "", fields: Mapping[str, Any] | None = None, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.fields = dict(fields or {})
        self.request_id = request_id

    def as_json(self) -> dict[str, Any]:
        """The shape in which the panel itself answers errors."""
        return {"code": self.code, "message": self.message, "fields": self.fields, "request_id": self.request_id}


class Refused(Problem):
    """The panel said no, or tried and failed."""


class Senseless(Refused):
    """The panel said that what was sent makes no sense to it (422)."""


class Usage(Problem):
    """The command line, the config or the files beside it make no sense."""

    exit_code, code = 2, "usage"


class Unreachable(Problem):
    """No panel answers at this address; trying again may help."""

    exit_code, code = 3, "unreachable"


class NotAllowed(Problem):
    """Not signed in, or the role does not allow it."""

    exit_code, code = 4, "forbidden"


class NotFound(Problem):
    """It is not there, or not ours to see."""

    exit_code, code = 5, "not_found"


class TimedOut(Problem):
    """What was waited for did not come in time."""

    exit_code, code = 6, "timeout"
