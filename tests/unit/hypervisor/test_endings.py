"""How a boot ended: every combination of what QEMU, guest and we said, against the reason that follows."""

import pytest

from instances.hypervisor.base import ExitReason, Power
from instances.hypervisor.endings import ending
from instances.hypervisor.status import Said

SILENT, CODE, SIGNAL, OFF = Said(), Said(code=3), Said(signal=11), Said(powering_off=True)


@pytest.mark.parametrize(
    ("state", "said", "asked", "power", "reason"),
    [
        (None, SILENT, False, Power.CRASHED, ExitReason.CRASH),
        (None, SILENT, True, Power.STOPPED, ExitReason.REQUEST),
        (None, CODE, False, Power.STOPPED, ExitReason.GUEST),
        (None, SIGNAL, False, Power.STOPPED, ExitReason.GUEST),
        (None, OFF, False, Power.STOPPED, ExitReason.GUEST),
        (None, CODE, True, Power.STOPPED, ExitReason.REQUEST),
        ("shutdown", SILENT, False, Power.STOPPED, ExitReason.GUEST),
        ("shutdown", CODE, False, Power.STOPPED, ExitReason.GUEST),
        ("shutdown", SILENT, True, Power.STOPPED, ExitReason.REQUEST),
        ("guest-panicked", SILENT, False, Power.CRASHED, ExitReason.CRASH),
        ("guest-panicked", CODE, True, Power.CRASHED, ExitReason.CRASH),
        ("internal-error", SILENT, False, Power.CRASHED, ExitReason.CRASH),
    ],
)
def test_reason(state, said, asked, power, reason):
    found, facts = ending(state, said, asked=asked, words="")
    assert (found, facts.reason, facts.code, facts.signal) == (power, reason, said.code, said.signal)


def test_a_crash_says_why_with_qemus_words_or_without():
    assert ending(None, SILENT, asked=False, words="assertion failed")[1].message == "assertion failed"
    assert ending(None, SILENT, asked=False, words="")[1].message
    assert "KVM internal error" in ending("internal-error", SILENT, asked=False, words="KVM internal error")[1].message


def test_an_orderly_end_needs_no_message():
    assert ending("shutdown", CODE, asked=False, words="a warning of long ago")[1].message == ""
