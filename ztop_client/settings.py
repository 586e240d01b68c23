"""What the screen remembers from one run to the next, in ``$XDG_CONFIG_HOME/ztop/settings.json``.

The file is replaced as a whole. One that cannot be understood is set aside under another name, never overwritten;
keys that this version does not know are kept.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ztop_client.options import Options
from ztop_client.view import View

_MOST_BYTES = 1 << 20
_SWITCHES = ("tree", "kernel_threads", "threads", "full_path")


class Broken(Exception):
    """The file does not hold settings; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The state of a screen that lasts."""

    tab: str | None = None
    orders: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    """A tab's name -> its sort column's name, and whether the largest come first."""
    tree: bool = False
    kernel_threads: bool = False
    threads: bool = False
    full_path: bool = False
    interval_seconds: float | None = None
    """Between two frames, as chosen with + and -."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """What another version wrote."""

    def apply(self, view: View) -> None:
        """Makes the view so. Tabs and columns that this version does not have are passed over."""
        for place, tab in enumerate(view.tabs):
            column, descending = self.orders.get(tab.name, ("", False))
            if any(known.name == column for known in tab.columns):
                tab.order_by(column)
                tab.descending = descending
            if tab.name == self.tab:
                view.place = place
        for name in _SWITCHES:
            setattr(view, name, getattr(self, name))
        view.interval_seconds = self.interval_seconds


def settings_of(view: View) -> Settings:
    """What is to be remembered of ``view``."""
    switches = {name: getattr(view, name) for name in _SWITCHES}
    orders = {tab.name: (tab.sort.name, tab.descending) for tab in view.tabs}
    return Settings(view.tab.name, orders, interval_seconds=view.interval_seconds, **switches)


def asked_for(options: Options, view: View) -> None:
    """Makes the view as the command line wants it."""
    view.filter_text, view.uid, view.pids = options.filter_text or "", options.uid, options.pids
    if options.interval_seconds is not None:
        view.interval_seconds = options.interval_seconds
    if options.order is not None:
        view.order_by(options.order.column)


def remembered(before: Settings, started: Settings, ended: Settings) -> Settings:
    """What to keep: where the person changed nothing since the start, what the file says, not the command line."""
    changed = {name: order for name, order in ended.orders.items() if started.orders.get(name) != order}
    same = {
        name: getattr(before, name)
        for name in ("tab", "interval_seconds", *_SWITCHES)
        if getattr(started, name) == getattr(ended, name)
    }
    return replace(ended, orders={**before.orders, **changed}, others=before.others, **same)


def settings_path(environ: Mapping[str, str], name: str = "settings.json") -> Path | None:
    """Where a program's settings lie, in the file of that name; None for somebody without a home."""
    configured = environ.get("XDG_CONFIG_HOME", "")
    # the specification wants relative paths ignored
    if os.path.isabs(configured):
        return Path(configured, "ztop", name)
    home = os.path.expanduser("~")
    return Path(home, ".config", "ztop", name) if os.path.isabs(home) else None


def load(path: Path) -> Settings:
    """The settings; those of a first run where there is no file. Raises :exc:`Broken`, :exc:`OSError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    if len(data) > _MOST_BYTES:
        raise Broken("it is larger than 1 MiB")
    try:
        known = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Broken(f"it is no JSON: {error}") from None
    if not isinstance(known, dict):
        raise Broken("it holds no object")
    return _checked(known)


def _checked(known: dict[str, Any]) -> Settings:
    tab, orders = known.pop("tab", None), known.pop("orders", {})
    switches = {name: known.pop(name, False) for name in _SWITCHES}
    if not (tab is None or isinstance(tab, str)):
        raise Broken("tab: a name was expected")
    for name, switch in switches.items():
        if not isinstance(switch, bool):
            raise Broken(f"{name}: true or false was expected")
    if not isinstance(orders, dict):
        raise Broken("orders: an object was expected")
    for name, order in orders.items():
        match order:
            case [str(), bool()]:
                orders[name] = (order[0], order[1])
            case _:
                raise Broken(f"orders: {name}: a column's name and true or false were expected")
    interval = known.pop("interval_seconds", None)
    if interval is not None and (isinstance(interval, bool) or not isinstance(interval, (int, float))):
        raise Broken("interval_seconds: a number was expected")
    if interval is not None and not 0.1 <= interval <= 60:
        raise Broken("interval_seconds: from 0.1 to 60 was expected")
    return Settings(tab, orders, **switches, interval_seconds=interval, others=known)


def set_aside(path: Path) -> Path:
    """Renames a broken file; the new name, ``settings.json.broken-1`` or the next free one. Raises :exc:`OSError`."""
    for number in range(1, 1000):
        place = path.with_name(f"{path.name}.broken-{number}")
        try:
            os.link(path, place)
        except FileExistsError:
            continue
        path.unlink()
        return place
    raise FileExistsError(f"{path}.broken-1 to -999 exist")


def save(settings: Settings, path: Path) -> None:
    """Writes the file anew, at once or not at all. Raises :exc:`OSError`."""
    text = json.dumps(
        {
            **settings.others,
            "tab": settings.tab,
            "orders": settings.orders,
            **{name: getattr(settings, name) for name in _SWITCHES},
            **({} if settings.interval_seconds is None else {"interval_seconds": settings.interval_seconds}),
        },
        indent=2,
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # a link to a file elsewhere stays one
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("x") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
