"""Runs nft(8) for the fabric driver: text in, text out, no shell, bounded in time."""

import json
import subprocess
from pathlib import Path
from typing import Any

from networks.fabric.base import FabricError

NFT = Path("/usr/sbin/nft")
_SECONDS = 20
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def apply(text: str) -> None:
    """Load `text` as one transaction: all of it or nothing. Raises: FabricError("rules_refused") with nft's own sentence."""
    done = _run(("-f", "-"), text)
    if done.returncode != 0:
        raise FabricError("rules_refused", f"The kernel refused the host's firewall rules: {_first_line(done.stderr)}")


def takes(text: str) -> bool:
    """Whether nft and the kernel would take `text`. Changes nothing."""
    return _run(("-c", "-f", "-"), text).returncode == 0


def tables() -> list[str]:
    """Names of all `inet` tables, anybody's."""
    return [item["table"]["name"] for item in _json("list", "tables", "inet") if "table" in item]


def chains() -> list[dict[str, Any]]:
    """All chains of all families, anybody's, as nft's JSON has them: family, table, name; of base chains hook and policy, too."""
    return [item["chain"] for item in _json("list", "chains") if "chain" in item]


def comments(table: str) -> list[str]:
    """Comments of all rules in the `inet` table `table`, anybody's text."""
    return [item["rule"]["comment"] for item in _json("list", "table", "inet", table) if "comment" in item.get("rule", {})]


def elements(table: str, name: str) -> list[str]:
    """Of a set of names in the `inet` table `table`, anybody's text; none where it is not there."""
    found = (item["set"] for item in _json("list", "set", "inet", table, name) if "set" in item)
    return [element for one in found for element in one.get("elem", ()) if isinstance(element, str)]


def _json(*command: str) -> list[dict[str, Any]]:
    done = _run(("-j", *command))
    return json.loads(done.stdout)["nftables"] if done.returncode == 0 else []


def _run(arguments: tuple[str, ...], text: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            [NFT, *arguments], input=text, capture_output=True, text=True, timeout=_SECONDS, env=_ENVIRONMENT, cwd="/", check=False
        )
    except FileNotFoundError:
        raise FabricError("no_nft", f"{NFT} is not there. Install Debian's package nftables.") from None
    except subprocess.TimeoutExpired:
        raise FabricError("timeout", f"nft did not end within {_SECONDS} s. The host may be overloaded; try again.") from None


def _first_line(stderr: str) -> str:
    return (stderr.strip().splitlines() or ["no reason given"])[0][:300]
