"""Refusals: a stable code for programs, a sentence for people, an HTTP status. Raised by services, turned into answers at the doors."""

from collections.abc import Mapping, Sequence


class Refusal(Exception):
    """Something was not done; nothing changed."""

    status = 400
    code = "refused"

    def __init__(self, message: str, *, code: str = "", fields: Mapping[str, Sequence[object]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.fields = {name: list(values) for name, values in (fields or {}).items()}


class Unauthenticated(Refusal):
    """Nobody is signed in, or the token is wrong, expired or revoked."""

    status, code = 401, "unauthenticated"


class Forbidden(Refusal):
    """Visible, but the person's role does not allow it."""

    status, code = 403, "forbidden"


class NotFound(Refusal):
    """Not there, or not visible: the answer is the same (INV-15)."""

    status, code = 404, "not_found"

    def __init__(self, message: str = "There is nothing here, or it is not yours to see.") -> None:
        super().__init__(message)


class Conflict(Refusal):
    """It clashes with something that is so now."""

    status, code = 409, "conflict"


class TooLarge(Refusal):
    """More bytes than allowed."""

    status, code = 413, "too_large"


class Invalid(Refusal):
    """The values can't be used."""

    status, code = 422, "invalid"


class TooMany(Refusal):
    """More at once than one person may have; a little later it will do."""

    status, code = 429, "too_many"


class Unavailable(Refusal):
    """A part of the panel does not answer; trying again later may help."""

    status, code = 503, "unavailable"
