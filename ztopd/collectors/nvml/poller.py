"""The threads that talk to NVML: one that brings the driver up, and one for each GPU.

A thread publishes what it read by one swap of a reference; whoever takes it never waits. Nobody waits for the threads
at the end either: a call that hangs would keep the daemon from ending.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ztop_protocol.frame import Row
from ztop_protocol.schema import GPUS, SourceState
from ztopd.collectors.nvml.card import Card, VramLow
from ztopd.collectors.nvml.device import Device
from ztopd.collectors.nvml.library import Call, DriverGone, GpuLost, Nvml, Refused
from ztopd.collectors.nvml.reading import GpuState, Identity, Reading, Users
from ztopd.collectors.nvml.readings import Xid
from ztopd.collectors.source import Problem

_log = logging.getLogger(__name__)

HUNG_NS = 2_000_000_000
"""A call that takes longer hangs."""
DRIVER_BACKOFF_S = (1.0, 30.0)
GPU_BACKOFF_S = (1.0, 30.0)

_STATE, _REASON = GPUS.position["state"], GPUS.position["reason"]
_XID, _XID_TOLD = GPUS.position["xid"], GPUS.position["xid_boottime_ns"]
_LABELS = frozenset(
    GPUS.position[name] for name in ("uuid", "parent_uuid", "index", "name", "bus_id", "driver_version")
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one GPU was like: its row and those of its MIG instances, and who uses them."""

    rows: list[Row]
    users: list[Users]


class _Published(NamedTuple):
    """What a thread says: what it read, or of a GPU that cannot be read a row that says why."""

    readings: tuple[Reading, ...]
    unread: Row | None = None

    def rows(self) -> list[Row]:
        return [reading.row() for reading in self.readings] if self.unread is None else [self.unread]


def _without_values(row: Row, state: GpuState, reason: str, xid: Xid | None) -> Row:
    """The row of one that cannot be read: what it is called stays, and the last error that it told."""
    cells = [cell if place in _LABELS else None for place, cell in enumerate(row)]
    cells[_STATE], cells[_REASON] = str(state), reason
    if xid is not None:
        cells[_XID], cells[_XID_TOLD] = xid.number, xid.boottime_ns
    return tuple(cells)


Warn = Callable[[VramLow], None]


