"""Asks on a link and hears who answers: what ARP and neighbour discovery have in common."""

import socket
import time
from collections.abc import Callable, Mapping

SHORT, LONG = 0.6, 3.0  # seconds to wait: for the first look, and after a move
_AGAIN_SECONDS = 0.2

Question = Callable[[bytes, bytes], bytes]  # own MAC, target → frame
Answer = Callable[[bytes], bytes | None]  # frame → whose answer it is


def answering(link: str, protocol: int, waiting: Mapping[bytes, str], question: Question, answer: Answer, seconds: float) -> set[str]:
    """Those of `waiting` (packed address → text) that answer within `seconds`; returns as soon as all have. `protocol`: an ethertype."""
    answered: set[str] = set()
    if not waiting:
        return answered
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol)) as opened:
        opened.bind((link, protocol))
        mac = opened.getsockname()[4]
        deadline = time.monotonic() + seconds
        while len(answered) < len(waiting) and (left := deadline - time.monotonic()) > 0:
            for target in waiting:
                opened.send(question(mac, target))
            answered |= _hear(opened, waiting, answer, min(left, _AGAIN_SECONDS))
    return answered


def _hear(opened: socket.socket, waiting: Mapping[bytes, str], answer: Answer, seconds: float) -> set[str]:
    found: set[str] = set()
    deadline = time.monotonic() + seconds
    while len(found) < len(waiting) and (left := deadline - time.monotonic()) > 0:
        opened.settimeout(left)
        try:
            frame = opened.recv(2048)
        except TimeoutError:
            break
        sender = answer(frame)
        if sender is not None and sender in waiting:
            found.add(waiting[sender])
    return found
