"""ztopd and a screen on a machine of 400,000 threads, 512 CPUs, 2000 disks and networks, 5000 cgroups."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon
from tests.ztop_client.test_header import texts
from tests.ztop_client.test_table import assert_exact, screen
from tests.ztopd.large_machine import LARGE, make, work
from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_protocol.codec import MAX_FRAME_BYTES, encode_frame
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztopd.collectors import threads
from ztopd.collectors.source import Roots

pytestmark = pytest.mark.slow

SIZES = [(80, 24), (160, 45), (20, 8), (300, 100)]


@pytest.fixture(scope="module")
def roots() -> Iterator[Roots]:
    # tens of thousands of files: in memory where that can be
    folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        yield make(Path(folder), LARGE)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def frames(roots: Roots, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Frame]]:
    """Two frames with threads, as a client got them."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "ztopd.toml").write_text('counters = "off"\ncpu_percent = 100\n')
    arguments = ("--proc", roots.proc, "--sys", roots.sys, "--config", str(folder / "ztopd.toml"))
    daemon = Daemon(folder / "socket", *arguments, interval=1.0)
    try:
        with daemon.session() as session:
            coming = session.frames(sections=list(SECTIONS))
            found = []
            for frame in coming:
                if "threads" in frame.sections and "cgroups" in frame.sections:
                    found.append(frame)
                    if len(found) == 2:
                        break
                    work(roots, 1)
            coming.close()  # type: ignore[attr-defined]
            assert session.snapshot().seq >= found[-1].seq
        yield found
    finally:
        daemon.stop()


def test_every_section_is_there_and_the_frame_is_within_its_limit(frames: list[Frame]) -> None:
    frame = frames[-1]
    counts = {name: len(frame.rows(name)) for name in ("processes", "cpus", "disks", "networks", "cgroups", "threads")}
    assert counts == {
        "processes": LARGE.processes, "cpus": LARGE.cpus, "disks": LARGE.disks, "networks": LARGE.networks,
        "cgroups": LARGE.cgroups, "threads": threads.MAX_THREADS,
    }  # fmt: skip
    assert frame.cell("host", "threads_total") == LARGE.processes * LARGE.threads == 400_000
    assert len(encode_frame(frame)) < MAX_FRAME_BYTES


def test_what_is_not_read_and_what_is_read_less_often_is_said(frames: list[Frame]) -> None:
    frame = frames[-1]
    assert frame.cell("sources", "state", ("threads",)) == "degraded"
    reason = frame.cell("sources", "reason", ("threads",))
    left_out = LARGE.processes - threads.MAX_THREADS // LARGE.threads
    assert reason == f"the threads of {left_out} processes are not all read: {threads.MAX_THREADS} is the bound"
    for source, usual_ns in (("threads", 0), ("cgroups", 2_000_000_000)):
        period_ns, cost_ns = (frame.cell("sources", column, (source,)) for column in ("period_ns", "cost_ns"))
        assert isinstance(period_ns, int) and isinstance(cost_ns, int)
        assert period_ns >= max(usual_ns, 15 * cost_ns)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_it_is_drawn(frames: list[Frame], size: tuple[int, int], glyphs: Glyphs) -> None:
    drawn = list(screen(glyphs, *frames).render(size).content())
    lines = texts(drawn)
    assert_exact(drawn, size[0], glyphs)
    assert len(lines) == size[1]
    assert any("worker0" in line or "1000" in line for line in lines)
    assert size[0] < 80 or any("400" in line and "thr" in line for line in lines)