class Gpu:
    """One GPU and its thread."""

    def __init__(self, nvml: Nvml, index: int, interval_s: float, warn: Warn, warn_seconds: float) -> None:
        self._nvml = nvml
        self._index = index
        self._interval_s = interval_s
        self._warn = warn
        self._warn_seconds = warn_seconds
        self._call = Call()
        self._xid: Xid | None = None
        self._published = _Published((), self._nameless(GpuState.FAILED, "it has not been read yet"))
        self.gone: DriverGone | None = None
        """Why the thread ended: no GPU can be read any more."""
        self.thread = threading.Thread(target=self._run, name=f"gpu {index}", daemon=True)

    def _nameless(self, state: GpuState, reason: str) -> Row:
        cells: list[str | int | None] = [None] * len(GPUS.names)
        cells[0], cells[GPUS.position["index"]] = f"index:{self._index}", self._index
        cells[_STATE], cells[_REASON] = str(state), reason
        return tuple(cells)

    def newest(self, now_ns: int) -> Snapshot:
        """What was read last; where a call hangs, the rows say so."""
        published, running = self._published, self._call.running
        rows = published.rows()
        if running is not None and now_ns - running[1] > HUNG_NS:
            reason = f"NVML has not answered {running[0]} for {(now_ns - running[1]) / 1e9:.0f} s"
            for place, row in enumerate(rows):
                cells = list(row)
                cells[_STATE], cells[_REASON] = str(GpuState.HUNG), reason
                rows[place] = tuple(cells)
        return Snapshot(rows, [reading.users for reading in published.readings])

    def _run(self) -> None:
        backoff_s = GPU_BACKOFF_S[0]
        while True:
            cards: list[Card] = []
            try:
                cards.append(self._find())
                try:
                    while True:
                        self._poll(cards)
                        backoff_s = GPU_BACKOFF_S[0]
                finally:
                    self._xid = cards[0].last_xid()
            except GpuLost as lost:
                self._say(GpuState.LOST, str(lost))
            except Refused as refused:
                self._say(GpuState.FAILED, str(refused))
            except DriverGone as gone:
                self.gone = gone
                return
            except Exception:
                _log.exception("the thread of GPU %d failed; it starts again", self._index)
                self._say(GpuState.FAILED, "an error in ztopd, see its log")
            for card in cards:
                card.device.close()
            time.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, GPU_BACKOFF_S[1])

    def _say(self, state: GpuState, reason: str) -> None:
        self._published = _Published((), _without_values(self._published.rows()[0], state, reason, self._xid))

    def _find(self) -> Card:
        handle = self._nvml.ask(self._call, "nvmlDeviceGetHandleByIndex", self._index)
        device = Device(self._nvml, self._call, handle)
        return Card(device, Identity(device.uuid(), None, self._index), self._warn_seconds, self._xid)

    def _poll(self, cards: list[Card]) -> None:
        """Reads everything that is due, publishes it, and sleeps until the next poll."""
        if cards[0].instances_turn.comes(time.clock_gettime_ns(time.CLOCK_BOOTTIME)):
            self._follow_instances(cards)
        for one in cards:
            one.poll_memory(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            if one.warning is not None:
                self._warn(one.warning)
        for one in cards:
            one.poll_rest(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._published = _Published(tuple([one.reading() for one in cards]))
        # all GPUs together, one after the other for want of the interpreter's lock: spread over the interval, each
        # thread would find the caches cold, and cost twice as much
        time.sleep(self._interval_s - time.monotonic() % self._interval_s)

    def _follow_instances(self, cards: list[Card]) -> None:
        """Keeps ``cards`` to the GPU and its MIG instances as they are now."""
        card, *before = cards
        card.divided = card.device.is_divided()
        known = {one.identity.uuid: one for one in before}
        found = []
        for index, handle in enumerate(card.device.instances() if card.divided else ()):
            device = Device(self._nvml, self._call, handle, card.device.handle)
            try:
                identity = Identity(device.uuid(), card.identity.uuid, index)
            except Refused:
                # taken away just now
                continue
            if identity.uuid in known:
                found.append(known.pop(identity.uuid))
            else:
                found.append(Card(device, identity, self._warn_seconds))
        for gone in known.values():
            gone.device.close()
        cards[1:] = found


class Poller:
    """Brings NVML up, again and again where the driver goes; ``gpus`` and ``problem`` are for whoever asks."""

    def __init__(self, interval_s: float, warn_seconds: float, warn: Warn) -> None:
        self._interval_s = interval_s
        self._warn_seconds = warn_seconds
        self._warn = warn
        self._call = Call()
        self._was_up = False
        self._backoff_s = DRIVER_BACKOFF_S[0]
        self._problem: Problem | None = Problem(SourceState.DEGRADED, "NVML has not answered yet")
        self.gpus: tuple[Gpu, ...] = ()
        threading.Thread(target=self._run, name="nvml", daemon=True).start()

    @property
    def problem(self) -> Problem | None:
        """Why no GPU can be read; None while they can."""
        # while one thread hangs, the others know already
        for gpu in self.gpus:
            if gpu.gone is not None:
                return self._problem_of(gpu.gone)
        return self._problem

    def _problem_of(self, gone: DriverGone) -> Problem:
        # a machine that has the library only, as many container images do, is no fault
        return Problem(SourceState.DEGRADED if self._was_up else SourceState.ABSENT, gone.reason, gone.fix)

    def _run(self) -> None:
        while True:
            try:
                self._serve()
            except DriverGone as gone:
                self._problem = self._problem_of(gone)
            except Exception:
                _log.exception("the thread that brings NVML up failed; it starts again")
                self._problem = Problem(SourceState.DEGRADED, "an error in ztopd, see its log")
            self.gpus = ()
            time.sleep(self._backoff_s)
            self._backoff_s = min(2 * self._backoff_s, DRIVER_BACKOFF_S[1])

    def _serve(self) -> None:
        """Until the driver is gone. Raises :exc:`DriverGone`."""
        nvml = Nvml(self._call)
        try:
            try:
                count = int(nvml.ask(self._call, "nvmlDeviceGetCount"))
            except (Refused, GpuLost) as error:
                raise DriverGone(None, f"NVML does not say how many GPUs there are: {error}") from None
            if not count:
                raise DriverGone(None, "the NVIDIA driver finds no GPU")
            gpus = tuple(Gpu(nvml, index, self._interval_s, self._warn, self._warn_seconds) for index in range(count))
            for gpu in gpus:
                gpu.thread.start()
            self._was_up, self._backoff_s = True, DRIVER_BACKOFF_S[0]
            self.gpus, self._problem = gpus, None
            for gpu in gpus:
                # where one hangs the driver is not let go of under it
                gpu.thread.join()
            gone = next((gpu.gone for gpu in gpus if gpu.gone is not None), None)
            raise gone or DriverGone(None, "the NVIDIA driver is gone")
        finally:
            nvml.shut_down(self._call)
