"""A store that a version with other columns wrote."""

import shutil
from pathlib import Path

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND
from tests.ztopd.history.old_store import FRAMES, HAS, as_read
from tests.ztopd.history.storing import Keeping, Sampler, stored
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztopd.history.state import StoreState

FILE = Path(__file__).with_name("old-store.ztop")
READ_AT = ("pid", "start_boottime_ns", "user_time_ns", "rss_bytes", "comm", "command_line", "threads")


def told(frame: Frame) -> dict[object, tuple[object, ...]]:
    """What the test knows of the processes, by name: new columns come, and a row grows."""
    places = [SECTIONS["processes"].position[name] for name in READ_AT]
    return {key: tuple(row[place] for place in places) for key, row in frame.rows("processes").items()}


def test_it_is_read_by_name(tmp_path: Path) -> None:
    copy = tmp_path / "old.ztop"
    shutil.copyfile(FILE, copy)
    assert HAS not in SECTIONS["processes"].position
    found = stored(copy)
    assert [frame.seq for frame in found] == list(range(1, FRAMES + 1))
    for frame in found:
        assert told(frame) == told(as_read(made(frame.seq)))
        assert all(row[-1] is None for row in told(frame).values())


def test_a_store_goes_on_with_it(tmp_path: Path) -> None:
    shutil.copyfile(FILE, tmp_path / "timeline.ztop")
    keeping = Keeping(tmp_path)
    assert keeping.states == [StoreState.OK]
    assert keeping.store.seq_offset == FRAMES
    assert len(keeping.remembered()) == FRAMES
    keeping.take(Sampler("after", 10**6 * SECOND), 70)
    keeping.close()
    frames = keeping.written()
    assert [frame.seq for frame in frames] == list(range(1, FRAMES + 71))
    assert {frame.seq: frame for frame in frames if frame.seq > FRAMES} == keeping.given
