"""What people write: queries, moments, the daemon's configuration, the client's settings."""

import tomllib
from functools import lru_cache
from pathlib import Path

from tests.fuzz.machine import filled_frame
from tests.fuzz.mutation import text_mutated
from tests.fuzz.recording import scratch
from tests.fuzz.target import Target, sentence
from ztop_client import settings
from ztop_client.asking import condition, meant, sections_of
from ztop_client.columns.column import ProcessTable, process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII
from ztop_client.moments import moment_text, parse_moment, parse_span
from ztop_client.view import View
from ztop_protocol.processes import contains, joined
from ztop_protocol.query import MAX_LENGTH, QueryError, compiled, is_expression, parse, parse_question
from ztop_protocol.query_fields import ALIASES, FIELDS, values_in
from ztopd.configuration import ConfigurationError, parse_configuration, read_configuration

NOW_NS = 1_700_000_000 * 10**9


@lru_cache(1)
def _table() -> ProcessTable:
    return process_table(filled_frame(1), filled_frame(2))


def _pointed_at(text: str, error: QueryError) -> None:
    assert sentence(error).isprintable() and 0 <= error.position <= max(len(text), MAX_LENGTH), "no place in the text"
    error.pointed_at(text)


def run_query(data: bytes) -> None:
    """An expression is refused in one sentence that points at a place in it, or it holds or not for each process."""
    text = data.decode("utf-8", "surrogateescape")
    for parsed in (parse, parse_question, meant):
        try:
            parsed(text)
        except QueryError as error:
            _pointed_at(text, error)
    is_expression(text)
    try:
        expression = parse(text)
    except QueryError:
        return
    before, frame = filled_frame(1), filled_frame(2)
    test = compiled(expression, values_in(frame), contains)
    assert {test(row) for row in joined(before, frame).values()} <= {True, False}
    sections_of(expression)
    of_key = condition(expression, _table())
    assert {of_key(key) for key in _table().processes} <= {True, False}


def _query_seeds() -> tuple[bytes, ...]:
    return (
        *(b'cpu > 80 and user == "postgres"', b"age < 5m", b'"firefox"', b"not (rss >= 1.5G or swap > 0) for 10s"),
        *(b"comm ~ '^task\\d+$' and pid != 11", b"user !~ root", b"exe == none", b"kernel_thread == no", b"firefox"),
        *(b"read > 1M/s or write > 10k", b"ipc < 0.5 and mpki > 3", b"oom_eta < 1h30m", b"(((cpu > 1)))"),
        *(b"state = R and nice < -5", b"vram > 8GiB and gpu > 50%", b'command ~ "a\\"b" or not not cpu < 1 for 250ms'),
    )


def _names() -> tuple[bytes, ...]:
    return tuple(name.encode() for name in (*ALIASES, *FIELDS))


QUERY = Target(
    "query", "the query language: parsed and asked of processes", _query_seeds, run_query,
    text_mutated(
        (*_names(), b" and ", b" or ", b"not ", b"(", b")", b'"', b"'", b"\\", b"==", b"!~", b" ~ ", b"<", b"none",
         b"10s", b"5G", b"50%", b"yes", b" for ", b"[a-z]", b"(?i)", b"{9999999}", b"\xff", "Ⅷ".encode(), b"\x1b"),
        _query_seeds,
    ),
)  # fmt: skip


def run_moment(data: bytes) -> None:
    """A moment or a length of time, or a ValueError of one sentence."""
    text = data.decode("utf-8", "surrogateescape")
    for parsed in (lambda text: parse_moment(text, NOW_NS), parse_span):
        try:
            found = parsed(text)
        except ValueError as error:
            if "written like" not in sentence(error):
                raise
        else:
            assert isinstance(found, int) and found >= 0
            if parsed is not parse_span:
                assert found < 1 << 63
                assert moment_text(found)


def _moment_seeds() -> tuple[bytes, ...]:
    return (
        *(b"now", b"-2m30s", b"03:12", b"03:12:05", b"today 09:00", b"yesterday 14:00", b"2026-11-24", b"30", b"1d12h"),
        *(b"2026-11-24T03:12:05+01:00", b"@1790000000.5", b"2026-11-24 03:12", b"0001-01-01", b"9999-12-31 23:59:59Z"),
    )


