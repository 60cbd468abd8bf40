"""QEMU's command line against golden files, and the values it must hold harmless. `GOLDEN=write` rewrites the files; review the diff."""

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.hypervisor.argv import Descriptors, command_line, hostfwd, memory_budget_mib, quoted
from instances.hypervisor.base import Forward, Machine, TapNic, UserNic, VmnetNic

GOLDEN = Path(__file__).parent / "golden"
FDS = Descriptors(control=3, watch=4, status_log=5, kernel=6, initrd=7)
HTTP = Forward("tcp", "127.0.0.1", 18080, 8080)
DNS = Forward("udp", "0.0.0.0", 10053, 53)
PLAIN = Machine(
    id=UUID("5bf8a2a0-63c1-4d0c-9a53-0d6a6f5e1c11"),
    name="demo-hello",
    uid=800001,
    vcpus=1,
    memory_mib=128,
    kernel=Path("/kernel"),
    initrd=(b"archive",),
    cmdline="console=ttyS0 quiet",
)
MARK = "opaque=/run/vm/5bf8a2a0-63c1-4d0c-9a53-0d6a6f5e1c11"
WEB = replace(PLAIN, nics=(UserNic("52:54:00:00:00:01", forwards=(HTTP, DNS)),))
MACHINES = {
    "plain": PLAIN,
    "web": WEB,
    "two_nics": replace(WEB, vcpus=2, nics=(*WEB.nics, UserNic("52:54:00:00:00:02", "10.0.3.0/24"))),
    "kvm_paused": replace(PLAIN, accelerator="kvm", paused=True),
    "tap": replace(PLAIN, nics=(TapNic("52:54:00:00:00:01", (8,)), replace(WEB.nics[0], mac="52:54:00:00:00:02"))),
    "vhost": replace(PLAIN, vcpus=2, nics=(UserNic("52:54:00:00:00:02"), TapNic("52:54:00:00:00:01", (8, 9)))),
    "vmnet": replace(PLAIN, nics=(VmnetNic("52:54:00:00:00:01", "en0"),)),
    "aarch64": replace(WEB, arch="aarch64"),
}
ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", MACHINES)
def test_command_line_is_golden(name):
    fds = replace(FDS, vhost={1: (10, 11)}) if name == "vhost" else FDS
    text = "\n".join(command_line(MACHINES[name], fds, MARK)) + "\n"
    path = GOLDEN / f"{name}.argv"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_without_initrd_there_is_no_such_option():
    argv = command_line(replace(PLAIN, initrd=()), replace(FDS, initrd=None), MARK)
    assert "-initrd" not in argv
    assert len(argv) == len(command_line(PLAIN, FDS, MARK)) - 2


@pytest.mark.parametrize(("fds", "vhost"), [((), ()), ((8,), (9, 10)), ((8, 9), (10,))])
def test_a_tap_without_a_descriptor_for_each_queue_is_refused(fds, vhost):
    with pytest.raises(ValueError, match="queues"):
        command_line(replace(PLAIN, nics=(TapNic("52:54:00:00:00:01", fds),)), replace(FDS, vhost={0: vhost}), MARK)


def test_inv_10_sandbox_is_whole():
    argv = command_line(PLAIN, FDS, MARK)
    assert argv[argv.index("-sandbox") + 1] == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    assert {"-nodefaults", "-no-user-config"} <= set(argv)
    assert not {"-daemonize", "-runas", "-chroot", "-monitor", "-no-reboot"} & set(argv)


def test_inv_10_no_argument_is_a_path_of_the_host():
    values = [part.rpartition("=")[2] for word in command_line(WEB, FDS, MARK) for part in word.split(",") if part != MARK]
    paths = [value for value in values if value.startswith("/")]
    assert len(paths) == 3
    assert all(path.startswith(("/dev/fdset/", "/proc/self/fd/")) for path in paths)


@given(name=ANY_TEXT, cmdline=ANY_TEXT, mac=ANY_TEXT)
def test_inv_11_sec_d1_no_text_adds_or_moves_an_argument(name, cmdline, mac):
    plain = command_line(WEB, FDS, MARK)
    hostile = command_line(replace(WEB, name=name, cmdline=cmdline, nics=(replace(WEB.nics[0], mac=mac),)), FDS, MARK)
    assert len(hostile) == len(plain)
    changed = {plain[index - 1] for index, word in enumerate(plain) if hostile[index] != word}
    assert changed <= {"-name", "-append", "-device"}
    assert hostile[hostile.index("-append") + 1] == cmdline


@given(value=ANY_TEXT)
def test_inv_11_sec_d1_a_value_stays_one_value(value):
    """QEMU's own rule (util/keyval.c): a single comma ends a value, a double one is a comma."""
    assert _qemu_values(f"guest={quoted(value)},debug-threads=off") == [f"guest={value}", "debug-threads=off"]


def _qemu_values(text: str) -> list[str]:
    values, rest = [""], text
    while rest:
        if rest.startswith(",,"):
            values[-1], rest = values[-1] + ",", rest[2:]
        elif rest.startswith(","):
            values, rest = [*values, ""], rest[1:]
        else:
            values[-1], rest = values[-1] + rest[0], rest[1:]
    return values


@pytest.mark.parametrize(
    "machine",
    [
        replace(PLAIN, name="a\0b"),
        replace(PLAIN, cmdline="a\0b"),
        replace(PLAIN, arch="vax"),
        replace(PLAIN, accelerator="tcg,thread=single"),
        replace(WEB, nics=(UserNic("52:54:00:00:00:01", "10.0.2.0/28"),)),
        replace(WEB, nics=(UserNic("52:54:00:00:00:01", "10.0.2.0/24,restrict=on"),)),
    ],
)
def test_sec_d1_values_that_cannot_be_are_refused(machine):
    with pytest.raises(ValueError):
        command_line(machine, FDS, MARK)


@pytest.mark.parametrize(
    "forward",
    [replace(HTTP, protocol="tcp,x"), replace(HTTP, host_address="::1"), replace(HTTP, host_address="a,b"), replace(HTTP, host_port=0),
     replace(HTTP, guest_port=65536), replace(HTTP, host_port=-1)],
)  # fmt: skip
def test_sec_d1_a_forward_is_numbers_only(forward):
    with pytest.raises(ValueError):
        hostfwd(forward)


def test_budget_leaves_room_for_translated_code_without_kvm():
    assert memory_budget_mib(PLAIN) - memory_budget_mib(replace(PLAIN, accelerator="kvm")) == 128
    assert memory_budget_mib(PLAIN) > PLAIN.memory_mib
