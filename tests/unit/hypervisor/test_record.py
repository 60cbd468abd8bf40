"""The record of a start and its marks: what is written comes back, what is torn is nothing."""

import pytest

from instances.hypervisor import record
from instances.hypervisor.identity import Process
from instances.hypervisor.record import Record

FIRST = Record("b007", "host", ["qemu", "-uuid"], "tcg", "", 1000.5)


def test_each_stage_comes_back(tmp_path):
    born = FIRST.born(Process(42, 4711))
    for stage in (FIRST, born, born.greeted(1001.5)):
        record.write(tmp_path, stage)
        assert record.read(tmp_path) == stage
    assert [path.name for path in tmp_path.iterdir()] == ["vm.json"]
    assert (tmp_path / "vm.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"process": 3}', '{"boot": "b007"}', "null", '{"process": null, "unknown": 1}'])
def test_a_torn_record_is_none(tmp_path, text):
    (tmp_path / "vm.json").write_text(text)
    assert record.read(tmp_path) is None


def test_no_record(tmp_path):
    assert record.read(tmp_path / "nothing") is None


def test_marks_belong_to_a_boot(tmp_path):
    record.mark(tmp_path, "b007", "asked")
    record.mark(tmp_path, "b007", "ended", "shutdown")
    assert record.marked(tmp_path, "b007", "asked") == ""
    assert record.marked(tmp_path, "b007", "ended") == "shutdown"
    assert record.marked(tmp_path, "b008", "asked") is None
    record.forget_marks(tmp_path)
    assert list(tmp_path.iterdir()) == []
