"""The parsers of /proc/PID/stat, status, io and cgroup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztopd.collectors.process_stat import PAGE_BYTES, TICK_NS, parse_stat, tty_name
from ztopd.collectors.process_status import parse_cgroup, parse_io, parse_status
from ztopd.collectors.source import ParseError

FIELDS = (
    b"S 1 100 101 34817 102 4194560 1000 0 7 0 250 120 0 0 20 -5 3 0 4242 409600 99 18446744073709551615 "
    b"1 1 0 0 0 0 0 4096 1256 0 0 0 17 1 42 2 9 0 0 0 0 0 0 0 0 0 0"
)


def stat_line(comm: bytes) -> bytes:
    return b"77 (" + comm + b") " + FIELDS + b"\n"


def test_stat_in_the_schemas_units() -> None:
    stat = parse_stat(stat_line(b"postgres"))
    assert (stat.comm, stat.state, stat.ppid, stat.process_group, stat.session) == ("postgres", "S", 1, 100, 101)
    assert stat.tty == "pts/1"
    assert (stat.minor_faults, stat.major_faults) == (1000, 7)
    assert (stat.user_time_ns, stat.system_time_ns) == (250 * TICK_NS, 120 * TICK_NS)
    assert (stat.priority, stat.nice, stat.threads) == (20, -5, 3)
    assert stat.start_boottime_ns == 4242 * TICK_NS
    assert (stat.virtual_bytes, stat.rss_bytes) == (409600, 99 * PAGE_BYTES)
    assert (stat.last_cpu, stat.realtime_priority, stat.policy) == (1, 42, "rr")
    assert stat.block_io_delay_ns == 9 * TICK_NS
    assert not stat.kernel_thread


@pytest.mark.parametrize(
    "comm",
    [b") S 1 (", b"a b", b"a\nb", b"\x1b]52;c;aGk=\x07", b"\xff\xfe\x80" * 5, b"", b"((", b"))"],
)
def test_the_name_may_be_anything(comm: bytes) -> None:
    stat = parse_stat(stat_line(comm))
    assert stat.comm.encode("utf-8", "surrogateescape") == comm
    assert (stat.state, stat.ppid) == ("S", 1)


@given(st.binary(max_size=15))
def test_no_name_breaks_the_line(comm: bytes) -> None:
    stat = parse_stat(stat_line(comm))
    assert stat.comm.encode("utf-8", "surrogateescape") == comm
    assert stat.last_cpu == 1


@given(st.binary(max_size=200))
def test_garbage_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_stat(data)


def test_an_old_kernel_has_fewer_fields() -> None:
    stat = parse_stat(b"77 (init) " + b" ".join(FIELDS.split()[:37]))
    assert (stat.realtime_priority, stat.policy, stat.block_io_delay_ns) == (0, None, None)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, None),
        (34816, "pts/0"),
        (35072, "pts/256"),
        (1025, "tty1"),
        (1088, "ttyS0"),
        (1281, "console"),
        (999, "3:231"),
    ],
)
def test_tty_names(number: int, name: str | None) -> None:
    assert tty_name(number) == name


STATUS = b"""Name:\tcat\\n
Umask:\t0022
State:\tR (running)
Tgid:\t10
Uid:\t1000\t0\t1000\t1000
NSpid:\t4711\t10
VmSwap:\t      12 kB
RssFile:\t    100 kB
RssShmem:\t       4 kB
voluntary_ctxt_switches:\t5
nonvoluntary_ctxt_switches:\t6
"""


def test_status() -> None:
    status = parse_status(STATUS)
    assert (status.uid, status.effective_uid) == (1000, 0)
    assert (status.shared_bytes, status.swap_bytes) == (104 << 10, 12 << 10)
    assert (status.voluntary_context_switches, status.involuntary_context_switches) == (5, 6)
    assert status.namespace_pid == 10


def test_a_kernel_thread_has_no_memory() -> None:
    status = parse_status(b"Name:\tkthreadd\nUid:\t0\t0\t0\t0\nNSpid:\t2\nvoluntary_ctxt_switches:\t5\n")
    assert (status.shared_bytes, status.swap_bytes, status.namespace_pid) == (None, None, None)
    assert (status.voluntary_context_switches, status.involuntary_context_switches) == (5, None)


@pytest.mark.parametrize("data", [b"", b"Name:\tx\n", b"Name:\tx\nUid:\t1\t2\n", b"Name:\tx\nUid:\ta\tb\tc\td\n"])
def test_status_without_its_uids_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_status(data)


def test_io() -> None:
    data = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"
    assert parse_io(data) == (5, 6, 7, 1, 2, 3, 4)
    # in whatever order, and with whatever else
    assert parse_io(b"other: 9\n" + b"".join(sorted(data.splitlines(keepends=True)))) == (5, 6, 7, 1, 2, 3, 4)
    with pytest.raises(ParseError):
        parse_io(data[:-30])
    # more digits than Python reads
    with pytest.raises(ParseError):
        parse_io(data.replace(b" ", b" " + b"9" * 5000))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"0::/system.slice/cron.service\n", "/system.slice/cron.service"),
        (b"1:name=systemd:/user.slice\n0::/\n", "/user.slice"),
        (b"5:memory:/m\n4:cpu,cpuacct:/c\n", "/c"),
        (b"5:memory:/m\n0::/\n", "/m"),
        (b"0::/\n", "/"),
        (b"0::/a:b\xff\n", "/a:b\udcff"),
        (b"", None),
    ],
)
def test_cgroup(data: bytes, path: str | None) -> None:
    assert parse_cgroup(data) == path
