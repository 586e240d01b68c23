"""The client: shows what a daemon measured, on a screen, as lines, or to a Python program.

For programs: :func:`connect` and what it gives. See docs/python-api.md.
"""

from ztop_client.channel import DaemonUnreachable
from ztop_client.session import Session, connect
from ztop_client.sources.source import Pair
from ztop_protocol.connection import RemoteError

__all__ = ["DaemonUnreachable", "Pair", "RemoteError", "Session", "connect"]
