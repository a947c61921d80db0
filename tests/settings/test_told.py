"""What settings are, out of a command line, an environment and a file; and what is wrong in these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from actorrpc.errors import ConfigError
from actorrpc.settings import File, Options, Origin, Setting, optional, read_file, resolve, setting


@dataclass
class Some:
    count: int = setting(7, "How many.", least=1)
    patience: float = setting(1.5, "How long.")
    loud: bool = setting(False, "Say so.")
    name: str = setting("nobody", "Whose.", fixed=True)
    kind: str = setting("a", "Which.", choices=("a", "b", "c"))
    place: str | None = optional(str, "Where.", "nowhere", fixed=True)
    places: tuple[str, ...] = setting((), "Where else.", unset="nowhere", choices=("a", "b", "c,d"))
    config: str | None = optional(str, "A file.", "no file", in_file=False)


SETTINGS = [Setting(each.name, **each.metadata) for each in fields(Some)]


def told(
    given: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    **file: Any,
) -> Options:
    return resolve(SETTINGS, given or {}, environment or {}, File("some.toml", file) if file else None)


def test_where_nothing_is_told_all_is_as_it_was_declared() -> None:
    options = told()
    assert options.values == {
        "count": 7, "patience": 1.5, "loud": False, "name": "nobody", "kind": "a", "place": None,
        "places": (), "config": None,
    }  # fmt: skip
    assert set(options.origins.values()) == {Origin.DEFAULT}
    assert options.told_by("count") == "the default of count"


#: Which of three places tell it, and which of them it is.
PLACES = [
    ("command line, environment, file", 1, "--count"),
    ("command line, environment", 1, "--count"),
    ("command line, file", 1, "--count"),
    ("environment, file", 2, "ACTORRPC_COUNT"),
    ("environment", 2, "ACTORRPC_COUNT"),
    ("file", 3, "some.toml: count"),
]


@pytest.mark.parametrize(("places", "value", "by"), PLACES)
def test_each_place_comes_before_those_below_it(places: str, value: int, by: str) -> None:
    options = told(
        {"count": 1} if "command line" in places else {},
        {"ACTORRPC_COUNT": "2"} if "environment" in places else {},
        **({"count": 3} if "file" in places else {}),
    )
    assert (options.values["count"], options.told_by("count")) == (value, by)
    assert options.values["patience"] == 1.5
    assert options.origins["patience"] is Origin.DEFAULT


def test_a_default_that_is_told_is_told() -> None:
    """So that it hides what stands further down."""
    assert told({"count": 7}, {"ACTORRPC_COUNT": "2"}, count=3).values["count"] == 7
    assert told({"count": 7}).origins["count"] is Origin.COMMAND_LINE


def test_a_fault_is_told_though_it_would_be_hidden() -> None:
    with pytest.raises(ConfigError, match=r"^some.toml: count must be a whole number"):
        told({"count": 1}, count="many")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 1),
        ("patience", 2.5),
        ("patience", 2),
        ("loud", True),
        ("name", "x"),
        ("kind", "c"),
        ("place", "p"),
        ("places", ["a", "c,d"]),
        ("places", "c,d"),
        ("places", []),
    ],
)
def test_a_file_tells_values_of_all_types(name: str, value: Any) -> None:
    found = told(**{name: value}).values[name]
    if name == "places":
        value = (value,) if isinstance(value, str) else tuple(value)
    assert found == value
    assert type(found) is {each.name: each.kind for each in SETTINGS}[name]


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ({"count": "7"}, "some.toml: count must be a whole number, not '7'"),
        ({"count": True}, "some.toml: count must be a whole number, not true"),
        ({"count": 7.0}, "some.toml: count must be a whole number, not 7.0"),
        ({"count": 0}, "some.toml: count must be from 1 to 4,294,967,295: 0"),
        ({"count": -1}, "some.toml: count must not be negative: -1"),
        ({"patience": float("nan")}, "some.toml: patience must be a number of seconds, not nan"),
        ({"patience": float("inf")}, "some.toml: patience must be a number of seconds, not inf"),
        ({"patience": True}, "some.toml: patience must be a number of seconds, not true"),
        ({"loud": 1}, "some.toml: loud must be true or false, not 1"),
        ({"loud": "true"}, "some.toml: loud must be true or false, not 'true'"),
        ({"name": 5}, "some.toml: name must be a text in quotes, not 5"),
        ({"name": ["x"]}, "some.toml: name must be a text in quotes, not ['x']"),
        ({"places": ["a", 1]}, "some.toml: places must be a text in quotes, or a list of such, not ['a', 1]"),
        ({"places": 1}, "some.toml: places must be a text in quotes, or a list of such, not 1"),
        ({"places": ["a", "x"]}, "some.toml: places must be a, b or c,d, not 'x'"),
        ({"kind": "d"}, "some.toml: kind must be a, b or c, not 'd'"),
        ({"cuont": 1}, "some.toml: cuont is not known: did you mean count?"),
        ({"Name": "x"}, "some.toml: Name is not known: did you mean name?"),
        ({"zebra": 1}, "some.toml: zebra is not known"),
        (
            {"limits": {"count": 1}},
            "some.toml: [limits] is not known: all keys stand at the top, in no table",
        ),
        ({"config": "other.toml"}, "some.toml: config is not known"),
        (
            {"name": "y" * 1000, "count": ["z" * 1000]},
            f"some.toml: count must be a whole number, not ['{'z' * 98}…",
        ),
    ],
)
def test_what_a_file_cannot_tell(file: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told(**file)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("COUNT", "5", 5),
        ("PATIENCE", "2", 2.0),
        ("PATIENCE", "0.5", 0.5),
        ("LOUD", "1", True),
        ("LOUD", "Yes", True),
        ("LOUD", "on", True),
        ("LOUD", "false", False),
        ("LOUD", "0", False),
        ("NAME", " x", " x"),
        ("KIND", "b", "b"),
        ("PLACES", "a", ("a",)),
        ("PLACES", "b, a", ("b", "a")),
        ("CONFIG", "f", "f"),
    ],
)
def test_the_environment_tells_texts(variable: str, text: str, value: Any) -> None:
    options = told(environment={f"ACTORRPC_{variable}": text})
    found = options.values[variable.lower()]
    assert found == value and type(found) is type(value)
    assert options.origins[variable.lower()] is Origin.ENVIRONMENT


@pytest.mark.parametrize(
    ("variable", "text", "error"),
    [
        ("COUNT", "many", "ACTORRPC_COUNT must be a whole number, not 'many'"),
        ("COUNT", "1.5", "ACTORRPC_COUNT must be a whole number, not '1.5'"),
        ("COUNT", "0", "ACTORRPC_COUNT must be from 1 to 4,294,967,295: 0"),
        ("PATIENCE", "nan", "ACTORRPC_PATIENCE must be a number of seconds, not 'nan'"),
        ("PATIENCE", "-1", "ACTORRPC_PATIENCE must not be negative: -1.0"),
        ("PATIENCE", "soon", "ACTORRPC_PATIENCE must be a number of seconds, not 'soon'"),
        ("LOUD", "loud", "ACTORRPC_LOUD must be true or false, not 'loud'"),
        ("KIND", "d", "ACTORRPC_KIND must be a, b or c, not 'd'"),
        ("CUONT", "1", "ACTORRPC_CUONT is not known: did you mean ACTORRPC_COUNT?"),
        ("PATIENSE", "1", "ACTORRPC_PATIENSE is not known: did you mean ACTORRPC_PATIENCE?"),
    ],
)
def test_what_the_environment_cannot_tell(variable: str, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told(environment={f"ACTORRPC_{variable}": text})
    assert str(caught.value) == error


#: A service `actorrpc` of Kubernetes, and one that is named like a setting.
KUBERNETES = {
    "ACTORRPC_SERVICE_HOST": "10.0.0.1",
    "ACTORRPC_SERVICE_PORT": "50051",
    "ACTORRPC_SERVICE_PORT_GRPC": "50051",
    "ACTORRPC_PORT": "tcp://10.0.0.1:50051",
    "ACTORRPC_PORT_50051_TCP": "tcp://10.0.0.1:50051",
    "ACTORRPC_PORT_50051_TCP_ADDR": "10.0.0.1",
    "ACTORRPC_COUNT_PORT": "tcp://10.0.0.1:50051",
}


@pytest.mark.parametrize(
    "environment",
    [
        KUBERNETES,
        {"ACTORRPC_TOKEN": "x", "ACTORRPC_": "x"},
        {"ACTORRPC_COUNT": ""},
        {"COUNT": "5", "PATH": ""},
    ],
    ids=["Kubernetes", "others", "empty", "no prefix"],
)
def test_what_in_the_environment_is_nobodys_business_here(environment: dict[str, str]) -> None:
    assert told(environment=environment) == told()


def test_what_has_changed_and_what_of_it_cannot() -> None:
    before = told({"count": 1}, {"ACTORRPC_LOUD": "1"}, name="x", patience=2)
    assert before.changed(before) == ()
    later = told({"count": 1}, {"ACTORRPC_LOUD": "1"}, name="y", patience=3, place="p", count=5)
    assert before.changed(later) == ("patience", "name", "place")
    assert before.fixed_changes(later) == ("name", "place")
    assert later.told_by("name") == "some.toml: name"


def test_a_value_that_is_told_elsewhere_has_not_changed() -> None:
    assert told({"name": "x"}).changed(told(name="x")) == ()


# ---- the file itself


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text('# a comment\ncount = 4_000\npatience = 2\nname = "Grüße"\nloud = true\n')
    values = resolve(SETTINGS, {}, {}, read_file(str(path))).values
    assert (values["count"], values["patience"], values["name"], values["loud"]) == (4000, 2.0, "Grüße", True)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"count = many", "this is not TOML: Invalid value (at line 1, column 9)"),
        (b"count = 1\ncount = 2", "this is not TOML: Cannot overwrite a value"),
        (b"name = '\xff'", "this is not TOML: 'utf-8' codec can't decode"),
        (None, "No such file or directory"),
        (Path, "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: Any, error: str) -> None:
    path = tmp_path / "some.toml"
    if content is Path:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_file(str(path))
    assert str(path) in str(caught.value)
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)
