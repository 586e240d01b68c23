"""``ztop-g`` as data."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ztop_client.glyphs import Glyphs
from ztop_client.gpu.columns import tabs
from ztop_client.gpu.device import why_none
from ztop_client.gpu.rows import NAMES
from ztop_client.gpu.table import gpu_table
from ztop_client.keys import BINDINGS, Action, Binding
from ztop_client.options import Options
from ztop_client.program import Header, NothingToShow, Printer, Program
from ztop_client.rewind.chart import Chart
from ztop_client.sources.source import Pair
from ztop_protocol.processes import Order
from ztop_protocol.schema import GPUS

_PATIENCE_FRAMES = 10
"""So many frames may pass until a daemon that has just begun knows of its GPUs,"""
_READING_FRAMES = 3
"""and so many until it has read one."""
_ABSENT = frozenset(
    {Action.TREE, Action.FOLD, Action.FOLD_ALL, Action.THREADS, Action.KERNEL_THREADS, Action.TAG_CHILDREN}
)
_SAMPLED = GPUS.position["sampled_boottime_ns"]
_OTHERWISE = {
    Action.TAB: ("the next tab: GPU, Engines", "Next"),
    Action.SORT_CPU: ("sort by CPU%", None),
    Action.SORT_MEMORY: ("sort by VRAM", None),
    Action.SORT_TIME: ("sort by the time until GPU memory is full", None),
}


def _bindings() -> tuple[Binding, ...]:
    return tuple(
        replace(binding, help=_OTHERWISE[binding.action][0], button=_OTHERWISE[binding.action][1])
        if binding.action in _OTHERWISE
        else binding
        for binding in BINDINGS
        if binding.action not in _ABSENT
    )


def _cards(glyphs: Glyphs) -> Header:
    # imported where it is needed: urwid takes its time
    from ztop_client.gpu.cards import Cards

    return Cards(glyphs)


def _printer(options: Options) -> Printer:
    # imported where it is needed: the screen does without it
    from ztop_client.gpu.printing import printer

    return printer(options)


def with_gpus(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """From the first frame on that has a GPU. Raises :exc:`NothingToShow` where none comes."""
    unread: Pair | None = None
    pairs = iter(pairs)
    for number, pair in enumerate(pairs, 1):
        rows = pair.current.rows("gpus").values()
        if any(row[_SAMPLED] is not None for row in rows) or (rows and number >= _READING_FRAMES):
            yield pair
            yield from pairs
            return
        if (why := why_none(pair.current)) is not None:
            raise NothingToShow(why)
        unread = pair if rows else None
        if number >= _PATIENCE_FRAMES:
            break
    if unread is None:
        raise NothingToShow("There is no GPU to be shown: ztopd said nothing of any.")
    yield unread


ZTOP_G = Program(
    name="ztop-g",
    shows="the GPUs of this machine, every process's GPU memory, and when it will run out",
    tabs=tabs,
    columns=NAMES,
    order=Order,
    header=_cards,
    has_meters=False,
    header_sections=frozenset({"host", "cpus", "memory", "gpus", "gpu_processes", "sources"}),
    table=gpu_table,
    bindings=_bindings(),
    sorts={
        Action.SORT_CPU: "cpu_percent",
        Action.SORT_MEMORY: "vram_bytes",
        Action.SORT_TIME: "oom_eta_seconds",
        Action.SORT_PID: "pid",
    },
    settings_file="settings-g.json",
    printer=_printer,
    worth_printing=with_gpus,
    chart=Chart.GPU,
    between=True,
)
