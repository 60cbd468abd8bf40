"""What a step of the reconciler says instead of being done."""


class NotYet(Exception):
    """Something else has to happen first, and will call us again."""


class StepFailed(Exception):
    """A step that can't be done, with a code and a sentence for the person who asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
