"""What a person asked for on the command line."""

from dataclasses import dataclass

from ztop_client.program import ZTOP, Program
from ztop_protocol.processes import Order

DEFAULT_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``ztop`` and ``ztop-g``. None and empty: not asked for."""

    socket_path: str | None = None
    """On ``ssh_host``, where there is one."""
    ssh_host: str | None = None
    """The machine whose daemon is asked for, as ssh knows it."""
    interval_seconds: float | None = None
    order: Order | None = None
    filter_text: str | None = None
    """As :func:`ztop_client.asking.meant` understands it."""
    uid: int | None = None
    """Processes of this effective uid only."""
    pids: frozenset[int] = frozenset()
    """These processes only."""
    batch: bool = False
    iterations: int | None = None
    """Frames to print; None: until interrupted."""
    json: bool = False
    columns: tuple[str, ...] = ()
    """Names of the program's."""
    limit: int | None = None
    """The most processes to print."""
    replay_path: str | None = None
    """A recording to be shown in place of a daemon."""
    at_text: str | None = None
    """The one moment to be shown. These three are times for :func:`ztop_client.moments.parse_moment`."""
    from_text: str | None = None
    to_text: str | None = None
    diff_texts: tuple[str, ...] = ()
    """The two moments to be compared; times as above."""
    explain_texts: tuple[str, ...] = ()
    """The moment to be explained, or the two ends of a span."""
    find_text: str | None = None
    """What is asked of the past, as :func:`ztop_protocol.query.parse_question` understands it."""
    record_path: str | None = None
    """The recording to be written."""
    duration_seconds: float | None = None
    """How long to record; None: until interrupted."""
    redact: bool = False
    """What is recorded names nobody: see :func:`ztop_client.incident.redacted`."""
    export_path: str | None = None
    """The table to be written."""
    sections: tuple[str, ...] = ()
    """The sections to export, by name."""
    program: Program = ZTOP
