"""What bodies and queries of every app's routes share: closed (an unknown key is refused) and bounded."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_OFFSET = 1_000_000_000


def without_nul(text: str) -> str:
    """`text` itself. Raises: ValueError: a NUL ends a C string, and no text column of PostgreSQL takes it."""
    if "\0" in text:
        raise ValueError("A NUL character can't be used here.")
    return text


Text = Annotated[str, StringConstraints(max_length=65_536), AfterValidator(without_nul)]
Label = Annotated[str, StringConstraints(max_length=200), AfterValidator(without_nul)]


class Closed(BaseModel):
    """A misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Closed):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=500)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
