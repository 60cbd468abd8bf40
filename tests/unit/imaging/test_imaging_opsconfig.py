"""OPS's config.json: honoured, noted, or refused with the mend; SEC-C2: nothing in it acts on the host."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.imaging import opsfields
from instances.imaging.base import ImagingError, Recipe
from instances.imaging.opsconfig import ConfigError, OpsConfig, parse, read, recipe_from

FULL = """
{
  "Args": ["-v", "x"],
  "Env": {"GREETING": "hi"},
  "Files": ["etc/hosts"],
  "Dirs": ["static"],
  "MapDirs": {"conf/*": "/etc/app"},
  "NameServers": ["10.0.2.3"],
  "RebootOnExit": true,
  "Program": "./z",
  "RunConfig": {"Memory": "512m", "CPUs": 2, "Ports": ["8080", "9000-9005"], "UDPPorts": ["53"], "InstanceName": "web1"},
  "CloudConfig": {"Platform": "onprem", "ImageName": "web"}
}
"""


def refusal(config):
    with pytest.raises(ConfigError) as caught:
        parse(config) if isinstance(config, str) else read(config)
    return caught.value


def test_what_is_honoured():
    assert parse(FULL) == OpsConfig(
        args=("-v", "x"),
        env={"GREETING": "hi"},
        files=("etc/hosts",),
        dirs=("static",),
        map_dirs=(("conf/*", "/etc/app"),),
        nameservers=("10.0.2.3",),
        reboot_on_exit=True,
        program="z",
        memory_mib=512,
        vcpus=2,
        ports=("8080", "9000-9005"),
        udp_ports=("53",),
        instance_name="web1",
        image_name="web",
    )


def test_keys_are_taken_in_any_case_and_null_says_nothing():
    assert read({"ARGS": ["a"], "runconfig": {"memory": "1G", "cpus": None}, "Env": None}) == OpsConfig(args=("a",), memory_mib=1024)
    assert parse("\ufeff{}") == OpsConfig()


@pytest.mark.parametrize(
    ("text", "mib"), [("512m", 512), ("512M", 512), ("2G", 2048), ("1g", 1024), ("128", 128), ("2048k", 2), ("1T", 1024**2)]
)
def test_memory(text, mib):
    assert read({"RunConfig": {"Memory": text}}).memory_mib == mib


@pytest.mark.parametrize("text", ["lots", "512x", "-1", "0", "10k", "9999999T", "1.5G", "m"])
def test_what_is_no_memory(text):
    assert refusal({"RunConfig": {"Memory": text}}).mend == 'Write one like "512m" or "2G".'


def test_the_documents_own_sample_with_unquoted_names():
    error = refusal('{\n    "RunConfig": {\n        "Bridged": true,\n        "TapName": tap1,\n        "BridgeName": br1\n    }\n}\n')
    assert (error.code, error.line, error.column) == ("bad_json", 4, 20)
    assert error.mend == 'Put quotes around it: "tap1"'


@pytest.mark.parametrize(
    ("text", "line", "column", "mend"),
    [
        ('{"Args": ["a",]}', 1, 14, "Remove this comma."),
        ('{\n "Args": ["a"],\n}', 2, 15, "Remove this comma."),
        ("{'Args': []}", 1, 2, 'Use double quotes: "Args"'),
        ('{"Args": [] // later\n}', 1, 13, "Remove it: JSON knows no comments."),
        ('# mine\n{"Args": []}', 1, 1, "Remove it: JSON knows no comments."),
        ("{Args: []}", 1, 2, 'Put quotes around it: "Args"'),
        ('{"RebootOnExit": True}', 1, 18, "Write true instead."),
        ('{"Args": ["a"]\n "Env": {}}', 2, 2, "Put a comma before it, or close the text or bracket before it."),
        ('{"Args": ["a]}', 1, 11, 'Put a closing " at its end.'),
        ('{"Args": ["a"]', 1, 15, "Add the closing braces and brackets that are missing."),
        ('{"Args" ["a"]}', 1, 9, "Put a : between name and value."),
        ('{"Args": }', 1, 10, "Put a value here."),
        ('{"Args": []}}', 1, 13, "Remove what follows the last closing brace, or add the opening brace that it closes."),
        ('{"Program": "C:\\g"}', 1, 16, "Write a backslash twice: \\\\"),
        ("", 1, 1, "Write at least {}."),
    ],
)
def test_invalid_json_has_line_column_and_the_mend(text, line, column, mend):
    error = refusal(text)
    assert (error.code, error.line, error.column, error.mend) == ("bad_json", line, column, mend)
    assert f"line {line}, column {column}" in error.message


@pytest.mark.parametrize(
    ("config", "field", "mend"),
    [
        ({"Arg": []}, "Arg", "Did you mean Args?"),
        ({"Memory": "1g"}, "Memory", "Memory belongs into RunConfig."),
        ({"RunConfig": {"Args": []}}, "RunConfig.Args", "Args belongs to the top level."),
        ({"RunConfig": {"Memmory": "1g"}}, "RunConfig.Memmory", "Did you mean Memory?"),
        ({"TapNam": "x"}, "TapNam", "Did you mean TapName in RunConfig?"),
        ({"Zzzzqq": 1}, "Zzzzqq", ""),
        ({"RunConfig": {"Nics": [{"Addr": "x"}]}}, "RunConfig.Nics.Addr", "Did you mean IPAddress?"),
    ],
)
def test_an_unknown_field_names_the_nearest(config, field, mend):
    error = refusal(config)
    assert (error.code, error.field, error.mend) == ("unknown_field", field, mend)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ([], "the config"),
        ({"Args": "a"}, "Args"),
        ({"Args": [1]}, "Args[0]"),
        ({"Env": ["A=1"]}, "Env"),
        ({"Env": {"A": 1}}, "Env.A"),
        ({"Env": {"A=B": "1"}}, "Env"),
        ({"Args": ["a\0b"]}, "Args[0]"),
        ({"RunConfig": []}, "RunConfig"),
        ({"RunConfig": {"CPUs": "2"}}, "RunConfig.CPUs"),
        ({"RunConfig": {"CPUs": True}}, "RunConfig.CPUs"),
        ({"RunConfig": {"CPUs": -1}}, "RunConfig.CPUs"),
        ({"RunConfig": {"Ports": [8080]}}, "RunConfig.Ports[0]"),
        ({"RebootOnExit": "true"}, "RebootOnExit"),
        ({"NameServers": ["dns.example"]}, "NameServers[0]"),
        ({"Args": ["x"], "args": ["y"]}, "args"),
    ],
)
def test_a_value_of_another_kind_is_refused(config, field):
    if isinstance(config, list):
        config = json.dumps(config)
    error = refusal(config)
    assert (error.code, error.field) == ("bad_value", field)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ({"CPUs": 999}, "RunConfig.CPUs must be a whole number from 1 to 256, not 999."),
        ({"CPUs": "2"}, "RunConfig.CPUs must be a whole number from 1 to 256, not a text. Write it without quotes."),
        ({"Memory": 512}, 'RunConfig.Memory must be a text in quotes, not a number. Put quotes around it: "512"'),
        ({"Memory": -1}, "RunConfig.Memory must be a text in quotes, not a number."),
    ],
)
def test_the_mend_leads_to_a_value_that_is_taken(run, sentence):
    assert refusal({"RunConfig": run}).message == sentence


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\nb"])
def test_sec_c2_paths_are_inside_the_upload_only(path):
    for config in ({"Files": [path]}, {"Dirs": [path]}, {"MapDirs": {path: "/x"}}, {"Program": path}):
        assert refusal(config).code == "bad_path"
    assert refusal({"MapDirs": {"a/*": "/../x"}}).code == "bad_path"


HOST_FIELDS = {
    "Boot": "/etc/passwd",
    "BuildDir": "/root",
    "Home": "/root",
    "Kernel": "/boot/vmlinuz",
    "KlibDir": "/etc",
    "Mounts": {"/etc": "/mnt"},
    "PackageBaseURL": "http://169.254.169.254/",
    "PackageManifestURL": "file:///etc/passwd",
    "ProgramPath": "/bin/su",
    "TargetRoot": "/",
    "UefiBoot": "/etc/shadow",
    "VolumesDir": "/root",
}
HOST_RUN_FIELDS = {
    "AtExit": "touch /tmp/owned",
    "Kernel": "/x",
    "Mgmt": "4444",
    "QMP": True,
    "VirtfsShares": {"/etc": "x"},
    "Mounts": ["/etc"],
}


def test_sec_c2_what_names_the_host_is_noted_and_never_kept():
    found = read({**HOST_FIELDS, "RunConfig": HOST_RUN_FIELDS})
    assert {note.field for note in found.notes} == {*HOST_FIELDS, *(f"RunConfig.{name}" for name in HOST_RUN_FIELDS)}
    assert OpsConfig(notes=found.notes) == found


def test_every_known_field_is_honoured_kept_or_noted():
    for section in ("", "RunConfig", "CloudConfig"):
        for name, note in opsfields.FIELDS[section].items():
            assert note == opsfields.USED or note.endswith("."), name
            if note:
                config = {name: "something"} if not section else {section: {name: "something"}}
                assert [entry.field.rpartition(".")[2] for entry in read(config).notes] == [name]


def test_recipes():
    config = OpsConfig(program="bin/z", files=("etc/hosts",), dirs=("static",), map_dirs=(("a/*", "/b"),))
    assert recipe_from(None, "g") == Recipe("/g")
    assert recipe_from(None, "some/where/g") == Recipe("/g")
    assert recipe_from(config, "z").program == "/bin/z"
    assert recipe_from(config, "z").program_member == ""
    inside = Recipe("/bin/z", "bin/z", ("etc/hosts",), ("static",), (("a/*", "/b"),))
    assert recipe_from(config, "") == inside
    with pytest.raises(ConfigError) as caught:
        recipe_from(None, "")
    assert caught.value.code == "no_program"
    with pytest.raises(ImagingError):
        recipe_from(None, "..")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(sorted(opsfields.FIELDS[""])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_sec_i1_any_json_is_a_config_or_an_answer(value):
    with suppress(ConfigError):
        assert isinstance(parse(json.dumps(value)), OpsConfig)


@given(st.text(max_size=60) | st.text(st.sampled_from("{}[]\",:'/#ab1\n "), max_size=30))
def test_sec_i1_any_text_is_a_config_or_an_answer(text):
    try:
        parse(text)
        line = 1
    except ConfigError as error:
        line = error.line or 1
    assert 1 <= line <= text.count("\n") + 1


def test_sec_i1_deep_nesting_long_numbers_and_size_are_answers():
    for text in (
        "[" * 100_000,
        '{"a":' + "9" * 10_000 + "}",
        '{"a": "' + "x" * 300_000 + '"}',
        '{"Args": NaN}',
        '{"Env": {"A": "1", "A": "2"}}',
    ):
        assert refusal(text).code in ("bad_json", "too_large")
