"""The GPUs of a frame, in their order, and what there is to be said about each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from ztop_client.formats import count_text, seconds_text, span_text
from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.on_gpus import gpu_places, place_text
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztop_protocol.schema import GPUS, SourceState

MEBIBYTE = 1 << 20
SOON_SECONDS = 300.0
"""Memory that is full sooner than that is in a colour; an alarm is what ztopd judges to be one."""
OLD_NS = 2_000_000_000
"""Data of a GPU that is older than that has its age beside it: it is read several times a second."""
_STATES = {"hung": "HUNG", "lost": "LOST", "failed": "FAILED"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU or MIG instance of a frame."""

    row: Row
    place: int
    """Sorts them, as :func:`ztop_protocol.on_gpus.place_text` names them."""
    age_ns: int | None
    """How old its data is; None: it was never read."""
    rates: tuple[float | None, ...]

    def __getitem__(self, name: str) -> Cell:
        return self.row[GPUS.position[name]]

    def number(self, name: str) -> float | None:
        """A cell that is a number."""
        value = self[name]
        return None if value is None or isinstance(value, str) else float(value)

    def now(self, name: str) -> Cell:
        """A cell that says nothing any more where it is old, as how busy it is."""
        return self[name] if self.is_fresh else None

    def rate(self, name: str) -> float | None:
        """A rate of ``RATES["gpus"]``."""
        return self.rates[RATE_POSITION["gpus"][name]]

    @property
    def label(self) -> str:
        """``0``; of a MIG instance ``0.1``."""
        return place_text(self.place)

    @property
    def memory_share(self) -> float | None:
        """Memory in use, 0 to 1."""
        used, total = self.number("memory_used_bytes"), self.number("memory_total_bytes")
        return None if used is None or not total else used / total

    @property
    def is_fresh(self) -> bool:
        """Whether what it says is of this moment."""
        return self["state"] == "ok" and self.age_ns is not None and self.age_ns <= OLD_NS

    @property
    def trouble(self) -> str | None:
        """That it does not answer, or has not for some time: ``HUNG 12s``."""
        state = _STATES.get(str(self["state"]))
        if self.is_fresh:
            return None
        age = "" if self.age_ns is None else span_text(self.age_ns)
        return f"{state or 'OLD'} {age}".rstrip()

    @property
    def is_urgent(self) -> bool:
        """Whether ztopd's warning stands that its memory will soon be full: the one that is the event ``vram_low``."""
        return self["vram_low"] is True


def gpus(previous: Frame | None, current: Frame) -> tuple[Gpu, ...]:
    """Every GPU of ``current``, each followed by its MIG instances."""
    table = RateTable(previous, current, "gpus")
    rows, places = current.rows("gpus"), gpu_places(current)
    found = [Gpu(row, places[key], age_ns(current, row), table.get(key) or ()) for key, row in rows.items()]
    return tuple(sorted(found, key=lambda gpu: gpu.place))


def age_ns(frame: Frame, row: Row) -> int | None:
    """How old the data of a row of ``gpus`` is; None: it was never read."""
    then = row[GPUS.position["sampled_boottime_ns"]]
    if not isinstance(then, int):
        return None
    # the section may have been sampled after the frame
    return max(frame.boottime_ns - then, frame.sections["gpus"].sampled_boottime_ns - then, 0)


def why_none(frame: Frame) -> str | None:
    """Why the frame has no GPU, in a sentence; None where it has one, or nothing was said about it yet."""
    if frame.rows("gpus"):
        return None
    state, reason, fix = (frame.cell("sources", name, ("gpus",)) for name in ("state", "reason", "fix"))
    if state is None or state == SourceState.OK:
        return None
    because = f": {reason}" if reason else ""
    return f"There is no GPU to be shown{because}{f' ({fix})' if fix else ''}."


def warnings(gpu: Gpu) -> Iterator[tuple[str, str]]:
    """What is wrong with it, what matters most first: the name of a style, and words."""
    # before what it said when it answered last
    if (trouble := gpu.trouble) is not None:
        reason = gpu["reason"]
        yield "alarm", trouble + (f": {reason}" if reason else "")
    if (eta := gpu.number("oom_eta_seconds")) is not None:
        low, high = (seconds_text(gpu[f"oom_eta_{end}_seconds"]) for end in ("low", "high"))
        between = "" if low == high else f" ({low} to {high})"
        style = "alarm" if gpu.is_urgent else "warm" if eta < SOON_SECONDS else "value"
        sign = "!! " if gpu.is_urgent else ""
        yield style, f"{sign}MEMORY FULL IN {seconds_text(eta)}{between}"
    elif gpu.is_urgent:
        yield "alarm", "!! MEMORY RUNS OUT"
    if (xid := gpu["xid"]) is not None:
        yield "hot", f"Xid {xid}"
    if errors := gpu.number("ecc_volatile_uncorrected_errors"):
        yield "hot", f"{count_text(errors)} uncorrected ECC errors"
    if gpu["remapped_rows_failed"]:
        yield "hot", "remapping of memory rows failed"
    elif gpu["remapped_rows_pending"]:
        yield "warm", "memory rows wait for a reset to be remapped"
    if throttled := gpu["throttle_reasons"]:
        text = str(throttled)
        style = "hot" if "therm" in text.casefold() else "dim" if text.casefold() in _AT_REST else "warm"
        yield style, f"clocks held by {text}"


_AT_REST = frozenset({"idle", "gpu idle"})
"""Nothing that anybody would want to be told of."""
