"""The list of pids: read when the kernel gave one out, and always where its newest pid says nothing about /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztopd.collectors.process_listing import LISTING_NS, Listing

OURS = "Name:\tx\nNSpid:\t77\nThreads:\t1\n"
OF_A_CONTAINER = "Name:\tx\nNSpid:\t9077\t77\nThreads:\t1\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(OURS)
    (tmp_path / "loadavg").write_text("0.00 0.00 0.00 1/9 100\n")
    (tmp_path / "1").mkdir()
    return tmp_path


@pytest.fixture
def folder(proc: Path) -> Iterator[int]:
    descriptor = os.open(proc, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_without_a_new_pid_it_is_not_listed_for_a_while(proc: Path, folder: int) -> None:
    listing = Listing(str(proc), folder)
    assert "1" in set(listing.names([], LISTING_NS))
    assert list(listing.names(["known"], LISTING_NS + 1)) == ["known"]
    (proc / "loadavg").write_text("0.00 0.00 0.00 1/9 101\n")
    assert "1" in set(listing.names(["known"], LISTING_NS + 2))
    assert "1" in set(listing.names(["known"], 2 * LISTING_NS + 2))


def test_the_newest_pid_of_another_namespace_says_nothing(proc: Path, folder: int) -> None:
    (proc / "self" / "status").write_text(OF_A_CONTAINER)
    listing = Listing(str(proc), folder)
    assert "1" in set(listing.names(["known"], 1))
    assert "1" in set(listing.names(["known"], 2))


def test_without_loadavg_it_is_listed_every_time(proc: Path, folder: int) -> None:
    """ProcSubset=pid hides it."""
    (proc / "loadavg").unlink()
    listing = Listing(str(proc), folder)
    assert "1" in set(listing.names(["known"], 1))
    assert "1" in set(listing.names(["known"], 2))


def test_here_the_newest_pid_counts() -> None:
    descriptor = os.open("/proc", os.O_RDONLY)
    try:
        with open("/proc/self/status") as status:
            spaces = next((line.split()[1:] for line in status if line.startswith("NSpid:")), [])
        is_plain = len(spaces) == 1 and os.stat("/proc/loadavg").st_dev == os.stat("/proc").st_dev
        assert Listing("/proc", descriptor)._shows_newest_pid == is_plain
    finally:
        os.close(descriptor)
