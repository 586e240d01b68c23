"""What is asked of a living process, answered from a frame that was kept."""

from dataclasses import replace

from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Wire, encode_frame, unpack
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame, Section
from ztop_protocol.schema import THREADS


def threads_kept(frame: Frame, arguments: Arguments) -> Wire | RequestFailed:
    """The answer to the method ``threads``: those of a process as the frame has them."""
    section = frame.sections.get(THREADS.name)
    if section is None:
        return RequestFailed("this was not kept: the threads of a process are read while somebody looks at them")
    pid, position = arguments.get("pid"), THREADS.position["pid"]
    rows = {key: row for key, row in section.rows.items() if row[position] == pid}
    if not rows:
        return RequestFailed(f"process {pid} was not there then")
    return unpack(encode_frame(replace(frame, sections={THREADS.name: Section(section.sampled_boottime_ns, rows)})))
