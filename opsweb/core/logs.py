"""What the log leaves out. Named in the settings' LOGGING."""

import logging


class NoHealthChecks(logging.Filter):
    """A panel that is not ready yet is no error of the web server, and is asked several times a second."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record about /healthz."""
        return getattr(getattr(record, "request", None), "path", "") != "/healthz"
