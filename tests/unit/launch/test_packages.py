"""Debian packages, and the policy that keeps their services from starting meanwhile."""

from pathlib import Path

import pytest

from opsweb.launch import packages
from opsweb.launch.errors import LaunchError


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy-rc.d that is not the host's."""
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "POLICY", path)
    return path


def foreign(path: Path, code: int) -> str:
    text = f"#!/bin/sh\nexit {code}\n"
    path.write_text(text)
    path.chmod(0o755)
    return text


def test_service_starts_are_forbidden_meanwhile_and_allowed_again(policy: Path) -> None:
    with packages.services_held():
        assert policy.read_text() == packages.POLICY_TEXT
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_the_policy_goes_also_when_the_install_fails(policy: Path) -> None:
    with pytest.raises(LaunchError), packages.services_held():
        raise LaunchError("apt", "no network")
    assert not policy.exists()


def test_a_leftover_of_a_killed_install_is_ours_to_remove(policy: Path) -> None:
    policy.write_text(packages.POLICY_TEXT)
    with packages.services_held():
        pass
    assert not policy.exists()


def test_inv_04_a_foreign_policy_that_forbids_stays_as_it_is(policy: Path) -> None:
    """INV-04."""
    text = foreign(policy, 101)
    with packages.services_held():
        assert policy.read_text() == text
    assert policy.read_text() == text


def test_inv_04_a_foreign_policy_that_allows_is_refused_and_stays(policy: Path) -> None:
    """INV-04: redis would start on its port; a person decides."""
    text = foreign(policy, 0)
    with pytest.raises(LaunchError) as refused, packages.services_held():
        pytest.fail("the install went on")
    assert refused.value.code == "foreign_policy"
    assert policy.read_text() == text


def test_missing_packages_are_told_from_installed_ones() -> None:
    assert packages.missing(["dpkg", "opsweb-no-such-package"]) == ["opsweb-no-such-package"]


def test_a_plain_user_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(LaunchError, match="sudo apt-get install --no-install-recommends opsweb-no-such-package"):
        packages.ensure(["dpkg", "opsweb-no-such-package"])


def test_a_fake_panel_needs_neither_qemu_nor_a_firewall() -> None:
    assert set(packages.needed("fake", own_redis=True)) == {"python3-venv", "libarchive13", "redis-server"}
    assert "redis-server" not in packages.needed("real", own_redis=False)
    assert {"qemu-system-x86", "nftables", "dnsmasq-base", "busybox-static"} <= set(packages.needed("real", own_redis=True))
