"""The client: shows what a daemon measured, on a screen, as lines, or to a Python program.

For programs: :func:`connect`, :func:`open_recording` and what they give. See docs/python-api.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ztop_client.channel import DaemonUnreachable
from ztop_client.session import Session, connect
from ztop_client.sources.source import Pair
from ztop_protocol.connection import RemoteError

if TYPE_CHECKING:
    from ztop_client.find import Stretch
    from ztop_client.recorded import Recording, open_recording
    from ztop_client.sources.past import Moment, NothingThen
    from ztop_protocol.query import QueryError
    from ztop_protocol.recording_format import RecordingError

__all__ = [
    "DaemonUnreachable",
    "Moment",
    "NothingThen",
    "Pair",
    "QueryError",
    "Recording",
    "RecordingError",
    "RemoteError",
    "Session",
    "Stretch",
    "connect",
    "open_recording",
]

_LATER = {
    "Moment": "ztop_client.sources.past",
    "NothingThen": "ztop_client.sources.past",
    "QueryError": "ztop_protocol.query",
    "Recording": "ztop_client.recorded",
    "RecordingError": "ztop_protocol.recording_format",
    "Stretch": "ztop_client.find",
    "open_recording": "ztop_client.recorded",
}
"""Imported when they are asked for: they need SQLite, which takes its time at every start."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
