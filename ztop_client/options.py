"""What a person asked for on the command line."""

from dataclasses import dataclass

from ztop_protocol.processes import Order

DEFAULT_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``ztop``. None and empty: not asked for."""

    socket_path: str | None = None
    interval_seconds: float | None = None
    order: Order | None = None
    filter_text: str | None = None
    uid: int | None = None
    """Processes of this effective uid only."""
    pids: frozenset[int] = frozenset()
    """These processes only."""
    batch: bool = False
    iterations: int | None = None
    """Frames to print; None: until interrupted."""
    json: bool = False
    columns: tuple[str, ...] = ()
    """Names of :data:`ztop_protocol.processes.COLUMNS`."""
    limit: int | None = None
    """The most processes to print."""
