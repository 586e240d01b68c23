"""Stores frames in a directory on a disk of its own, which is small: says "done" where all went well."""

import sys
from pathlib import Path

import ztopd.history.keeper
from tests.ztopd.history.storing import Keeping, Sampler
from ztopd.history.state import StoreState


def main() -> None:
    """The disk fills up, later there is room again."""
    ztopd.history.keeper.RETRY_SECONDS = 0.1
    directory = Path(sys.argv[1])
    ballast = directory / "ballast"
    ballast.write_bytes(bytes(600 << 10))
    keeping, sampler = Keeping(directory), Sampler()
    assert keeping.states == [StoreState.OK]
    while keeping.store.state is StoreState.OK:
        keeping.take(sampler, 5)
        assert len(keeping.given) < 100_000
    assert keeping.store.state is StoreState.FULL, keeping.states
    assert sampler.newest is not None
    full_at = sampler.newest.seq
    # nothing is kept, nothing stops
    keeping.take(sampler, 200)
    before = {frame.seq: frame for frame in keeping.written()}
    assert before.items() <= keeping.given.items()
    ballast.unlink()
    keeping.until_state(StoreState.OK)
    again_at = sampler.newest.seq
    keeping.take(sampler, 100)
    keeping.close()
    after = {frame.seq: frame for frame in keeping.written()}
    assert after.items() <= keeping.given.items()
    assert before.keys() <= after.keys()
    assert max(before) <= full_at
    assert set(range(again_at + 1, again_at + 101)) <= after.keys()
    print("done")


if __name__ == "__main__":
    main()
