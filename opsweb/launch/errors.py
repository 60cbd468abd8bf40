"""What `make up` and its siblings say when they can't go on; raised by all of opsweb.launch, printed by `__main__`."""


class LaunchError(Exception):
    """A sentence that tells the person what to do; `code` is stable and for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
