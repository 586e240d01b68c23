"""Who did what, and for how long: a question put to every frame of a time, one after the other.

A frame speaks of the time since the frame before it, as its rates do; the first one of a boot has none. Where two
frames are so far apart that something must have been missed, and between two boots, every stretch ends.

Rates of what is not read at every tick (see :mod:`ztop_protocol.rates`) are known in frames in which it was read. The
others say nothing of a process where the answer hangs on such a rate: a stretch goes on over them where the next
answer is yes, has ended before them where it is no, and none begins in them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ztop_client.absence import lack, seldom_filled
from ztop_client.asking import VALUES, condition, sections_of
from ztop_client.columns.column import ProcessTable, process_table, rate
from ztop_client.sources.past import Past, pairs
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.query import And, Comparison, Expression, Not, Or, Question, fields, parse_question
from ztop_protocol.query_fields import FIELDS, Measure
from ztop_protocol.rates import RATES
from ztop_protocol.schema import PROCESSES, SECTIONS
from ztop_protocol.segment import Stamp

LONGEST_STEP_NS = 150_000_000_000
"""Between two frames that belong together: two and a half times the longest interval at which any are kept."""
JITTER_NS = 20_000_000
"""Frames come some milliseconds off their tick: ten of a second each are ten seconds."""

_TABLES = ("processes", "process_io", "process_counters", "process_executables")
_COMM, _USER, _COMMAND = (PROCESSES.position[name] for name in ("comm", "user", "command_line"))
_AGE = "age_ns"
_MEASURED = (Measure.PERCENT, Measure.BYTES, Measure.COUNT, Measure.RATIO, Measure.DURATION, Measure.SECONDS)

_CLOCKS: Mapping[str, tuple[str, int]] = {
    one.name: (section, SECTIONS[section].position[one.clock])
    for section in _TABLES
    for one in RATES.get(section, ())
    if one.clock is not None
}
"""A rate that is not known in every frame -> its section, and where its rows have the time of their reading."""

_VALUES = {**VALUES, **{name: rate(section, name) for name, (section, _) in _CLOCKS.items()}}

Verdict: TypeAlias = bool | None
"""None: the frame says nothing."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time without a break in which it held of one process.

    ``from_ns`` and ``to_ns`` are wall time; ``duration_ns`` is by the clock that nobody sets. ``first_seq``: the first
    frame in which it held. ``greatest``: the largest value of every field asked that measures something, by its full
    name. ``still``: it held in the last frame.
    """

    boot_id: str
    pid: int
    start_boottime_ns: int
    comm: Cell
    user: Cell
    command_line: Cell
    from_ns: int
    to_ns: int
    duration_ns: int
    first_seq: int
    greatest: Mapping[str, float]
    still: bool


@dataclass(slots=True)
class _Open:
    """A stretch that has not ended. ``held``: the last frame in which it did, where later ones said nothing."""

    begin: Stamp
    row: Row
    greatest: dict[str, float]
    held: Stamp | None = None


def find(pairs: Iterable[Pair], question: Question) -> Iterator[Stretch]:
    """Every stretch of at least the duration asked for, in the order in which they end.

    ``pairs`` are consecutive frames with the sections of :func:`sections_of`.
    """
    finder = Finder(question)
    for pair in pairs:
        yield from finder.take(pair)
    yield from finder.rest()


def found_in(past: Past, text: str, from_ns: int, to_ns: int) -> list[Stretch]:
    """The stretches of a time, by their begin. Raises :exc:`ztop_protocol.query.QueryError`, and what ``past`` does."""
    question = parse_question(text)
    return sorted(find(pairs(past, from_ns, to_ns, needed_sections(question)), question), key=by_begin)


def by_begin(stretch: Stretch) -> tuple[int, int]:
    """The order in which a person reads them."""
    return stretch.from_ns, stretch.pid


def needed_sections(question: Question) -> frozenset[str]:
    """What the frames must have."""
    asked = sections_of(question.expression)
    return asked | {"sources"} if seldom_filled(asked) else asked


class Finder:
    """The same step by step: :meth:`take` one frame after the other, then :meth:`rest`."""

    def __init__(self, question: Question) -> None:
        asked = fields(question.expression)
        self._question = question
        self._sections = [name for name in _TABLES if name in sections_of(question.expression)]
        self._ages_ns = {
            one.value
            for one in _comparisons(question.expression)
            if one.field.name == _AGE and isinstance(one.value, (int, float))
        }
        self._measured = sorted(
            name for name in asked if FIELDS[name].measure in _MEASURED and not name.endswith("_boottime_ns")
        )
        self._open: dict[Key, _Open] = {}
        self._last: Pair | None = None
        self._restless: set[Key] = set()
        """What changed in the last frame: its rates may be others now, even if it rests."""
        self._on_gpus: Mapping[Key, Row] = {}
        self._lacks: dict[str, str | None] = dict.fromkeys(sorted(seldom_filled(sections_of(question.expression))))

    def take(self, pair: Pair) -> list[Stretch]:
        """The next frame; the stretches that ended with the one before it."""
        ended: list[Stretch] = []
        if self._last is not None and not _belong_together(self._last.current, pair.current):
            ended += self._close(list(self._open))
            self._last = None
        table = process_table(pair.previous, pair.current)
        self._look_what_lacks(pair.current)
        rows, verdict = table.processes, _verdict(self._question.expression, table, pair.previous)
        ended += self._close([key for key in self._open if key not in rows])
        before = self._before(pair)
        for key in self._due(pair, table):
            holds, stretch = verdict(key), self._open.get(key)
            if holds:
                if stretch is None:
                    stretch = self._open[key] = _Open(_begin(before, pair.current, key), rows[key], {})
                stretch.row, stretch.held = rows[key], None
                self._measure(table, key, stretch.greatest)
            elif stretch is not None and holds is None:
                stretch.held = stretch.held or before
            elif stretch is not None:
                ended += self._close([key])
        self._last = pair
        return ended

    def rest(self) -> list[Stretch]:
        """What holds in the last frame. To be called at the end."""
        return self._close(list(self._open), still=True)

    def lacks(self) -> list[str]:
        """What is asked for and was in none of the frames, and why: ``no counters in that time (…)``."""
        return [text for text in self._lacks.values() if text is not None]

    def _look_what_lacks(self, frame: Frame) -> None:
        for section in list(self._lacks):
            if frame.rows(section):
                del self._lacks[section]
            else:
                self._lacks[section] = lack(frame, section, "in that time") or self._lacks[section]

    def _before(self, pair: Pair) -> Stamp:
        """The frame before, or the frame itself where none belongs to it."""
        before = pair.previous if self._last is None else self._last.current
        return _stamp(before if before is not None and _belong_together(before, pair.current) else pair.current)

    def _close(self, keys: Iterable[Key], still: bool = False) -> list[Stretch]:
        """Ends stretches with the last frame that was taken."""
        assert self._last is not None or not self._open
        found: list[Stretch] = []
        for key in keys:
            stretch, last = self._open.pop(key), self._last
            assert last is not None
            begin, end = stretch.begin, stretch.held or _stamp(last.current)
            duration_ns = end.boottime_ns - begin.boottime_ns
            if duration_ns + JITTER_NS >= self._question.duration_ns:
                pid, start = key
                assert isinstance(pid, int) and isinstance(start, int)
                row = stretch.row
                if _AGE in stretch.greatest:
                    # it grew with every frame
                    stretch.greatest[_AGE] = end.boottime_ns - start
                found.append(
                    Stretch(
                        *(last.current.boot_id, pid, start, row[_COMM], row[_USER], row[_COMMAND]),
                        *(begin.time_ns, end.time_ns, duration_ns, begin.seq, stretch.greatest),
                        still=still and stretch.held is None,
                    )
                )
        return found

    def _measure(self, table: ProcessTable, key: Key, greatest: dict[str, float]) -> None:
        for name in self._measured:
            value = _VALUES[name](table, key)
            if isinstance(value, (int, float)) and value > greatest.get(name, float("-inf")):
                greatest[name] = value

    def _due(self, pair: Pair, table: ProcessTable) -> Iterable[Key]:
        """The processes of which the answer may be another one than in the frame before.

        Of the others no row changed, neither now nor in the frame before: their rates were 0 and are. Nor did they
        come to any of the ages that are asked.
        """
        rows, changed = pair.current.rows("processes"), set[Key]()
        for name in self._sections:
            now = pair.current.rows(name)
            then = {} if pair.previous is None else pair.previous.rows(name)
            if now is not then:
                changed.update(key for key, row in now.items() if then.get(key) is not row)
                changed.update(then.keys() - now.keys())
        now, then, self._on_gpus = table.on_gpus, self._on_gpus, table.on_gpus
        changed.update(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        restless, self._restless = self._restless, changed
        if self._last is None or self._total_bytes_changed(pair):
            return rows
        return [key for key in changed | restless | self._aged(rows, pair.current) if key in rows]

    def _aged(self, rows: Mapping[Key, Row], frame: Frame) -> set[Key]:
        """Those that have come to an age that is asked since the last frame."""
        if not self._ages_ns or self._last is None:
            return set()
        before_ns, now_ns = self._last.current.boottime_ns, frame.boottime_ns
        spans = [(before_ns - age_ns, now_ns - age_ns) for age_ns in self._ages_ns]
        return {
            key
            for key in rows
            if any(first_ns <= key[1] <= last_ns for first_ns, last_ns in spans)  # type: ignore[operator]
        }

    def _total_bytes_changed(self, pair: Pair) -> bool:
        """Whether the machine's memory, of which some ask the share, is another."""
        frames = () if self._last is None else (self._last.current, pair.current)
        return len({one.cell("memory", "total_bytes") for one in frames}) > 1


