"""What something does on all the GPUs that it is on, in one row: those of ``gpu_processes`` taken together."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.gpu_schema import GPU_PROCESSES, GPUS
from ztop_protocol.rates import percent
from ztop_protocol.section_schema import Column, Kind, Unit, columns

ON_GPUS: tuple[Column, ...] = (
    *columns("`gpus`: the index of its GPU, `0`; of a MIG instance `0.1`; of several `0,1`", Kind.LABEL, Unit.NONE,
             "gpu_index", type=str),
    *columns("`gpu_processes`: the sum over its GPUs", Kind.GAUGE, Unit.BYTES, "vram_bytes"),
    *columns("`vram_bytes` of all the memory of its GPUs", Kind.GAUGE, Unit.PERCENT, "vram_percent"),
    *columns("`gpu_processes`: the sum over its GPUs", Kind.GAUGE, Unit.BYTES_PER_SECOND,
             "vram_velocity_bytes_per_second"),
    *columns("`gpu_processes`: of the GPU that is full first", Kind.GAUGE, Unit.SECONDS, "oom_eta_seconds"),
    *columns("`gpu_processes`: on the GPU of whose growth it has the most", Kind.GAUGE, Unit.PERCENT,
             "oom_share_percent"),
    *columns("`gpu_processes`: the sum over its GPUs", Kind.GAUGE, Unit.PERCENT, "sm_utilization_percent",
             "memory_utilization_percent", "encoder_utilization_percent", "decoder_utilization_percent"),
)  # fmt: skip
"""The columns."""
NAMES: tuple[str, ...] = tuple(column.name for column in ON_GPUS)
POSITION: dict[str, int] = {name: place for place, name in enumerate(NAMES)}
NOWHERE: Row = (None,) * len(NAMES)
"""Of what is on no GPU."""
SECTIONS = frozenset({"gpus", "gpu_processes"})
"""What it is made of."""

KeyOf: TypeAlias = Callable[[Row], Key]

_UUID, _PID, _START = (GPU_PROCESSES.position[name] for name in ("gpu_uuid", "pid", "start_boottime_ns"))
_VRAM, _VELOCITY, _ETA, _SHARE, *_BUSY = (
    GPU_PROCESSES.position[name] for name in NAMES if name not in ("gpu_index", "vram_percent")
)
_PARENT, _INDEX, _TOTAL = (GPUS.position[name] for name in ("parent_uuid", "index", "memory_total_bytes"))
_INSTANCES = 256
"""More MIG instances than any GPU has."""


def process_of(row: Row) -> Key:
    """The key of the process that a row of ``gpu_processes`` is of; its start is None where none is known."""
    return row[_PID], row[_START]


def on_gpus(frame: Frame, key_of: KeyOf = process_of) -> dict[Key, Row]:
    """For each key that ``key_of`` gives rows of ``gpu_processes``, what they say together."""
    together: dict[Key, list[Row]] = {}
    for row in frame.rows("gpu_processes").values():
        together.setdefault(key_of(row), []).append(row)
    if not together:
        return {}
    places, gpus = gpu_places(frame), frame.rows("gpus")
    made: dict[Key, Row] = {}
    usual: dict[Cell, tuple[str, Cell]] = {key[0]: (place_text(places[key]), row[_TOTAL]) for key, row in gpus.items()}
    for key, rows in together.items():
        if len(rows) == 1 and (known := usual.get(rows[0][_UUID])) is not None:
            row = rows[0]
            made[key] = (
                *(known[0], row[_VRAM], percent(row[_VRAM], known[1]), row[_VELOCITY], row[_ETA], row[_SHARE]),
                *[row[place] for place in _BUSY],
            )
            continue
        keys = [(row[_UUID],) for row in rows]
        vram = _sum(rows, _VRAM)
        totals = [gpus[one][_TOTAL] if one in gpus else None for one in keys]
        made[key] = (
            ",".join(map(place_text, sorted(places.get(one, -1) for one in keys))),
            vram,
            percent(vram, None if None in totals else sum(totals)),  # type: ignore[arg-type]
            _sum(rows, _VELOCITY),
            min(_known(rows, _ETA), default=None),
            max(_known(rows, _SHARE), default=None),
            *(_sum(rows, place) for place in _BUSY),
        )
    return made


def _sum(rows: Sequence[Row], place: int) -> Cell:
    """None where one of them is not known."""
    if len(rows) == 1:
        return rows[0][place]
    cells = [row[place] for row in rows]
    return None if None in cells else sum(cells)  # type: ignore[arg-type]


def _known(rows: Iterable[Row], place: int) -> list[float]:
    return [cell for row in rows if isinstance(cell := row[place], (int, float))]


def gpu_places(frame: Frame) -> dict[Key, int]:
    """Where each one of the section ``gpus`` stands among them: see :func:`place_text`."""
    rows = frame.rows("gpus")
    places: dict[Key, int] = {}
    for number, (key, row) in enumerate(rows.items()):
        own = row[_INDEX] if isinstance(row[_INDEX], int) else number
        above = rows.get((row[_PARENT],)) if row[_PARENT] is not None else None
        if above is None:
            places[key] = int(own or 0) * _INSTANCES
        else:
            places[key] = int(above[_INDEX] or 0) * _INSTANCES + int(own or 0) + 1
    return places


def place_text(place: Cell) -> str:
    """What people call the GPU at a place: ``0``, ``0.1`` for an instance; ``?`` for one that is not listed."""
    if not isinstance(place, int) or place < 0:
        return "?"
    gpu, instance = divmod(place, _INSTANCES)
    return str(gpu) if not instance else f"{gpu}.{instance - 1}"
