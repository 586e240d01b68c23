"""The configuration file: what is accepted, and how what is wrong is said."""

from pathlib import Path

import pytest

from ztopd.collectors.perf.events import Counting
from ztopd.configuration import (
    Configuration,
    ConfigurationError,
    HistoryConfiguration,
    parse_configuration,
    read_configuration,
)
from ztopd.history.command_lines import CommandLines

KEYS = "socket, interval_seconds, group, history, counters, gpu, cpu_percent"


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_configuration("") == Configuration(socket=None, interval_seconds=1.0, group=None)


def test_every_key() -> None:
    text = 'socket = "/tmp/a.sock"\ninterval_seconds = 2\ngroup = "adm"\n'
    assert parse_configuration(text) == Configuration("/tmp/a.sock", 2.0, "adm")
    text += (
        '[history]\nstore = "/var/lib/z"\nage_days = 2.5\nsize_mebibytes = 100\nring_frames = 900\n'
        'ring_mebibytes = 32\ncommand_lines = "name"\n'
    )
    history = HistoryConfiguration("/var/lib/z", 2.5, 100, 900, 32, CommandLines.NAME)
    assert parse_configuration(text) == Configuration("/tmp/a.sock", 2.0, "adm", history)
    assert parse_configuration('counters = "off"').counters is Counting.OFF
    assert parse_configuration("").counters is Counting.HARDWARE
    assert parse_configuration("cpu_percent = 2").cpu_percent == 2
    assert parse_configuration("").cpu_percent == 20
    assert parse_configuration('[history]\nstore = "off"').history == HistoryConfiguration("off")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "intervall = 1",
            "unknown key 'intervall'; the keys are " + KEYS,
        ),
        ('"\\u001b" = 1', r"unknown key '\x1b'; the keys are " + KEYS),
        ("cpu_percent = 0", "cpu_percent: 0.1 to 100 may stand there, not 0"),
        (
            "[history]\nframes = 5",
            "history: unknown key 'frames'; the keys are store, age_days, size_mebibytes, ring_frames, ring_mebibytes,"
            " command_lines",
        ),
        ("history = 5", "history: a table was expected, not 5"),
        ("[history]\nstore = 'a'", "history: store: an absolute path or 'off' was expected, not 'a'"),
        ("[history]\nage_days = 0", "history: age_days: 0.01 to 3660 may stand there, not 0"),
        ("[history]\nage_days = nan", "history: age_days: 0.01 to 3660 may stand there, not nan"),
        ("[history]\nsize_mebibytes = 1.5", "history: size_mebibytes: a whole number was expected, not 1.5"),
        ("[history]\nsize_mebibytes = 15", "history: size_mebibytes: 16 to 1048576 may stand there, not 15"),
        ("[history]\nring_frames = 60", "history: ring_frames: 600 to 86400 may stand there, not 60"),
        ("[history]\nring_mebibytes = 1", "history: ring_mebibytes: 32 to 4096 may stand there, not 1"),
        (
            "[history]\ncommand_lines = 'some'",
            "history: command_lines: full, name, off may stand there, not 'some'",
        ),
        ("interval_seconds = '1'", "interval_seconds: a number was expected, not '1'"),
        ("interval_seconds = true", "interval_seconds: a number was expected, not True"),
        ("interval_seconds = 0.05", "interval_seconds: the interval must be from 0.1 to 60 seconds, not 0.05"),
        ("interval_seconds = 61", "interval_seconds: the interval must be from 0.1 to 60 seconds, not 61"),
        ("interval_seconds = nan", "interval_seconds: the interval must be from 0.1 to 60 seconds, not nan"),
        ("interval_seconds = inf", "interval_seconds: the interval must be from 0.1 to 60 seconds, not inf"),
        (
            f"interval_seconds = {'9' * 400}",
            "interval_seconds: the interval must be from 0.1 to 60 seconds, not so large a number",
        ),
        (
            f"[history]\nage_days = 0x{'f' * 5000}",
            "history: age_days: 0.01 to 3660 may stand there, not so large a number",
        ),
        ("socket = 5", "socket: text was expected, not 5"),
        ("socket = ''", "socket: text that is not empty and holds no NUL was expected"),
        ('socket = "a\\u0000b"', "socket: text that is not empty and holds no NUL was expected"),
        ("counters = 'all'", "counters: hardware, software, off may stand there, not 'all'"),
        ("counters = true", "counters: text was expected, not True"),
        ("group = ['adm']", "group: text was expected, not ['adm']"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text)
    assert str(caught.value) == sentence


def test_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "z.toml"
    for content in (b"socket = 5", b"socket = ", b"\xff", b"group = " + b"[" * 3000, b"group = " + b"9" * 5000):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            read_configuration(str(file))
        assert str(caught.value).startswith(f"{file}: ")
        assert "\n" not in str(caught.value)
    file.write_text("interval_seconds = 0.5")
    assert read_configuration(str(file)).interval_seconds == 0.5
