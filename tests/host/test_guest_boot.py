"""The three parts of a Linux guest under a bare QEMU: init's status lines, network, console, ends of every kind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from instances.imaging import cpio
from instances.imaging.base import BuildJob, GuestConfig, GuestNic, Recipe
from instances.imaging.builder import build
from instances.imaging.hello import build_hello
from instances.imaging.image import default_entries
from instances.imaging.kernel import Kernel, find_kernel
from tests.contract.hypervisors import free_port, short_directory
from tests.host.bare_guest import MAC, BareGuest, booted, script_image
from tests.host.scratch import KERNEL
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

NIC = GuestNic(MAC)
Boot = Callable[..., AbstractContextManager[BareGuest]]


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    """Debian's cloud kernel."""
    return find_kernel(KERNEL)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path, in a network namespace of our own."""
    in_own_namespace()
    with short_directory() as path:
        yield path


@pytest.fixture
def boot(kernel: Kernel, directory: Path) -> Boot:
    """`boot(image, **config)` → a running guest."""

    def start(image: bytes, *more: str, program: str = "/prog", nics: tuple[GuestNic, ...] = (NIC,), **config: object) -> object:
        guest = GuestConfig("web1", program, nics=nics, **config)  # type: ignore[arg-type]
        return booted(kernel, image, guest, directory, free_port(), *more)

    return start  # type: ignore[return-value]


def test_hello_serves_its_page_and_ends_by_the_power_button(boot: Boot, directory: Path) -> None:
    report = build_hello(directory / "hello.cpio")
    image = (directory / "hello.cpio").read_bytes()
    with boot(image, program=report.program, watch_ports=(("tcp", 8080),)) as guest:
        times = [int(guest.hear(word).rpartition(" ")[2]) for word in ("init", "program", "port tcp 8080 ")]
        assert 100 < times[0] < times[1] < times[2] < 60_000  # milliseconds of uptime
        assert b"Hello from inside the VM" in guest.get()
        assert b"Hello from inside the VM" in guest.get()
        _press_until_it_ends(guest)
        assert guest.end() == ["init", "program", "port tcp 8080", "signal 15", "poweroff"]
        assert guest.console().startswith("Hello from inside the VM.\n")
        assert guest.console().count("response:200") == 2


def _press_until_it_ends(guest: BareGuest) -> None:
    """The kernel drops a press that comes before the button's module is there; a panel presses again, too."""
    for _ in range(20):
        guest.powerdown()
        if guest.hears_within("signal", 1):
            return
    raise AssertionError("the power button did nothing")


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 3", "exit 3"),
        ("exit 139", "exit 139"),
        ("kill -SEGV $$", "signal 11"),
    ],
)
def test_the_end_of_a_program_is_told_exactly(script: str, end: str, boot: Boot) -> None:
    with boot(script_image(f"echo bye; {script}")) as guest:
        assert guest.end() == ["init", "program", end, "poweroff"]
        assert guest.console() == "bye\n"


def test_a_nic_that_it_was_not_told_of_asks_by_dhcp(boot: Boot) -> None:
    """As one that is plugged while it boots: before anybody hears of it."""
    late = ("-netdev", "user,id=late,net=10.0.9.0/24", "-device", "virtio-net-pci,netdev=late,mac=52:54:00:00:00:99,romfile=")
    # The address comes first, its gateway a moment later.
    script = "until grep -q '^eth1\t00000000' /proc/net/route; do sleep 0.2; done; ifconfig eth1 | grep -o 'inet addr:[0-9.]*'"
    with boot(script_image(script), *late, nics=(GuestNic(MAC, address="10.0.2.15/24", gateway="10.0.2.2"),)) as guest:
        assert guest.end()[-2:] == ["exit 0", "poweroff"]
        assert guest.console() == "inet addr:10.0.9.15\n"


def test_ctrl_c_on_the_console_ends_the_program(boot: Boot) -> None:
    with boot(script_image("echo ready; sleep 50")) as guest:
        guest.hear("program")
        guest.wait_for_console("ready")
        guest.type(b"\x03")
        assert guest.end()[-2:] == ["signal 2", "poweroff"]


def test_a_stubborn_program_is_killed_after_two_seconds(boot: Boot) -> None:
    with boot(script_image('trap "" TERM; echo ready; while :; do sleep 1; done')) as guest:
        guest.wait_for_console("ready")
        _press_until_it_ends(guest)
        assert guest.end()[-2:] == ["signal 9", "poweroff"]


def test_reboot_on_exit_starts_it_again_until_the_button(boot: Boot) -> None:
    with boot(script_image("sleep 0.2; exit 1"), reboot_on_exit=True) as guest:
        for _ in range(2):
            guest.hear("init")
            guest.hear("exit 1 ")
            guest.hear("reboot ")


