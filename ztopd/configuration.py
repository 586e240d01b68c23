"""What a person may set: the file /etc/ztop/ztopd.toml and the options over it.

What stands below a key here is what ztopd.toml(5) says of it.
"""

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ztopd.collectors.perf.events import Counting
from ztopd.collectors.source import Roots
from ztopd.history.command_lines import CommandLines

DEFAULT_FILE = "/etc/ztop/ztopd.toml"
MIN_INTERVAL_SECONDS = 0.1
MAX_INTERVAL_SECONDS = 60.0
DEFAULT_INTERVAL_SECONDS = 1.0
DEFAULT_CPU_PERCENT = 20.0

STORE_OFF = "off"
MEBIBYTE = 1 << 20

RANGES: Mapping[str, tuple[float, float]] = {
    "cpu_percent": (0.1, 100),
    "interval_seconds": (MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS),
    "age_days": (0.01, 3660),
    "size_mebibytes": (16, MEBIBYTE),
    # fewer, and what the store has not completed yet would be in neither
    "ring_frames": (600, 86_400),
    "ring_mebibytes": (32, 4096),
    "interval_ms": (50, 1000),
    "warn_seconds": (1, 3600),
}
"""What may stand at a key with a number: from, to."""
_LARGE = 10**300
"""An integer in a file may be larger than any float."""

_T = TypeVar("_T")
_N = TypeVar("_N", int, float)


class ConfigurationError(ValueError):
    """What a person wrote is wrong; the sentence names where."""


@dataclass(frozen=True, slots=True)
class HistoryConfiguration:
    """What is remembered: the table ``history``."""

    store: str | None = None
    """The directory to keep it in, as an absolute path, or ``off``; without it the usual place."""
    age_days: float = 7.0
    """How long the store keeps what it has."""
    size_mebibytes: int = 512
    """How large the store becomes at most; the oldest goes first."""
    ring_frames: int = 1800
    """How many frames memory keeps."""
    ring_mebibytes: int = 64
    """How much memory they take at most."""
    command_lines: CommandLines = CommandLines.FULL
    """What is remembered of command lines, in which secrets may stand: ``full``, all; ``name``, the program without its
    arguments; ``off``, nothing. Live frames have them whole."""


@dataclass(frozen=True, slots=True)
class GpuConfiguration:
    """How GPUs are watched: the table ``gpu``."""

    interval_ms: int = 200
    """Between two looks at a GPU's memory."""
    warn_seconds: float = 60.0
    """A warning begins so long before a GPU's memory is full."""
    warn_command: tuple[str, ...] = ()
    """What a warning starts: an absolute path and arguments. Only a file that root alone can write may name one."""


USUAL_GPU = GpuConfiguration()


@dataclass(frozen=True, slots=True)
class Configuration:
    """The daemon's settings."""

    socket: str | None = None
    """Where to listen; without it the usual place."""
    interval_seconds: float = DEFAULT_INTERVAL_SECONDS
    """Between two frames."""
    group: str | None = None
    """Members of this group see every process's I/O, executable and counters, as root does."""
    history: HistoryConfiguration = HistoryConfiguration()
    counters: Counting = Counting.HARDWARE
    """Counters of processes: ``hardware``, those of the CPU; ``software``, events of the kernel in their place, for
    tests; ``off``, none."""
    gpu: GpuConfiguration = USUAL_GPU
    cpu_percent: float = DEFAULT_CPU_PERCENT
    """The share of one core, in percent, that sampling may take. Over it ztopd samples less often, once a minute at the
    least, and says so."""
    roots: Roots = field(default_factory=Roots)
    """Set by the options --proc and --sys; the file has no such keys."""


def check_interval(seconds: float) -> float:
    """Returns the interval. Raises :exc:`ConfigurationError` for one that is out of range."""
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise ConfigurationError(
            f"the interval must be from {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g} seconds,"
            f" not {_shown(seconds)}"
        )
    return seconds


