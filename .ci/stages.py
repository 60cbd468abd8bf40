"""Runs every stage of `make test`, each a make target, and closes with one line of what passed and failed. Called by `make test`."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "test-output"
LINT = ("lint-format", "lint-code", "lint-templates", "lint-imports", "lint-types", "lint-migrations", "lint-deploy")
TESTS = ("unit", "test-postgres", "test-host", "test-browser")
STAGE_SECONDS = 2400


@dataclass(frozen=True)
class Result:
    """What one stage came to. A lint command counts as one check."""

    stage: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def main() -> int:
    """Run all stages, also after a failed one; 0 only when every stage passed."""
    OUTPUT.mkdir(exist_ok=True)
    results = [lint(name) for name in LINT] + [tests(name) for name in TESTS]
    print(f"\n{'stage':<18}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>10}")
    for result in results:
        print(f"{result.stage:<18}{result.passed:>8}{result.failed:>8}{result.skipped:>9}{result.seconds:>10.1f}")
    failed = sum(result.failed for result in results)
    print(f"\n{closing(results)}", flush=True)
    return 1 if failed else 0


def closing(results: list[Result]) -> str:
    """The one line that CI reads."""
    passed, failed, skipped = (sum(getattr(result, name) for result in results) for name in ("passed", "failed", "skipped"))
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def lint(target: str) -> Result:
    """One lint command."""
    code, seconds = make(target, {})
    return Result(target, int(code == 0), int(code != 0), 0, seconds)


def tests(target: str) -> Result:
    """One pytest run, counted by its own report; a run that ended without one, or without a test, has failed."""
    report = OUTPUT / f"{target}.xml"
    report.unlink(missing_ok=True)
    code, seconds = make(target, {"PYTEST_ADDOPTS": f"--junitxml={report} {os.environ.get('PYTEST_ADDOPTS', '')}"})
    counted = count(report.read_text()) if report.exists() else (0, 0, 0)
    passed, failed, skipped = counted
    return Result(target, passed, failed or int(code != 0 or passed == 0), skipped, seconds)


def count(junit: str) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit report; an error while setting up counts as a failure."""
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in ElementTree.fromstring(junit).iter("testsuite"):  # noqa: S314  # our own pytest wrote it
        for name in totals:
            totals[name] += int(suite.get(name, "0"))
    failed = totals["failures"] + totals["errors"]
    return totals["tests"] - failed - totals["skipped"], failed, totals["skipped"]


def make(target: str, variables: dict[str, str]) -> tuple[int, float]:
    """Run a target with its output shown as it comes, ended whole when its time is over; (exit code, seconds)."""
    print(f"\n=== {target}", flush=True)
    began = time.monotonic()
    # The outer make's flags hold its job server, which is not ours to hand on.
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    with subprocess.Popen(["make", "-s", target], cwd=ROOT, env={**inherited, **variables}, start_new_session=True) as process:
        try:
            code = process.wait(STAGE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            print(f"{target} did not end within {STAGE_SECONDS} s")
            code = 124
    return code, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
