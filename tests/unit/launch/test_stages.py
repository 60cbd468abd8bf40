"""The closing line of `make test` is honest."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

REPORT = """<testsuites><testsuite name="pytest" tests="7" failures="1" errors="1" skipped="2"/></testsuites>"""


@pytest.fixture
def stages(clone: Path) -> ModuleType:
    """.ci/stages.py, which is no package's module."""
    spec = importlib.util.spec_from_file_location("stages", clone / ".ci/stages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_error_while_setting_up_counts_as_a_failure(stages: ModuleType) -> None:
    assert stages.count(REPORT) == (3, 2, 2)


@pytest.mark.parametrize(
    ("code", "report", "counted"),
    [
        (0, '<testsuite tests="2" failures="0" errors="0" skipped="0"/>', (2, 0)),
        (1, '<testsuite tests="2" failures="0" errors="0" skipped="0"/>', (2, 1)),  # e.g. the coverage gate, or a dead worker
        (5, '<testsuite tests="0" failures="0" errors="0" skipped="0"/>', (0, 1)),
        (0, '<testsuite tests="1" failures="0" errors="0" skipped="1"/>', (0, 1)),
        (2, None, (0, 1)),
    ],
)
def test_a_run_without_a_passed_test_or_with_an_exit_code_has_failed(
    stages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, report: str | None, counted: tuple[int, int]
) -> None:
    def make(target: str, variables: dict[str, str]) -> tuple[int, float]:
        if report:
            (tmp_path / f"{target}.xml").write_text(report)
        return code, 0.1

    monkeypatch.setattr(stages, "OUTPUT", tmp_path)
    monkeypatch.setattr(stages, "make", make)
    result = stages.tests("unit")
    assert (result.passed, result.failed) == counted


def test_the_closing_line_adds_up(stages: ModuleType) -> None:
    results = [stages.Result("lint-code", 1, 0, 0, 0.5), stages.Result("unit", 3, 2, 0, 1.0)]
    assert stages.closing(results) == "4 passed, 2 failed"
    assert stages.closing([*results, stages.Result("host", 1, 0, 4, 1.0)]) == "5 passed, 2 failed, 4 skipped"
