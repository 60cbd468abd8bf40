"""The instance's own archive: golden text, and SEC-D1: no value can break out of its place."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.imaging import cpio
from instances.imaging.base import GuestConfig, GuestNic, ImagingError
from instances.imaging.instance_archive import environment, hosts_file, instance_archive, instance_script, quoted

CONFIG = GuestConfig(
    hostname="web1",
    program="/app/g",
    args=("-v", "it's", ""),
    env=(("GREETING", "hello world"), ("PATH", "/app")),
    hosts=(("10.0.2.2", "bob"), ("fd00::2", "eve")),
    nics=(
        GuestNic("52:54:00:AB:CD:EF"),
        GuestNic("52:54:00:00:00:02", "", "", "fd00:33::7/64", 1400),
        GuestNic("52:54:00:00:00:03", "192.168.33.9/24", "", "fd00:34::9/64"),
        GuestNic("52:54:00:00:00:04", "", "", mtu=9000),
    ),
    search="br0.internal",
    watch_ports=(("tcp", 8080), ("udp", 53)),
    reboot_on_exit=True,
    working_directory="/app",
)

SCRIPT = rb"""hostname='web1'
directory='/app'
reboot=reboot
ports='tcp:1F90:8080 udp:0035:53'
nic '52:54:00:ab:cd:ef' '10.0.2.15' '255.255.255.0' '10.0.2.2'
nic '52:54:00:00:00:02' '' '' '' 'fd00:0033:0000:0000:0000:0000:0000:0007/64' '1400'
nic '52:54:00:00:00:03' '192.168.33.9' '255.255.255.0' '' 'fd00:0034:0000:0000:0000:0000:0000:0009/64' ''
nic '52:54:00:00:00:04' '' '' '' '' '9000'
set -- 'PATH=/app' 'HOME=/' 'USER=root' 'PWD=/app' 'TERM=xterm-256color' 'GREETING=hello world' '/.opsweb/busybox' 'time' '-f' '' '-o' '/.opsweb/ended' '/.opsweb/busybox' 'setsid' '-c' '/app/g' '-v' 'it'\''s' ''
"""  # noqa: E501


def test_the_script_word_by_word():
    assert instance_script(CONFIG) == SCRIPT


def test_the_archive_holds_script_names_and_servers():
    members = {entry.path: entry.content for entry in cpio.read(instance_archive(CONFIG)) if entry.content}
    assert members == {
        ".opsweb/instance": SCRIPT,
        ".opsweb/hosts": b"127.0.0.1 localhost web1\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.2 bob\nfd00::2 eve\n",
        "etc/resolv.conf": b"search br0.internal\nnameserver 10.0.2.3\n",
        ".opsweb/resolv.conf": b"search br0.internal\nnameserver 10.0.2.3\n",
    }


def test_without_servers_the_names_are_left_to_dhcp():
    paths = {entry.path for entry in cpio.read(instance_archive(replace(CONFIG, nameservers=())))}
    assert not {"etc/resolv.conf", ".opsweb/resolv.conf"} & paths


def test_the_environment_has_defaults_and_the_instance_wins():
    assert dict(environment(CONFIG))["PATH"] == "/app"
    assert dict(environment(GuestConfig("a", "/g")))["PATH"].endswith("/bin")


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ("a\0b",)},
        {"args": ("\ud800",)},
        {"args": ("x" * 131072,)},
        {"args": ("x" * 100_000,) * 11},
        {"env": (("", "x"),)},
        {"env": (("A=B", "x"),)},
        {"env": (("-u", "x"),)},
        {"env": (("A", "x\0"),)},
        {"hosts": (("10.0.2.2", "bob\n10.0.2.9 eve"),)},
        {"hosts": (("10.0.2.2 x", "bob"),)},
        {"hostname": "a b"},
        {"hostname": ""},
        {"nameservers": ("10.0.2.3\nsearch evil",)},
        {"nics": (GuestNic("52:54:00:00:00:01; reboot"),)},
        {"nics": (GuestNic("52:54:00:00:00:01", "10.0.2.15/24; reboot"),)},
        {"nics": (GuestNic("52:54:00:00:00:01", "10.0.2.15/24", "x"),)},
        {"nics": (GuestNic("52:54:00:00:00:01", address6="fd00::7/64; reboot"),)},
        {"nics": (GuestNic("52:54:00:00:00:01", address6="fd00::7%eth0/64"),)},
        {"nics": (GuestNic("52:54:00:00:00:01", mtu=70_000),)},
        {"search": "br0.internal\nnameserver 10.0.2.9"},
        {"watch_ports": (("tcp; reboot", 80),)},
        {"watch_ports": (("tcp", 0),)},
        {"program": "g"},
        {"working_directory": "app"},
    ],
)
def test_sec_d1_what_can_not_be_passed_on_is_refused(changes):
    with pytest.raises(ImagingError) as caught:
        instance_archive(replace(CONFIG, **changes))
    assert caught.value.code == "bad_config"


SHELL = ["busybox", "sh"] if shutil.which("busybox") else ["sh"]  # the guest's own shell where it is installed
RUNNER = ["/.opsweb/busybox", "time", "-f", "", "-o", "/.opsweb/ended", "/.opsweb/busybox", "setsid", "-c"]
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30)
NASTY = st.sampled_from(
    ["'", "\\", "$(reboot)", "`reboot`", "\n", "'; reboot; '", "-n", "--", "\x81\x82\x88", "${IFS}", "*", "~", "a\\\n'b"]
)
VALUES = st.lists(TEXT | NASTY | st.tuples(NASTY, TEXT, NASTY).map("".join), max_size=6)


@settings(max_examples=120, deadline=None)
@given(VALUES, VALUES)
def test_sec_d1_every_value_reaches_the_program_as_it_is(args, values):
    """The rendered script, run by a real shell, leaves exactly the given words, whatever they hold."""
    config = replace(CONFIG, args=tuple(args), env=tuple((f"V{number}", value) for number, value in enumerate(values)))
    script = (
        b"nic() { :; }\n" + instance_script(config) + b'for word in "$hostname" "$directory" "$ports" "$@"; do printf "%s\\0" "$word"; done'
    )
    done = subprocess.run(SHELL, input=script, capture_output=True, timeout=20, check=True)
    words = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    variables = [f"{name}={value}" for name, value in environment(config)]
    assert words[:3] == ["web1", "/app", "tcp:1F90:8080 udp:0035:53"]
    assert words[3:] == [*variables, *RUNNER, "/app/g", *args]
    assert done.stderr == b""


@given(TEXT)
def test_sec_d1_quoting_leaves_no_open_quote(value):
    assert quoted(value).replace(b"'\\''", b"").count(b"'") == 2


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_sec_d1_hosts_have_one_line_per_pair_or_are_refused(pairs):
    try:
        text = hosts_file(replace(CONFIG, hosts=tuple(pairs)))
    except ImagingError:
        return
    assert text.count(b"\n") == 2 + len(pairs)


@pytest.mark.parametrize("address", ["fe80::1%\ufffd", "fe80::1%a b", "fe80::1%a\nnameserver 6.6.6.6", "::1%"])
@pytest.mark.parametrize("field", ["hosts", "nameservers"])
def test_an_address_with_a_zone_is_refused(field, address):
    """SEC-D1: one line for each value, and a refusal rather than a crash of the worker."""
    value = ((address, "eve"),) if field == "hosts" else (address,)
    with pytest.raises(ImagingError):
        instance_archive(replace(CONFIG, **{field: value}))
