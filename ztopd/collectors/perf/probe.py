"""What can be counted on this machine with these rights: found by trying it on the calling thread."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from ztop_protocol.schema import PROCESS_COUNTERS
from ztopd.collectors.perf.events import Event, Group
from ztopd.collectors.perf.pmus import Pmu
from ztopd.collectors.perf.syscall import NO_GROUP, Kernel, attribute

FIRST_COUNT = PROCESS_COUNTERS.position["kernel_mode"] + 1
"""The place in a row of what is counted; the cells before it say of whom."""
COUNTS = len(PROCESS_COUNTERS.names) - FIRST_COUNT

_CALLING_THREAD = 0
REFUSALS = (errno.EACCES, errno.EPERM)
"""What the kernel says to whom it does not let count."""


def place_of(column: str) -> int:
    """Where a column stands among the counted cells."""
    return PROCESS_COUNTERS.position[column] - FIRST_COUNT


@dataclass(frozen=True, slots=True)
class CountedGroup:
    """A group as it is opened here: on each core PMU, the events that all of them have."""

    places: tuple[int, ...]
    """Of its events, among the counted cells."""
    time_place: int | None
    attributes: tuple[tuple[bytes, ...], ...]
    """By PMU: struct perf_event_attr of each event, the leader first."""

    @property
    def descriptors(self) -> int:
        """How many it takes for one thread."""
        return len(self.places) * len(self.attributes)


@dataclass(frozen=True, slots=True)
class Countable:
    """What can be counted, and how. Equal to another one where nothing changed."""

    kernel_mode: bool
    inherits: bool
    """Whether threads that start later are counted with the one that starts them."""
    groups: tuple[CountedGroup, ...]
    lacking: tuple[str, ...] = ()
    """What the machine does not have, each with its reason."""
    unnamed_pmus: tuple[str, ...] = ()
    """Core PMUs of which the kernel lets an event name none: it counts on one of them, and which is its choice."""

    @property
    def descriptors(self) -> int:
        """How many one thread takes."""
        return sum(group.descriptors for group in self.groups)


class Uncountable(Exception):
    """Nothing can be counted; ``error`` is what the kernel says to the first event."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class _Manner:
    kernel_mode: bool
    inherits: bool

    def attribute(self, event: Event, pmu: Pmu | None) -> bytes:
        number = None if pmu is None else pmu.type
        return attribute(event, number, kernel_mode=self.kernel_mode, inherits=self.inherits)


def probe(kernel: Kernel, groups: Sequence[Group], pmus: Sequence[Pmu]) -> Countable:
    """Tries every event on the calling thread. Raises :exc:`Uncountable`.

    Only where there are several core PMUs does an event have to name the one that it is for. Arm's let it do so since
    Linux 6.6 (PERF_PMU_CAP_EXTENDED_HW_TYPE).
    """
    named: tuple[Pmu | None, ...] = tuple(pmus) if len(pmus) > 1 else (None,)
    unnamed: tuple[str, ...] = ()
    try:
        manner = _manner(kernel, groups, named)
    except Uncountable:
        if named == (None,):
            raise
        named, unnamed = (None,), tuple(pmu.name for pmu in pmus)
        manner = _manner(kernel, groups, named)
    counted: list[CountedGroup] = []
    lacking: list[str] = []
    for group in groups:
        found, missing = _group(kernel, group, _on(group, named), manner)
        lacking += missing
        if found is not None:
            counted.append(found)
    return Countable(manner.kernel_mode, manner.inherits, tuple(counted), tuple(lacking), unnamed)


def _manner(kernel: Kernel, groups: Sequence[Group], pmus: Sequence[Pmu | None]) -> _Manner:
    """The fullest manner in which any event can be opened."""
    events = [(event, pmu) for group in groups for event in group.events for pmu in _on(group, pmus)]
    first_error: OSError | None = None
    for kernel_mode in (True, False):
        first_error = None
        for event, pmu in events:
            error: OSError | None = None
            for inherits in (True, False):
                manner = _Manner(kernel_mode, inherits)
                error = _error(kernel, (manner.attribute(event, pmu),))
                if error is None:
                    return manner
                first_error = first_error or error
                if error.errno != errno.EINVAL:
                    break
            # to be refused has nothing to do with the event
            if error is not None and error.errno in REFUSALS:
                break
    assert first_error is not None
    raise Uncountable(first_error)


def _on(group: Group, pmus: Sequence[Pmu | None]) -> Sequence[Pmu | None]:
    return pmus if group.is_hardware else (None,)


def _error(kernel: Kernel, attributes: Sequence[bytes]) -> OSError | None:
    """Why these cannot be opened as one group; None where they can."""
    opened: list[int] = []
    try:
        for one in attributes:
            opened.append(kernel.open(one, _CALLING_THREAD, opened[0] if opened else NO_GROUP))
    except OSError as error:
        return error
    finally:
        for descriptor in reversed(opened):
            kernel.close(descriptor)
    return None


def _group(
    kernel: Kernel, group: Group, pmus: Sequence[Pmu | None], manner: _Manner
) -> tuple[CountedGroup | None, list[str]]:
    """The group with the events that there are, and what is lacking.

    On several PMUs it is counted where all events are that any of them has: else their counts could not be added up.
    """
    events: dict[Pmu | None, list[Event]] = {}
    lacking: list[str] = []
    for pmu in pmus:
        of_pmu = events[pmu] = []
        for event in group.events:
            error = _error(kernel, [manner.attribute(one, pmu) for one in (*of_pmu, event)])
            if error is None:
                of_pmu.append(event)
            else:
                where = "" if pmu is None else f" on {pmu.name}"
                lacking.append(f"{event.column}{where} ({errno.errorcode.get(error.errno or 0, error.errno)})")
    most = max(events.values(), key=len)
    if not most:
        return None, lacking
    counted = CountedGroup(
        tuple(place_of(event.column) for event in most),
        None if group.time_column is None else place_of(group.time_column),
        tuple(tuple(manner.attribute(event, pmu) for event in most) for pmu, found in events.items() if found == most),
    )
    return counted, lacking