def read_configuration(path: str) -> Configuration:
    """The settings of a TOML file. Raises :exc:`ConfigurationError` and :exc:`OSError`."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        data = file.read()
    is_roots = status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    try:
        return parse_configuration(data.decode(), is_roots)
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply") from None
    except ValueError as error:
        # tomllib's own, and what it lets through of Python's, such as that an integer has too many digits
        raise ConfigurationError(f"{path}: {error}") from None


def parse_configuration(text: str, is_roots: bool = False) -> Configuration:
    """The settings in TOML. Raises :exc:`ConfigurationError`, or another :exc:`ValueError` or :exc:`RecursionError`.

    ``is_roots``: whether only root can have written it. Otherwise it may name no command.
    """
    table = tomllib.loads(text)
    _check_keys(table, ("socket", "interval_seconds", "group", "history", "counters", "gpu", "cpu_percent"))
    interval = _value(table, "interval_seconds", (int, float), "a number")
    try:
        seconds = DEFAULT_INTERVAL_SECONDS if interval is None else float(check_interval(interval))
    except ConfigurationError as error:
        raise ConfigurationError(f"interval_seconds: {error}") from None
    of_history = _value(table, "history", (dict,), "a table") or {}
    try:
        history = _history(of_history)
    except ConfigurationError as error:
        raise ConfigurationError(f"history: {error}") from None
    counters = _text(table, "counters") or Counting.HARDWARE
    if counters not in list(Counting):
        raise ConfigurationError(f"counters: {', '.join(Counting)} may stand there, not {counters!a}")
    try:
        gpu = _gpu(_value(table, "gpu", (dict,), "a table") or {}, is_roots)
    except ConfigurationError as error:
        raise ConfigurationError(f"gpu: {error}") from None
    cpu_percent = _number(table, "cpu_percent", DEFAULT_CPU_PERCENT, (int, float))
    return Configuration(
        *(_text(table, "socket"), seconds, _text(table, "group"), history, Counting(counters), gpu, cpu_percent)
    )


def _check_keys(table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!a}; the keys are {', '.join(known)}")


def _history(table: Mapping[str, Any]) -> HistoryConfiguration:
    _check_keys(table, [one.name for one in fields(HistoryConfiguration)])
    usual = HistoryConfiguration()
    store, lines = _text(table, "store"), _text(table, "command_lines") or str(usual.command_lines)
    if store is not None and store != STORE_OFF and not os.path.isabs(store):
        raise ConfigurationError(f"store: an absolute path or {STORE_OFF!r} was expected, not {store!a}")
    if lines not in list(CommandLines):
        raise ConfigurationError(f"command_lines: {', '.join(CommandLines)} may stand there, not {lines!a}")
    return HistoryConfiguration(
        store,
        _number(table, "age_days", usual.age_days, (int, float)),
        _number(table, "size_mebibytes", usual.size_mebibytes, (int,)),
        _number(table, "ring_frames", usual.ring_frames, (int,)),
        _number(table, "ring_mebibytes", usual.ring_mebibytes, (int,)),
        CommandLines(lines),
    )


def _gpu(table: Mapping[str, Any], is_roots: bool) -> GpuConfiguration:
    _check_keys(table, [one.name for one in fields(GpuConfiguration)])
    usual = USUAL_GPU
    command: list[object] = _value(table, "warn_command", (list,), "a list of texts") or []
    words = [word for word in command if isinstance(word, str) and "\0" not in word]
    if words != command or (words and not os.path.isabs(words[0])):
        raise ConfigurationError("warn_command: a list of an absolute path and arguments was expected")
    if words and not is_roots:
        raise ConfigurationError("warn_command: only a file of root's that nobody else can write may name a command")
    return GpuConfiguration(
        _number(table, "interval_ms", usual.interval_ms, (int,)),
        _number(table, "warn_seconds", usual.warn_seconds, (int, float)),
        tuple(words),
    )


def _number(table: Mapping[str, Any], key: str, usual: _N, types: tuple[type[_N], ...]) -> _N:
    value = _value(table, key, types, "a number" if float in types else "a whole number")
    if value is None:
        return usual
    least, most = RANGES[key]
    if not least <= value <= most:
        raise ConfigurationError(f"{key}: {least:g} to {most} may stand there, not {_shown(value)}")
    return value


def _shown(number: float) -> str:
    return "so large a number" if isinstance(number, int) and abs(number) > _LARGE else f"{number:g}"


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = _value(table, key, (str,), "text")
    if value is not None and (not value or "\0" in value):
        raise ConfigurationError(f"{key}: text that is not empty and holds no NUL was expected")
    return value


def _value(table: Mapping[str, Any], key: str, types: tuple[type[_T], ...], what: str) -> _T | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, types):
        raise ConfigurationError(f"{key}: {what} was expected, not {ascii(value)[:60]}")
    return value
