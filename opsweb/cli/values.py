"""Values of flags: sizes, times and K=V pairs, judged before anything is sent. Used by the parser."""

import argparse
import re

_UNITS = {"": 1, "m": 1, "g": 1024, "t": 1024**2}
_SIZE = re.compile(r"([0-9]+)(?:([mgt])(?:i?b)?)?", re.ASCII | re.IGNORECASE)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])?", re.ASCII | re.IGNORECASE)


def memory(text: str) -> int:
    """MiB of `256`, `256m`, `1g` …; a bare number is MiB, as QEMU and OPS take it. Raises: ArgumentTypeError."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"“{text}” is no memory size; it looks like 256m or 1g")
    return int(found[1]) * _UNITS[(found[2] or "").lower()]


def variable(text: str) -> tuple[str, str]:
    """Name and value of `K=V`. Raises: ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"“{text}” is no variable; it looks like NAME=value")
    return name, value


def positive(text: str) -> int:
    """A whole number from 1 on. Raises: ArgumentTypeError."""
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"“{text}” is no whole number from 1 on")
    return int(text)


def offset(text: str) -> int:
    """A whole number from 0 on. Raises: ArgumentTypeError."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"“{text}” is no offset; it is a whole number from 0 on")
    return int(text)


def duration(text: str) -> int:
    """Seconds of `3600`, `90s`, `30m`, `12h`, `7d`. Raises: ArgumentTypeError."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"“{text}” is no time; it looks like 3600, 30m or 12h")
    return int(found[1]) * _SECONDS[(found[2] or "s").lower()]


def record(text: str) -> tuple[str, str]:
    """Name and address of `db=192.168.33.200`. Raises: ArgumentTypeError."""
    name, equals, address = text.partition("=")
    if not equals or not name or not address:
        raise argparse.ArgumentTypeError(f"“{text}” is no record; it looks like db=192.168.33.200")
    return name, address
