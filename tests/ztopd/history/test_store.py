"""The store from opening to closing, and what it does where the directory or the file is not as it should be."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ztopd.history.keeper
from tests.end_to_end.real_daemon import needs_root
from tests.ztop_client.fake_source import SECOND
from tests.ztopd.history.storing import Keeping, Sampler, stored
from ztopd.history.inbox import Inbox
from ztopd.history.state import StoreState, problem_of

FIRST_NUMBER_UNKNOWN = 10_000_000_000


class TestWhatIsKept:
    def test_every_frame_as_it_was(self, directory: Path) -> None:
        keeping = Keeping(directory)
        keeping.take(Sampler(), 400)
        keeping.close()
        assert keeping.states == [StoreState.OK]
        assert sorted(os.listdir(directory)) == ["timeline.ztop", "timeline.ztop.lock"]
        assert {stat.S_IMODE((directory / name).stat().st_mode) for name in os.listdir(directory)} == {0o600}
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {frame.seq: frame for frame in keeping.written()} == keeping.given

    def test_complete_segments_are_read_while_it_goes_on(self, directory: Path) -> None:
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 700)
        keeping.until(lambda: len(keeping.store.timeline) == 2, "two segments are complete")
        assert keeping.remembered() == [keeping.given[seq] for seq in range(1, 601)]
        assert keeping.store.size_bytes > 10_000
        keeping.close()

    def test_a_frame_is_written_though_no_other_comes(self, directory: Path) -> None:
        keeping = Keeping(directory)
        keeping.take(Sampler(), 1)
        keeping.until_written(1)
        keeping.close()

    def test_a_restart_of_the_server(self, directory: Path) -> None:
        """The sampler goes on, and sends its newest frame once more."""
        first, sampler = Keeping(directory, "one run"), Sampler()
        first.take(sampler, 70)
        first.close()
        second = Keeping(directory, "one run")
        assert second.store.seq_offset == 0
        second.give(sampler.again(), sampler)
        # no keyframe comes for a while
        second.take(sampler, 30)
        second.close()
        assert [frame.seq for frame in second.written()] == list(range(1, 101))
        assert {frame.seq: frame for frame in second.written()} == first.given | second.given

    def test_a_restart_of_the_daemon_and_of_the_machine(self, directory: Path) -> None:
        given = {}
        for number in range(4):
            # in the third run the machine was started anew: boot time begins again, wall time goes on
            sampler = Sampler("boot a" if number < 2 else "boot b", number * 1000 * SECOND)
            keeping = Keeping(directory, f"run {number}")
            assert keeping.store.seq_offset == number * 100
            assert keeping.remembered() == list(given.values())
            keeping.take(sampler, 100)
            given |= keeping.given
            keeping.close()
        last = Keeping(directory, "the last")
        assert last.remembered() == list(given.values())
        for seq in (1, 150, 250, 400):
            place = last.store.timeline.at_time(given[seq].time_ns)
            assert place is not None and place.stamp.seq == seq
        last.close()

    def test_what_follows_nothing_waits_for_a_keyframe(self, directory: Path) -> None:
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 10)
        sampler.step()
        keeping.take(sampler, 100)
        keeping.close()
        assert [frame.seq for frame in keeping.written()] == [*range(1, 11), *range(61, 112)]

    def test_a_store_of_half_a_year_opens_by_its_index(self, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []
        connect = sqlite3.connect

        def traced(*arguments: object, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
            connection.set_trace_callback(read.append)
            return connection

        monkeypatch.setattr(sqlite3, "connect", traced)
        keeping = Keeping(filled.parent)
        assert len(keeping.store.timeline) == 3
        opening = [sql for sql in read if " segments" in sql or " tracks" in sql]
        asked = [sql for sql in opening if sql.startswith("SELECT")]
        # one head: from the last number on frames are numbered
        assert asked and sum("head" in sql for sql in asked) == 1 and not any("tracks" in sql for sql in asked)
        keeping.close()


class TestInbox:
    def test_whoever_puts_something_in_never_waits(self) -> None:
        inbox, sampler = Inbox(most_frames=3), Sampler()
        steps = [sampler.step() for _ in range(5)]
        for step in steps:
            inbox.put(step)
        posts = [inbox.next(0) for _ in range(4)]
        assert [post.frame for post in posts] == [*steps[:3], None]
        assert [post.lost for post in posts] == [2, 0, 0, 0]
        inbox.put(steps[4])
        inbox.close()
        inbox.put(steps[4])
        assert (inbox.next(9).frame, inbox.next(9).is_closed) == (steps[4], True)

    def test_it_is_bounded_by_bytes_too(self) -> None:
        inbox, step = Inbox(most_bytes=10), Sampler().step()
        inbox.put(step)
        inbox.put(step)
        post = inbox.next(0)
        # one frame is always taken
        assert (post.frame, post.lost) == (step, 1)
        inbox.put(step)
        assert inbox.next(0).frame == step

    def test_a_slow_disk_is_said(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ztopd.history.keeper, "SLOW_SECONDS", 0.2)
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 5)
        keeping.store._inbox._lost += 1
        keeping.take(sampler, 1)
        keeping.until_state(StoreState.SLOW)
        keeping.until_state(StoreState.OK)
        keeping.close()


class TestPlace:
    def refused(self, directory: Path, state: StoreState) -> None:
        """The store says so, keeps nothing, and makes nothing."""
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 3)
        assert keeping.states == [state]
        assert problem_of(state) is not None
        assert keeping.store.seq_offset > FIRST_NUMBER_UNKNOWN
        keeping.close()
        assert len(keeping.store.timeline) == 0

    def test_writable_by_others(self, directory: Path) -> None:
        directory.mkdir()
        for mode in (0o777, 0o770, 0o702):
            directory.chmod(mode)
            self.refused(directory, StoreState.CANNOT_OPEN)
        assert os.listdir(directory) == []
        directory.chmod(0o755)
        keeping = Keeping(directory)
        assert keeping.states == [StoreState.OK]
        keeping.close()

    def test_no_directory(self, directory: Path) -> None:
        directory.write_text("a file")
        self.refused(directory, StoreState.CANNOT_OPEN)
        self.refused(directory / "in a file", StoreState.CANNOT_OPEN)
        self.refused(directory.parent / "not" / "there", StoreState.CANNOT_OPEN)

    def test_ones_own_link_is_followed(self, directory: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to(tmp_path / "elsewhere")
        keeping = Keeping(directory)
        assert keeping.states == [StoreState.OK]
        keeping.close()

    @needs_root
    def test_another_users(self, directory: Path, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir(mode=0o700)
        directory.symlink_to(tmp_path / "ours")
        os.lchown(directory, 12345, 12345)
        self.refused(directory, StoreState.CANNOT_OPEN)
        directory.unlink()
        directory.mkdir(mode=0o700)
        os.chown(directory, 12345, 12345)
        self.refused(directory, StoreState.CANNOT_OPEN)

    @pytest.mark.parametrize("name", ["timeline.ztop", "timeline.ztop.lock"])
    def test_a_link_in_place_of_a_file(self, directory: Path, tmp_path: Path, name: str) -> None:
        directory.mkdir(mode=0o700)
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        (directory / name).symlink_to(victim)
        self.refused(directory, StoreState.CANNOT_OPEN)
        assert victim.read_bytes() == b"precious"

    def test_two_daemons(self, directory: Path, soon: None) -> None:
        first, second = Keeping(directory, "first"), Keeping(directory, "second")
        assert (first.states, second.states) == ([StoreState.OK], [StoreState.IN_USE])
        first_sampler, second_sampler = Sampler(), Sampler("another boot", 10_000 * SECOND)
        first.take(first_sampler, 10)
        second.take(second_sampler, 10)
        first.close()
        # the other takes over as soon as it can, in numbers that nobody had
        second.until_state(StoreState.OK)
        second.take(second_sampler, 60)
        second.close()
        seqs = [frame.seq for frame in stored(first.path)]
        assert seqs[:10] == list(range(1, 11))
        assert seqs[10] > FIRST_NUMBER_UNKNOWN and len(seqs) > 60
        assert {frame.seq: frame for frame in stored(first.path)}.items() <= (first.given | second.given).items()

    def test_the_file_is_removed(self, directory: Path, soon: None) -> None:
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 10)
        keeping.until_written(10)
        for name in os.listdir(directory):
            (directory / name).unlink()
        keeping.until(keeping.path.exists, "a new file is begun")
        keeping.take(sampler, 10)
        keeping.close()
        assert [frame.seq for frame in keeping.written()][-10:] == list(range(11, 21))

    def namespaced(self, directory: Path, mount: str, program: str) -> None:
        """Runs a program of this folder where that was mounted first."""
        directory.mkdir(mode=0o700, exist_ok=True)
        script = f'{mount} && exec "$@"'
        command = ["unshare", "--mount", "sh", "-ec", script, "sh", sys.executable, "-m", program, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        if "unshare failed" in done.stderr:
            pytest.skip(f"there are no mount namespaces here: {done.stderr.strip()}")
        assert (done.returncode, done.stdout.split()[-1:]) == (0, ["done"]), done.stderr

    @needs_root
    def test_a_full_disk(self, directory: Path) -> None:
        self.namespaced(
            directory, f"mount -t tmpfs -o size=1m,mode=0700 none {directory}", "tests.ztopd.history.on_full_disk"
        )

    @needs_root
    def test_a_read_only_disk(self, filled: Path) -> None:
        here = filled.parent
        mount = f"mount --bind {here} {here} && mount -o remount,bind,ro {here}"
        self.namespaced(here, mount, "tests.ztopd.history.on_read_only_disk")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_directory(self, filled: Path, soon: None) -> None:
        filled.parent.chmod(0o500)
        try:
            keeping = Keeping(filled.parent)
            assert keeping.states == [StoreState.READ_ONLY]
            assert len(keeping.remembered()) == 700
            assert keeping.store.seq_offset == 700
        finally:
            filled.parent.chmod(0o700)
        keeping.until_state(StoreState.OK)
        keeping.take(Sampler(), 10)
        keeping.close()
        assert len(stored(filled)) == 710