MOMENT = Target(
    "moment", "times as people write them", _moment_seeds, run_moment,
    text_mutated((b"now", b"today", b"yesterday", b"T", b"Z", b"+01:00", b"-23:59", b":", b"-", b"@", b".", b"d", b"h",
                  b"m", b"s", b" ", "٣".encode(), b"\xff", b"\0"), _moment_seeds),
)  # fmt: skip


def run_configuration(data: bytes) -> None:
    """The file is refused in one sentence, or it is settings."""
    path = scratch() / "ztopd.toml"
    path.write_bytes(data)
    try:
        found = read_configuration(str(path))
    except ConfigurationError as error:
        if not sentence(error).startswith(str(path)):
            raise
        return
    try:
        assert parse_configuration(data.decode()) == found
    except ConfigurationError:
        # a file that others can write may name no command
        assert found.gpu.warn_command
    except tomllib.TOMLDecodeError as error:
        raise AssertionError("it was read") from error


def _configuration_seeds() -> tuple[bytes, ...]:
    return (
        b'socket = "/run/x.sock"\ninterval_seconds = 0.5\ngroup = "adm"\ncounters = "off"\n',
        b'[history]\nstore = "/var/lib/ztop"\nage_days = 7\nsize_mebibytes = 512\nring_frames = 1800\n'
        b'ring_mebibytes = 64\ncommand_lines = "name"\n',
        b'[gpu]\ninterval_ms = 200\nwarn_seconds = 60.5\nwarn_command = ["/usr/bin/logger", "-t", "gpu"]\n',
        b'history = {store = "off"}\ninterval_seconds = 1_0\n',
        b"interval_seconds = 1979-05-27T07:32:00Z\n",
    )


CONFIGURATION = Target(
    "configuration", "the daemon's configuration file", _configuration_seeds, run_configuration,
    text_mutated(
        (b"socket", b"interval_seconds", b"group", b"history", b"counters", b"gpu", b"store", b"age_days",
         b"ring_frames", b"warn_command", b"command_lines", b"interval_ms", b" = ", b"[", b"]", b"{", b"}", b"[[",
         b'"', b"'''", b'"""', b"\\u0000", b"true", b"nan", b"-inf", b"1e400", b"0x7f", b"1979-05-27", b"07:32:00",
         b"\xff", b"#", b".", b"9" * 400, b"0x" + b"f" * 5000, b"[" * 3000, b"{a=" * 3000, b"a." * 3000, b"\n"),
        _configuration_seeds,
    ),
)  # fmt: skip


def run_settings(data: bytes) -> None:
    """The file is broken in one sentence, or the screen begins as it says; it is written as it was read."""
    path: Path = scratch() / "settings.json"
    path.write_bytes(data)
    try:
        found = settings.load(path)
    except settings.Broken as error:
        sentence(error)
        return
    view = View(tabs("alice"), ASCII)
    found.apply(view)
    view.show(_table())
    settings.save(settings.remembered(found, settings.settings_of(view), settings.settings_of(view)), path)
    assert settings.load(path).orders.keys() >= found.orders.keys()


def _settings_seeds() -> tuple[bytes, ...]:
    return (
        b'{"tab": "I/O", "orders": {"Main": ["pid", false], "I/O": ["user", true]}, "tree": true, "threads": false,'
        b' "kernel_threads": true, "full_path": false, "interval_seconds": 2.5, "later": {"a": [1, 2]}}',
        b"{}",
        b'{"interval_seconds": 1, "orders": {}}',
    )


SETTINGS = Target(
    "settings", "the client's settings file", _settings_seeds, run_settings,
    text_mutated(
        (b'"tab"', b'"orders"', b'"tree"', b'"interval_seconds"', b"null", b"true", b"NaN", b"-Infinity", b"[", b"]",
         b"{", b"}", b'"', b"\\ud800", b":", b",", b"1e999", b"[" * 3000, b'{"a":' * 3000, b"\xff", b"\xef\xbb\xbf"),
        _settings_seeds,
    ),
)  # fmt: skip
