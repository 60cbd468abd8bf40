"""`opsweb image …` and what `-c config.json` does before anything is sent."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.called import ELF, Done
from tests.unit.cli.fake_state import State, refuse


def archive(state: State) -> list[str]:
    [found] = [upload for upload in state.uploads.values() if upload["filename"].endswith(".tar")]
    with tarfile.open(fileobj=io.BytesIO(found["data"])) as tar:
        return tar.getnames()


def test_create_builds_and_prints_the_image(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    done = opsweb("image", "create", elf, "-i", "img", "--json")
    assert done.code == 0
    assert (done.json["name"], done.json["state"]) == ("img", "ready")
    [body] = state.sent("POST", "images/")
    assert body == {"name": "img", "program": "up-0", "program_name": "g"}
    assert "note: Klibs: not needed here" in done.err


def test_the_config_goes_as_it_was_written_and_names_what_is_packed(
    opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path
) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("a")
    (tmp_path / "config.json").write_text('{"dirs": ["static"],  "Args": ["x"]}')
    state.config_check = {"config": {}, "notes": [{"field": "Klibs", "note": "not needed here"}]}
    done = opsweb("image", "create", "-c", "config.json", "g")
    assert done.code == 0
    [body] = state.sent("POST", "images/")
    assert body["config"] == '{"dirs": ["static"],  "Args": ["x"]}'
    assert body["name"] == "g"
    assert archive(state) == ["static", "static/a.txt"]
    assert done.err.count("not needed here") == 1


def test_the_program_may_be_named_by_the_config(opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"Program": "g", "CloudConfig": {"ImageName": "named"}}')
    assert opsweb("image", "create", "-c", "config.json").code == 0
    assert state.sent("POST", "images/")[0]["name"] == "named"
    assert state.uploads["up-0"]["data"] == ELF


def test_an_etc_hosts_beside_the_config_goes_in_with_a_note(opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hosts").write_text("10.0.2.2 bob\n")
    (tmp_path / "config.json").write_text("{}")
    done = opsweb("image", "create", "-c", "config.json", "g")
    assert archive(state) == ["etc/hosts"]
    assert "goes into the image as etc/hosts" in done.err


def test_a_config_that_names_files_decides_about_etc_hosts_itself(
    opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hosts").write_text("10.0.2.2 bob\n")
    (tmp_path / "config.json").write_text('{"Files": ["g"]}')
    opsweb("image", "create", "-c", "config.json", "g")
    assert archive(state) == ["g"]


def test_invalid_json_is_answered_with_place_and_mend_before_anything_is_sent(
    opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path
) -> None:
    (tmp_path / "my.json").write_text('{\n "RunConfig": {"TapName": tap1}\n}')
    sentence = 'This is no valid JSON, line 2, column 27: tap1 stands there without quotes. Put quotes around it: "tap1"'
    state.config_check = refuse(422, "bad_json", sentence, line=[2], column=[27], mend=['Put quotes around it: "tap1"'])
    done = opsweb("image", "create", "-c", "my.json", "g")
    assert done.code == 2
    assert done.err == f"opsweb: my.json:2:27: {sentence} (bad_json)\n"
    assert state.uploads == {}


def test_a_panel_that_fails_at_the_check_is_no_fault_of_the_config(
    opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    state.config_check = refuse(500, "internal", "Something went wrong in the panel.")
    assert opsweb("image", "create", "-c", "config.json", "g").code == 1


def test_an_empty_config_is_sent_as_it_is_read(opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path) -> None:
    """What is empty is left out of a request; the panel must see that there is a config, and say what is wrong with it."""
    (tmp_path / "empty.json").write_text("")
    state.config_check = refuse(422, "bad_json", "It is empty.", line=[1], column=[1])
    assert "empty.json:1:1: It is empty." in opsweb("image", "create", "-c", "empty.json", "g").err
    assert [body["text"] for body in state.sent("POST", "config/check")] == ["\n"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('{"Files": "g"}', "files in the config must be a list"),
        ("[]", "must be an object"),
        ('{"Files": ["/etc/shadow"]}', "outside"),
        ('{"RunConfig": []}', ""),
    ],
)
def test_a_config_of_the_wrong_shape_is_a_usage_problem(
    opsweb: Callable[..., Done], state: State, elf: Path, tmp_path: Path, config: str, sentence: str
) -> None:
    (tmp_path / "config.json").write_text(config)
    done = opsweb("image", "create", "-c", "config.json", "g")
    assert done.code == (2 if sentence else 0)
    assert sentence in done.err
    assert bool(state.uploads) == (not sentence)


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"#!/bin/sh\n", "is a script"), (b"MZ..", "not a Linux program"), (None, "can't be read")]
)
def test_what_is_no_program_is_not_uploaded(
    opsweb: Callable[..., Done], state: State, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    done = opsweb("image", "create", "x")
    assert done.code == 2
    assert sentence in done.err
    assert state.uploads == {}


def test_a_failed_build_is_told_and_leaves_no_image(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    state.build_error = "libmagic.so.1 is missing."
    done = opsweb("image", "create", elf, "--json")
    assert done.code == 1
    assert done.json["message"] == "libmagic.so.1 is missing."
    assert "libmagic.so.1 is missing." in done.err
    assert state.images == {}


def test_a_taken_name_is_told_before_the_upload(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    state.image("img")
    done = opsweb("image", "create", elf, "-i", "img")
    assert done.code == 1
    assert "name_taken" in done.err
    assert state.uploads == {}


def test_list_show_delete(opsweb: Callable[..., Done], state: State) -> None:
    image = state.image("img", in_use_by=2)
    assert b"img" in opsweb("image", "list").out
    assert opsweb("image", "list", "--json").json == {"items": [image], "count": 1}
    assert opsweb("image", "show", "img", "--json").json == image
    assert b"3.0 MiB" in opsweb("image", "show", image["id"]).out
    refused = opsweb("image", "delete", "img")
    assert refused.code == 1
    assert "in_use" in refused.err
    image["in_use_by"] = 0
    assert opsweb("image", "delete", "img").code == 0
    assert state.images == {}
    assert opsweb("image", "show", "img").code == 5


def test_all_pages_of_a_list_are_fetched(opsweb: Callable[..., Done], state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsweb.cli.client.PAGE", 3)
    for number in range(7):
        state.image(f"img{number}")
    assert [item["name"] for item in opsweb("image", "list", "--json").json["items"]] == [f"img{number}" for number in range(7)]


def test_the_team_goes_with_every_request(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    opsweb("image", "create", elf, "-i", "img", "--team", "blue")
    assert state.sent("POST", "uploads/")[0]["team"] == "blue"
    assert state.sent("POST", "images/")[0]["team"] == "blue"


def test_json_is_one_document_and_stderr_is_for_people(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    done = opsweb("-j", "image", "create", elf, "-i", "img")
    assert json.loads(done.out)
    assert "note:" in done.err
