"""PROTOCOL.md: its tables are those of the schema, and nothing that a client meets is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from ztop_protocol.codec import MAX_FRAME_BYTES
from ztop_protocol.connection import MAX_DEPTH, SERVER_LIMITS, ErrorCode
from ztop_protocol.rates import RATES
from ztop_protocol.schema import MAX_TEXT_BYTES, SECTIONS
from ztop_protocol.timeline import GAP_INTERVALS
from ztopd.history import ring
from ztopd.server import listener, methods, past, published, session, strip

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "protocol" / "PROTOCOL.md").read_text("utf-8")


def test_the_tables_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "scripts" / "protocol-tables", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_section_and_rate_is_there() -> None:
    for name, section in SECTIONS.items():
        assert f"\n### `{name}`\n" in PAGE
        for column in section.names:
            assert f"\n| `{column}` |" in PAGE, f"{name}.{column}"
    for name, rates in RATES.items():
        for rate in rates:
            assert f"\n| `{name}` | `{rate.name}` |" in PAGE


@pytest.mark.parametrize("method", [*methods.METHODS, "subscribe", "unsubscribe"])
def test_every_method_is_described(method: str) -> None:
    assert f"\n### `{method}`\n" in PAGE


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_is_described(code: ErrorCode) -> None:
    assert f"\n| `{code}` |" in PAGE


@pytest.mark.parametrize(
    "limit",
    [
        f"| length | {SERVER_LIMITS.message_bytes >> 10} KiB |",
        f"| elements of an array | {SERVER_LIMITS.array_length} |",
        f"| pairs of a map | {SERVER_LIMITS.map_length} |",
        f"| depth, the message itself included | {MAX_DEPTH} |",
        f"{listener.MAX_CONNECTIONS} connections, {listener.MAX_CONNECTIONS_PER_UID} of one user",
        f"{session.MAX_SUBSCRIPTIONS} subscriptions in each",
        f"{listener.RESERVED_CONNECTIONS} of the {listener.MAX_CONNECTIONS} are for root",
        f"answered for {listener.TURN_SECONDS * 1000:.0f} ms",
        f"comes to {listener.MAX_UNREAD_BYTES >> 20} MiB at most",
        f"{published.MAX_KEPT_FRAMES} different ones at most",
        f"once {listener.HIGH_WATER_BYTES >> 10} KiB wait for it",
        f"at most {MAX_FRAME_BYTES >> 20} MiB",
        f"at most {MAX_TEXT_BYTES} bytes",
        f"| `limit` | 1 to {methods.MAX_ROWS} rows; default 20 |",
        f"more than the {methods.MAX_THREADS} that are given",
        f"at most {methods.FIRST_FRAMES_SECONDS:.0f} s",
        f"at most {past.MAX_SEGMENTS} segments, and ends after about {past.SEGMENTS_BYTES >> 20} MiB of tracks",
        f"the last {ring.FRAMES} frames",
        f"| `points` | at most so many rows, 1 to {strip.MAX_POINTS}; default {strip.POINTS} |",
        f"| `limit` | 1 to {strip.MAX_EVENTS} events; default {strip.MAX_EVENTS} |",
        f"more than {GAP_INTERVALS:g} intervals after",
        f"every how many frames, 1 to {session.MAX_TICKS}; default 1",
    ],
)
def test_the_limits_are_those_of_the_code(limit: str) -> None:
    assert limit in PAGE
