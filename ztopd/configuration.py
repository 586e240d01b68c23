"""What a person may set: the file /etc/ztop/ztopd.toml and the options over it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ztopd.collectors.source import Roots

DEFAULT_FILE = "/etc/ztop/ztopd.toml"
MIN_INTERVAL_SECONDS = 0.1
MAX_INTERVAL_SECONDS = 60.0
DEFAULT_INTERVAL_SECONDS = 1.0

_T = TypeVar("_T")


class ConfigurationError(ValueError):
    """What a person wrote is wrong; the sentence names where."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The daemon's settings."""

    socket: str | None = None
    """Where to listen; None: the default place."""
    interval_seconds: float = DEFAULT_INTERVAL_SECONDS
    group: str | None = None
    """Members of this group see every process's I/O, executable and counters, as root does."""
    roots: Roots = field(default_factory=Roots)
    """Set by the options --proc and --sys; the file has no such keys."""


def check_interval(seconds: float) -> float:
    """Returns the interval. Raises :exc:`ConfigurationError` for one that is out of range."""
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise ConfigurationError(
            f"the interval must be from {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g} seconds, not {seconds:g}"
        )
    return seconds


def read_configuration(path: str) -> Configuration:
    """The settings of a TOML file. Raises :exc:`ConfigurationError` and :exc:`OSError`."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return parse_configuration(data.decode())
    except (ConfigurationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def parse_configuration(text: str) -> Configuration:
    """The settings in TOML. Raises :exc:`ConfigurationError`, or tomllib's own error."""
    table = tomllib.loads(text)
    known = ("socket", "interval_seconds", "group")
    for key in table:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!a}; the keys are {', '.join(known)}")
    interval = _value(table, "interval_seconds", (int, float), "a number")
    try:
        seconds = DEFAULT_INTERVAL_SECONDS if interval is None else check_interval(float(interval))
    except ConfigurationError as error:
        raise ConfigurationError(f"interval_seconds: {error}") from None
    return Configuration(_text(table, "socket"), seconds, _text(table, "group"))


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
