"""The options of ``actorrpc serve``, and that they can be read again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.serve_options import (
    Serving,
    Sources,
    config_of,
    config_read_again,
    serve_settings,
    serving_of,
)


def test_each_option_says_what_it_is_for() -> None:
    assert [each.name for each in serve_settings()] == [
        each.name for kind in (Serving, Config) for each in fields(kind)
    ]
    for each in serve_settings():
        assert each.help.endswith(".")
        assert (each.default in (None, ())) == bool(each.unset)
        if each.default is not None:
            each.check(each.default)


def test_what_cannot_change_in_life() -> None:
    assert [each.name for each in serve_settings() if each.fixed] == [
        "bind",
        "tls_bind",
        "unix_mode",
        "accept",
        "runtime_dir",
    ]


def test_without_anything_they_are_the_defaults() -> None:
    options = Sources({}, {}).read()
    assert config_of(options) == Config()
    assert serving_of(options) == Serving()


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("max_mailbox = 1\nhubs = 2\n")
    sources = Sources({"drain_timeout": 3.0}, {"ACTORRPC_CONFIG": str(file), "ACTORRPC_HUBS": "4"})
    before = sources.read()
    assert config_of(before) == Config(max_mailbox=1, drain_timeout=3.0)
    file.write_text('max_mailbox = 2\nhubs = 3\ndrain_timeout = 9\nbind = "[::1]:1"\n')
    later = sources.read()
    assert config_of(later) == Config(max_mailbox=2, drain_timeout=3.0)
    assert before.changed(later) == ("bind", "max_mailbox")
    assert before.fixed_changes(later) == ("bind",)
    assert later.told_by("bind") == f"{file}: bind"
    file.write_text("max_mailbox = [")
    with pytest.raises(ConfigError, match="this is not TOML"):
        sources.read()


def test_the_command_line_names_the_file_before_the_environment_does(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("hubs = 1")
    options = Sources({"config": str(one)}, {"ACTORRPC_CONFIG": str(other)}).read()
    assert serving_of(options) == Serving(hubs=1, config=str(one))


def test_no_option_is_like_another_that_somebody_misspells() -> None:
    """The environment takes a name that is almost an option's for that, and refuses it."""
    for each in serve_settings():
        word = {"unix_mode": "660"}.get(each.name) or each.default or (each.choices or ("x",))[0]
        texts = {"bind": "[::1]:1,unix:/a", "tls_bind": "[::1]:1"}.get(each.name, "10.0.0.0/8,unix")
        text = {bool: "1", int: str(each.default or 1), float: "1", str: str(word), tuple: texts}[each.kind]
        if each.name != "config":
            Sources({}, {f"ACTORRPC_{each.name.upper()}": text}).read()


def test_a_reload_changes_what_hubs_do_and_nothing_around_them(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("max_mailbox = 1\n")
    sources = Sources({"config": str(file)}, {})
    before = sources.read()
    file.write_text("max_mailbox = 2\n")
    assert config_read_again(before, sources.read()).max_mailbox == 2
    for line in (
        'tls_bind = "[::1]:1"',
        'bind = "[::1]:1"',
        'policy = "none"',
        "hubs = 7",
        'record = "x"',
        'accept = "acceptor"',
    ):
        file.write_text(f"max_mailbox = 2\n{line}\n")
        with pytest.raises(ConfigError) as caught:
            config_read_again(before, sources.read())
        assert str(caught.value) == f"{file}: {line.partition(' ')[0]} cannot be changed by a reload"
