"""Values as people read them. Every format takes a cell and draws an absent one as :data:`ABSENT`."""

from collections.abc import Callable
from functools import wraps

from ztop_protocol.frame import Cell

ABSENT = "-"
"""What the machine withholds, or what is not known yet."""

_BINARY_UNITS = "BKMGTPE"
_DECIMAL_UNITS = ("", "k", "M", "G", "T", "P", "E")


def _or_absent(draw: Callable[[float], str]) -> Callable[[Cell], str]:
    """The one place where absence is drawn: None, and what is no finite number (another version's cell)."""

    @wraps(draw)
    def draw_or_absent(value: Cell) -> str:
        if isinstance(value, (int, float)) and value - value == 0:
            return draw(value)
        return ABSENT

    return draw_or_absent


def label_text(value: Cell) -> str:
    """Text and plain numbers as they are, yes and no for flags. Not yet fit for a terminal: see ``text``."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@_or_absent
def bytes_text(value: float) -> str:
    """Bytes in powers of 1024: ``0B``, ``1023B``, ``1.2K``, ``45.6M``, ``789G``; five columns at most."""
    return _scaled(value, 1024, _BINARY_UNITS)


@_or_absent
def rate_text(value: float) -> str:
    """Bytes per second, as :func:`bytes_text`: ``1.2M/s``; seven columns at most."""
    return _scaled(value, 1024, _BINARY_UNITS) + "/s"


@_or_absent
def count_text(value: float) -> str:
    """A number of things, or of things per second: ``99999``, then ``100k``, ``1.2M``; five columns at most."""
    if abs(value) < 99_999.5:
        return str(round(value))
    return _scaled(value, 1000, _DECIMAL_UNITS)


@_or_absent
def percent_text(value: float) -> str:
    """Percent without its sign: ``0.0``, ``99.9``, ``100.0``; whole from 1000 on. Five columns at most."""
    return f"{value:.1f}" if abs(value) < 999.95 else f"{value:.0f}"


@_or_absent
def ratio_text(value: float) -> str:
    """A ratio, or a percentage of little: ``0.31``, ``12.5``, ``345``; four columns at most, five from 10000 on."""
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:.0f}"


@_or_absent
def load_text(value: float) -> str:
    """A load average: two decimals."""
    return f"{value:.2f}"


@_or_absent
def time_text(value: float) -> str:
    """CPU time given in ns, as in the column TIME+: ``0:07.25``, ``1h02:03``, ``3d04h05``; seven columns at most,
    eight from 100 days on."""
    hundredths = int(value) // 10_000_000
    minutes, hundredths = divmod(hundredths, 6000)
    if minutes < 60:
        return f"{minutes}:{hundredths // 100:02d}.{hundredths % 100:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}:{hundredths // 100:02d}"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h{minutes:02d}"


@_or_absent
def uptime_text(value: float) -> str:
    """A span given in ns, to the minute: ``0:07``, ``23:59``, ``3d 04:05``."""
    hours, minutes = divmod(int(value) // 60_000_000_000, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02d}:{minutes:02d}" if days else f"{hours}:{minutes:02d}"


@_or_absent
def span_text(value: float) -> str:
    """A span given in ns, as people type one: ``0s``, ``27s``, ``2m30s``, ``1h04m``, ``3d04h``."""
    minutes, seconds = divmod(int(value) // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


@_or_absent
def seconds_text(value: float) -> str:
    """The same of a span given in seconds."""
    return span_text(value * 1e9)


@_or_absent
def celsius_text(value: float) -> str:
    """A temperature in whole degrees, without its sign."""
    return f"{value:.0f}"


@_or_absent
def hertz_text(value: float) -> str:
    """A frequency: ``800MHz``, ``3.40GHz``."""
    return f"{value / 1e9:.2f}GHz" if value >= 999.5e6 else f"{value / 1e6:.0f}MHz"


@_or_absent
def gigahertz_text(value: float) -> str:
    """A frequency given in hertz, in GHz without the unit: ``3.40``."""
    return f"{value / 1e9:.2f}"


def _scaled(value: float, base: int, units: str | tuple[str, ...]) -> str:
    step = 0
    # what would be rounded up to the base belongs to the next unit
    while abs(value) >= base - 0.5 and step < len(units) - 1:
        value /= base
        step += 1
    if step == 0 or abs(value) >= 99.95:
        return f"{value:.0f}{units[step]}"
    return f"{value:.1f}{units[step]}"