def _comparisons(expression: Expression) -> Iterator[Comparison]:
    match expression:
        case Comparison():
            yield expression
        case Not(part):
            yield from _comparisons(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _comparisons(part)


def _belong_together(before: Frame, after: Frame) -> bool:
    return before.boot_id == after.boot_id and 0 <= after.boottime_ns - before.boottime_ns <= LONGEST_STEP_NS


def _stamp(frame: Frame) -> Stamp:
    return Stamp(frame.seq, frame.time_ns, frame.boottime_ns)


def _begin(before: Stamp, frame: Frame, key: Key) -> Stamp:
    """When a stretch begins that is seen in ``frame`` first; its number is that frame's."""
    start = key[1]
    assert isinstance(start, int)
    later_ns = min(max(start - before.boottime_ns, 0), frame.boottime_ns - before.boottime_ns)
    return Stamp(frame.seq, before.time_ns + later_ns, before.boottime_ns + later_ns)


def _verdict(expression: Expression, table: ProcessTable, previous: Frame | None) -> Callable[[Key], Verdict]:
    """Whether it holds of a process; nothing where a rate that matters was not read anew."""
    if fields(expression).isdisjoint(_CLOCKS):
        return condition(expression, table, _VALUES)
    match expression:
        case Not(part):
            inner = _verdict(part, table, previous)
            return lambda key: None if (found := inner(key)) is None else not found
        case And(parts):
            return _of_several([_verdict(part, table, previous) for part in parts], decisive=False)
        case Or(parts):
            return _of_several([_verdict(part, table, previous) for part in parts], decisive=True)
        case Comparison(field=field):
            holds, is_unread = condition(expression, table, _VALUES), _unread(table, previous, *_CLOCKS[field.name])
            return lambda key: None if is_unread(key) else holds(key)
    raise AssertionError(expression)


def _of_several(parts: list[Callable[[Key], Verdict]], decisive: bool) -> Callable[[Key], Verdict]:
    """One that is decisive decides; else what says nothing leaves it open."""

    def verdict(key: Key) -> Verdict:
        found: Verdict = not decisive
        for part in parts:
            one = part(key)
            if one is decisive:
                return one
            if one is None:
                found = None
        return found

    return verdict


def _unread(table: ProcessTable, previous: Frame | None, section: str, clock: int) -> Callable[[Key], bool]:
    rows = table.rows[section]
    before: Mapping[Key, Row] = {} if previous is None else previous.rows(section)

    def is_unread(key: Key) -> bool:
        row, old = rows.get(key), before.get(key)
        return row is not None and old is not None and row[clock] is not None and row[clock] == old[clock]

    return is_unread
