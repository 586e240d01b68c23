"""Recording what is live: the source hands over every frame, batch mode writes the incident file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.fake_source import SECOND
from tests.ztop_client.test_recorder import numbers, recorded
from ztop_client.cli import main
from ztop_client.sources.live import LiveSource
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.ztop"


class TestLive:
    """The source hands over every frame, whatever it shows."""

    @pytest.fixture
    def daemon(self) -> Iterator[FakeDaemon]:
        with FakeDaemon([made(1), made(2)]) as daemon:
            yield daemon

    def followed(self, source: LiveSource, daemon: FakeDaemon, last: int) -> list[int]:
        """What is shown while frames come, a few at a time."""
        shown = []
        for seq in range(daemon.frames[-1].seq + 1, last + 1):
            daemon.publish(made(seq))
            if source.receive():
                pair = source.latest()
                assert pair is not None
                shown.append(pair.current.seq)
        return shown

    def test_every_fifth_is_shown_and_all_are_taken(self, daemon: FakeDaemon) -> None:
        taken: list[Frame] = []
        source = LiveSource(daemon, 5, ["host"])
        source.maintain()
        source.hand_frames_to(lambda frame: not taken.append(frame))  # type: ignore[func-returns-value]
        shown = self.followed(source, daemon, 23)
        assert shown == [2, 5, 10, 15, 20]
        assert taken == [made(seq) for seq in range(1, 24)]
        daemon.turn()
        # the first subscription was given up before it was answered
        assert daemon.peers[0].methods() == ["subscribe", "subscribe", "unsubscribe"]
        source.set_interval(10)
        source.set_sections(["cpus"])
        assert self.followed(source, daemon, 41) == [30, 40]
        assert len(daemon.peers[0].requests) == 3
        source.set_sections(["threads"])
        self.followed(source, daemon, 45)
        assert daemon.peers[0].requests[-1].arguments == {"interval": 1, "sections": list(SECTIONS)}
        assert sorted({frame.seq for frame in taken}) == list(range(1, 46))
        source.close()

    def test_no_more_are_taken_than_are_wanted(self, daemon: FakeDaemon) -> None:
        taken: list[int] = []

        def take(frame: Frame) -> bool:
            taken.append(frame.seq)
            return frame.seq < 5

        source = LiveSource(daemon, 3, ["host"])
        source.maintain()
        source.hand_frames_to(take)
        self.followed(source, daemon, 8)
        daemon.turn()
        assert taken == [1, 2, 3, 4, 5]
        assert daemon.peers[0].requests[-1].arguments == {"interval": 3, "sections": ["host"]}
        source.close()

    def test_many_that_arrive_together(self, daemon: FakeDaemon) -> None:
        taken: list[Frame] = []
        source = LiveSource(daemon)
        source.maintain()
        source.hand_frames_to(lambda frame: not taken.append(frame))  # type: ignore[func-returns-value]
        for seq in range(3, 60):
            daemon.publish(made(seq))
        source.receive()
        assert taken == [made(seq) for seq in range(1, 60)]
        source.close()


class TestBatch:
    @pytest.fixture
    def daemon(self, tmp_path: Path) -> Iterator[FakeDaemon]:
        frames = [made(seq) for seq in range(1, 31)]
        with FakeDaemon(frames, path=str(tmp_path / "socket")) as daemon:
            daemon.answers |= memory(frames)
            yield daemon.in_background()

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ZTOP_SOCKET", str(tmp_path / "socket"))

    def run(self, path: Path, *arguments: str) -> int:
        return main(["-b", "--json", "--record", str(path), *arguments])

    def test_the_incident_file(self, path: Path, daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run(path, "--from", f"@{made(10).time_ns // SECOND}", "--duration", "0s") == 0
        # it ends with the frame before the newest, with which a subscription begins
        assert recorded(path) == [made(seq) for seq in range(10, 30)]
        assert capfd.readouterr().err == ""

    def test_what_is_not_remembered(self, path: Path, daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
        del daemon.answers["segments"]
        assert self.run(path, "--from", "-10m", "-n", "1") == 1
        assert capfd.readouterr().err.startswith(f"ztop: {path} begins with the present: ztopd ")
        assert numbers(path) == [29, 30]

    def test_a_file_that_cannot_be(self, path: Path, daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run(path.parent, "-n", "1") == 1
        assert capfd.readouterr() == ("", f"ztop: {path.parent} is no file\n")
