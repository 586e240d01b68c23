"""Opens a store of 700 frames on a disk that cannot be written: says "done" where all went well."""

import sys
from pathlib import Path

from tests.ztopd.history.storing import Keeping, Sampler
from ztop_protocol.recording_reader import RecordingReader
from ztopd.history.state import StoreState


def main() -> None:
    """What is there can be read."""
    keeping = Keeping(Path(sys.argv[1]))
    assert keeping.states == [StoreState.READ_ONLY], keeping.states
    assert [frame.seq for frame in keeping.remembered()] == list(range(1, 701))
    assert keeping.store.seq_offset == 700
    keeping.take(Sampler(), 5)
    keeping.close()
    # so it can be replayed
    reader = RecordingReader(str(keeping.path))
    assert (len(reader.timeline), reader.notes) == (3, [])
    reader.close()
    print("done")


if __name__ == "__main__":
    main()