def test_sec_d1_arguments_environment_and_names_arrive_as_they_are(boot: Boot) -> None:
    args = ("a b", "it's", "$(reboot)", "", "-n", "two\nlines", "ü")
    env = (("GREETING", "'; reboot; '"), ("odd-name.x", "1"))
    script = """#!/bin/sh
for word; do echo "<$word>"; done
tr '\\0' '\\n' </proc/$$/environ
pwd; hostname; tty
cat /etc/hosts /etc/resolv.conf
"""
    hosts_of_image = cpio.regular("etc/hosts", b"10.0.2.9 bob\n10.0.2.2 eve")
    image = cpio.pack([*default_entries(), cpio.regular("prog", script.encode(), 0o755), hosts_of_image])
    with boot(image, args=args, env=env, hosts=(("10.0.2.2", "bob"),), working_directory="/tmp") as guest:
        guest.end()
        lines = guest.console().split("\n")
    assert lines[:8] == ["<a b>", "<it's>", "<$(reboot)>", "<>", "<-n>", "<two", "lines>", "<ü>"]
    assert {"GREETING='; reboot; '", "odd-name.x=1", "HOME=/", "USER=root", "PWD=/tmp", "/tmp", "web1", "/dev/ttyS0"} <= set(lines)
    assert {"127.0.0.1 localhost web1", "nameserver 10.0.2.3", "10.0.2.2 eve"} <= set(lines)
    assert lines.index("10.0.2.2 bob") < lines.index("10.0.2.9 bob")  # the instance's own come first


def test_a_guest_has_what_programs_expect_and_no_zombies(boot: Boot) -> None:
    script = """
for device in null zero random urandom tty ptmx fd/0 stdin stdout stderr; do [ -e /dev/$device ] || echo "no $device"; done
for place in /tmp /dev/shm /run; do echo x >$place/x || echo "no $place"; done
[ "$(head -c 8 /dev/urandom | wc -c)" = 8 ] && echo random
mount | grep -c devpts
for orphan in 1 2 3; do (sleep 0.1 &); done; sleep 0.6; ps -o stat | grep -c Z
"""
    with boot(script_image(script)) as guest:
        guest.end()
        assert guest.console() == "random\n1\n0\n"


def test_an_address_by_dhcp(boot: Boot) -> None:
    with boot(script_image("ifconfig eth0 | grep 'inet addr'; route -n | grep ^0.0.0.0"), nics=(GuestNic(MAC, "", ""),)) as guest:
        guest.end()
        assert "inet addr:10.0.2.15" in guest.console()
        assert "10.0.2.2" in guest.console()


def test_inv_08_an_address_of_both_families_at_once(boot: Boot) -> None:
    """A static IPv6 address is there when the program starts, with no second of detecting duplicates; the MTU, too."""
    script = "ip -6 addr show dev eth0 | grep global; ifconfig eth0 | grep -o MTU:1400; cat /proc/sys/net/ipv6/conf/eth0/accept_ra"
    with boot(script_image(script), nics=(GuestNic(MAC, address6="fd00:33::7/64", mtu=1400),)) as guest:
        guest.end()
        assert "fd00:33::7/64" in guest.console()
        assert "tentative" not in guest.console()
        assert guest.console().endswith("MTU:1400\n1\n")


@pytest.mark.parametrize("second", ["10.0.3.15/24", ""], ids=["fixed", "dhcp"])
def test_of_several_nics_the_first_with_a_gateway_leads_out(boot: Boot, second: str) -> None:
    """However they get their addresses; and the servers of that one are asked."""
    mac = "52:54:00:00:00:02"
    more = ("-netdev", "user,id=net1,net=10.0.3.0/24", "-device", f"virtio-net-pci,netdev=net1,mac={mac},romfile=")
    other = GuestNic(mac, second, "10.0.3.2" if second else "")
    script = "ip route get 192.0.2.1; cat /etc/resolv.conf; ifconfig | grep -c 'inet addr:10.0'"
    with boot(script_image(script), *more, nics=(GuestNic(MAC, "", ""), other), nameservers=()) as guest:
        guest.end()
        assert "via 10.0.2.2" in guest.console()
        assert guest.console().endswith("nameserver 10.0.2.3\n2\n")
    with boot(script_image(script), *more, nics=(replace(NIC, gateway=""), other), nameservers=("192.0.2.53",), search="lab") as guest:
        guest.end()
        assert "via 10.0.3.2" in guest.console()
        assert guest.console().endswith("search lab\nnameserver 192.0.2.53\n2\n")


def test_a_program_that_is_not_there_says_so_on_the_console(boot: Boot) -> None:
    with boot(script_image(""), program="/nope") as guest:
        assert guest.end()[-2:] == ["exit 127", "poweroff"]
        assert "/nope" in guest.console()


def test_a_dynamic_program_of_the_host_looks_names_up(boot: Boot, directory: Path) -> None:
    """The loader, glibc and its look-ups by /etc/nsswitch.conf work in the guest with what the builder found."""
    job = BuildJob(Path("/usr/bin/getent"), None, Recipe("/usr/bin/getent"), directory / "out.cpio", 65534)
    directory.chmod(0o755)
    report = build(job)
    assert "/lib/x86_64-linux-gnu/libc.so.6" in report.libraries
    with boot(job.output.read_bytes(), program=report.program, args=("hosts", "bob"), hosts=(("10.0.2.2", "bob"),)) as guest:
        assert guest.end()[-2:] == ["exit 0", "poweroff"]
        assert guest.console().split() == ["10.0.2.2", "bob"]
