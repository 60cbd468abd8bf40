"""Closes what the archive tests keep open."""

import os
import socket
from collections.abc import Iterator

import handmade
import pytest


@pytest.fixture(autouse=True)
def closed_spools() -> Iterator[None]:
    """Spools are read until a test ends, and no longer."""
    yield
    while handmade.open_spools:
        os.close(handmade.open_spools.pop())


@pytest.fixture
def listener_port() -> Iterator[int]:
    """A listener on this host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
