import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors import networks as module
from ztopd.collectors.networks import InterfaceCounters, Networks, parse_net_dev_line
from ztopd.collectors.source import ParseError, Roots, Sample, Withheld

Named = Callable[[Sample, str], list[dict[str, Cell]]]

HEADER = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier\n"
)


@pytest.mark.parametrize("separator", [b":", b": ", b":\t"])
def test_a_line_in_its_order(separator: bytes) -> None:
    line = b"  eth0" + separator + b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"
    assert parse_net_dev_line(line) == InterfaceCounters("eth0", 1, 2, 3, 4, 8, 9, 10, 11, 12, 14)


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"eth0:1", "eth0:1"), (b"a|b", "a|b"), (b"\x1b[31m", "\x1b[31m"), (b"\xff\xa0", "\udcff\udca0"), (b"1 ", "1")],
)
def test_odd_names(name: bytes, text: str) -> None:
    assert parse_net_dev_line(name + b":" + b" 7" * 16).interface == text


@pytest.mark.parametrize(
    "line", [b"", b"eth0", b"eth0: 1 2 3", b"eth0:" + b" x" * 16, b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"]
)
def test_a_line_that_is_none_is_named(line: bytes) -> None:
    with pytest.raises(ParseError, match=r"^net/dev: the line"):
        parse_net_dev_line(line)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_line_or_a_parse_error(line: bytes) -> None:
    try:
        assert parse_net_dev_line(line).receive_bytes is not None
    except ParseError:
        pass


def test_every_machine_follows_the_schema(machine: Roots, assert_follows_schema: Callable[[Sample], None]) -> None:
    sample = Networks(machine).collect()
    assert sample.problem is None
    assert ("lo",) in sample.sections["networks"]
    assert_follows_schema(sample)


def test_the_server(roots_of: Callable[[str], Roots], named: Named) -> None:
    by_name = {row["interface"]: row for row in named(Networks(roots_of("server-5.10-192cpu")).collect(), "networks")}
    bond = by_name["bond0"]
    assert (bond["operational_state"], bond["speed_bits_per_second"], bond["mtu_bytes"]) == ("up", 50_000_000_000, 9000)
    assert (bond["receive_bytes"], bond["transmit_drops"]) == (172469135780246, 12)
    assert by_name["lo"]["speed_bits_per_second"] is None


class Machine:
    """One that a test can change, with one interface."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(str(folder / "proc"), str(folder / "sys"))
        self.net = folder / "sys/class/net/eth0"
        self.net.mkdir(parents=True)
        (folder / "proc/self/net").mkdir(parents=True)
        self.dev = folder / "proc/self/net/dev"
        self.say("eth0")

    def say(self, *names: str, received: int = 7, extra: str = "") -> None:
        self.dev.write_text(HEADER + "".join(f"{name}: {received}" + " 7" * 15 + "\n" for name in names) + extra)


@pytest.fixture
def changing(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_file_of_the_process_does_where_proc_net_is_missing(changing: Machine) -> None:
    assert list(Networks(changing.roots).collect().sections["networks"]) == [("eth0",)]


@pytest.mark.parametrize(
    ("said", "bits"),
    [("1000", 1_000_000_000), ("-1", None), ("0", None), ("4294967295", None), ("?", None), (None, None)],
)
def test_speeds_that_are_none(changing: Machine, named: Named, said: str | None, bits: int | None) -> None:
    if said is not None:
        (changing.net / "speed").write_text(f"{said}\n")
    (row,) = named(Networks(changing.roots).collect(), "networks")
    assert row["speed_bits_per_second"] == bits


def test_one_bad_line_loses_itself_only(changing: Machine) -> None:
    changing.say("eth0", extra="eth1: what\n")
    sample = Networks(changing.roots).collect()
    assert list(sample.sections["networks"]) == [("eth0",)]
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert "eth1" in sample.problem.reason


def test_an_interface_at_rest_keeps_its_row(changing: Machine) -> None:
    networks = Networks(changing.roots)
    first = networks.collect().sections["networks"][("eth0",)]
    assert networks.collect().sections["networks"][("eth0",)] is first
    changing.say("eth0", received=8)
    assert networks.collect().sections["networks"][("eth0",)][4] == 8


def test_the_link_is_looked_at_again_in_turn(changing: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (changing.net / "operstate").write_text("up\n")
    networks = Networks(changing.roots)
    networks.collect()
    (changing.net / "operstate").write_text("down\n")
    assert networks.collect().sections["networks"][("eth0",)][1] == "up"
    monkeypatch.setattr(module.time, "clock_gettime_ns", lambda clock: time.monotonic_ns() + (1 << 60))
    assert networks.collect().sections["networks"][("eth0",)][1] == "down"


def test_interfaces_that_come_and_go_leave_nothing_behind(changing: Machine) -> None:
    networks = Networks(changing.roots)
    for number in range(20):
        changing.say("eth0", f"veth{number}")
        assert len(networks.collect().sections["networks"]) == 2
    assert len(networks._facts) == 2


def test_a_kernel_without_network(tmp_path: Path) -> None:
    with pytest.raises(Withheld) as withheld:
        Networks(Roots(str(tmp_path), str(tmp_path))).collect()
    assert withheld.value.problem.state is SourceState.ABSENT


def test_against_psutil(named: Named) -> None:
    """The counters lie between what psutil read before and after; the rest is the same."""
    before = psutil.net_io_counters(pernic=True)
    rows = {row["interface"]: row for row in named(Networks(Roots()).collect(), "networks")}
    after = psutil.net_io_counters(pernic=True)
    facts = psutil.net_if_stats()
    assert set(rows) >= set(before) & set(after)
    for name in set(before) & set(after):
        for column, theirs in (
            ("receive_bytes", "bytes_recv"),
            ("transmit_bytes", "bytes_sent"),
            ("receive_packets", "packets_recv"),
            ("transmit_packets", "packets_sent"),
            ("receive_errors", "errin"),
            ("transmit_drops", "dropout"),
        ):
            assert getattr(before[name], theirs) <= rows[name][column] <= getattr(after[name], theirs)
        if name in facts:
            assert rows[name]["mtu_bytes"] == facts[name].mtu
            assert (rows[name]["speed_bits_per_second"] or 0) == facts[name].speed * 1_000_000
