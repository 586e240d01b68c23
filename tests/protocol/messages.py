"""Messages of the codec made by hand, whole and broken."""

from typing import Any

from tests.protocol.strategies import BOOT_IDS
from ztop_protocol.schema import SECTIONS

NETWORKS = SECTIONS["networks"]
PROCESSES = SECTIONS["processes"]
A_CHANGE: dict[str, Any] = {"sampled_boottime_ns": 8, "new": [], "changed": [], "gone": []}


def network(interface: object = "lo", state: object = None, received: object = None) -> list[Any]:
    row: list[Any] = [None] * len(NETWORKS.names)
    row[0], row[1], row[NETWORKS.position["receive_bytes"]] = interface, state, received
    return row


def section_message(rows: list[list[Any]], columns: Any = NETWORKS.names, at: Any = 7) -> dict[str, Any]:
    return {"sampled_boottime_ns": at, "columns": list(columns), "rows": rows}


def frame_message(**parts: Any) -> dict[str, Any]:
    return {"seq": 1, "time_ns": 2, "boottime_ns": 3, "boot_id": BOOT_IDS[0], "sections": parts}


def delta_message(**parts: Any) -> dict[str, Any]:
    return frame_message(**parts) | {"seq": 2, "base_seq": 1, "gone_sections": []}
