import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors import sensors as module
from ztopd.collectors.sensors import DEAR_PERIOD_NS, PERIOD_NS, Kind, Sensors, input_files, parse_celsius
from ztopd.collectors.source import Roots, Sample, Withheld

Named = Callable[[Sample, str], list[dict[str, Cell]]]


class Folder:
    """A /sys that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.roots = Roots("/nonexistent", str(path))

    def add(self, folder: str, **files: object) -> None:
        for name, content in files.items():
            path = self.path / "class" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    def refuse(self, file: str) -> None:
        """A file whose reading fails, as with EIO: a folder in its place."""
        path = self.path / "class" / file
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)


@pytest.fixture
def sys(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _by_channel(rows: list[dict[str, Cell]]) -> dict[tuple[Cell, Cell], dict[str, Cell]]:
    return {(row["device"], row["channel"]): row for row in rows}


@pytest.mark.parametrize(
    ("data", "celsius"),
    [(b"52000\n", 52.0), (b"-5500\n", -5.5), (b"0\n", 0.0), (b"", None), (b"N/A\n", None), (b"-274000\n", None)],
)
def test_celsius(data: bytes, celsius: float | None) -> None:
    assert parse_celsius(data) == celsius


@given(st.binary(max_size=20))
def test_any_bytes_are_a_temperature_or_none(data: bytes) -> None:
    celsius = parse_celsius(data)
    assert celsius is None or -273.15 <= celsius <= 1000


def test_input_files_in_the_order_of_a_chip() -> None:
    names = [
        "temp10_input",
        "temp2_input",
        "temp2_max",
        "name",
        "fan1_input",
        "in0_input",
        "temp2_input_x",
        "tempx_input",
    ]
    assert list(input_files(names)) == ["fan1", "in0", "temp2", "temp10"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_average_counts_where_nothing_momentary_is_there(order: int) -> None:
    names = ["power1_input", "power1_average", "power2_average", "temp1_average"][::order]
    assert input_files(names) == {"power1": (Kind.POWER, "power1_input"), "power2": (Kind.POWER, "power2_average")}


@pytest.mark.parametrize("name", ["server-5.10-192cpu", "laptop-6.8-hybrid", "ancient-4.4"])
def test_every_machine_that_has_some(
    roots_of: Callable[[str], Roots], name: str, assert_follows_schema: Callable[[Sample], None]
) -> None:
    sample = Sensors(roots_of(name)).collect()
    assert sample.problem is None
    assert sample.sections["sensors"]
    assert_follows_schema(sample)


def test_the_server(roots_of: Callable[[str], Roots], named: Named) -> None:
    rows = named(Sensors(roots_of("server-5.10-192cpu")).collect(), "sensors")
    channels = _by_channel(rows)
    package = channels["hwmon3", "temp1"]
    assert (package["chip"], package["label"], package["temperature_celsius"]) == ("coretemp", "Package id 3", 55.0)
    assert (package["high_temperature_celsius"], package["critical_temperature_celsius"]) == (83.0, 93.0)
    # the drive says 65535 K, which means that there is no limit
    assert channels["hwmon4", "temp2"]["high_temperature_celsius"] is None
    assert channels["hwmon10", "power1"]["power_milliwatts"] == 412_000
    assert rows[-1]["device"] == "hwmon10"


def test_the_laptop(roots_of: Callable[[str], Roots], named: Named) -> None:
    channels = _by_channel(named(Sensors(roots_of("laptop-6.8-hybrid")).collect(), "sensors"))
    battery = channels["BAT0", "battery"]
    assert (battery["battery_percent"], battery["battery_status"]) == (74, "Discharging")
    assert (battery["power_milliwatts"], battery["voltage_millivolts"]) == (9841, 15912)
    assert battery["battery_energy_milliwatt_hours"] == 38709
    assert battery["battery_full_energy_milliwatt_hours"] == 52310
    assert channels["AC", "mains"]["battery_status"] == "offline"
    assert channels["hidpp_battery_0", "battery"]["label"] == "MX Master 3"
    assert channels["hidpp_battery_0", "battery"]["battery_energy_milliwatt_hours"] is None
    assert channels["hwmon4", "fan1"]["fan_rpm"] == 2871
    assert channels["hwmon2", "in0"]["voltage_millivolts"] == 15912
    devices = {device for device, _ in channels}
    assert "ucsi-source-psy-USBC000:001" not in devices
    # hwmon knows temperatures: the zones would say the same again
    assert "thermal_zone0" not in devices


def test_an_old_driver_keeps_its_files_at_the_device(roots_of: Callable[[str], Roots], named: Named) -> None:
    channels = _by_channel(named(Sensors(roots_of("ancient-4.4")).collect(), "sensors"))
    assert channels["hwmon0", "temp1"]["chip"] == "w83627dhg"
    assert channels["hwmon0", "temp1"]["temperature_celsius"] == 37.0


def test_thermal_zones_where_hwmon_has_no_temperature(sys: Folder, named: Named) -> None:
    sys.add("hwmon/hwmon0", name="fans", fan1_input=1200)
    sys.add("thermal/thermal_zone0", type="cpu-thermal", temp=48300, trip_point_0_type="passive", trip_point_0_temp=1)
    sys.add("thermal/thermal_zone0", trip_point_1_type="hot", trip_point_1_temp=85000)
    sys.add("thermal/thermal_zone0", trip_point_2_type="critical", trip_point_2_temp=95000)
    sys.add("thermal/cooling_device0", type="Fan", cur_state=1)
    channels = _by_channel(named(Sensors(sys.roots).collect(), "sensors"))
    assert set(channels) == {("hwmon0", "fan1"), ("thermal_zone0", "temp")}
    zone = channels["thermal_zone0", "temp"]
    assert (zone["chip"], zone["temperature_celsius"]) == ("cpu-thermal", 48.3)
    assert (zone["high_temperature_celsius"], zone["critical_temperature_celsius"]) == (85.0, 95.0)


def test_a_battery_that_counts_charge(sys: Folder, named: Named) -> None:
    sys.add("power_supply/BAT1", type="Battery", status="Charging", charge_now=2_000_000, charge_full=4_000_000)
    sys.add("power_supply/BAT1", voltage_now=12_000_000, current_now=-1_500_000)
    (row,) = named(Sensors(sys.roots).collect(), "sensors")
    assert row["battery_energy_milliwatt_hours"] == 24_000
    assert row["battery_full_energy_milliwatt_hours"] == 48_000
    assert (row["power_milliwatts"], row["current_milliamperes"]) == (18_000, 1_500)
    assert row["battery_percent"] == 50


@pytest.mark.parametrize("kind", ["Mains", "USB", "Wireless"])
def test_the_mains(sys: Folder, named: Named, kind: str) -> None:
    sys.add("power_supply/AC", type=kind, online=1)
    (row,) = named(Sensors(sys.roots).collect(), "sensors")
    assert (row["channel"], row["battery_status"], row["battery_percent"]) == ("mains", "online", None)


def test_a_channel_that_refuses_is_none_and_the_others_live(sys: Folder, named: Named) -> None:
    sys.add("hwmon/hwmon0", name="chip", temp2_input=40000, fan1_input=900, power1_input="broken", temp3_crit=1)
    sys.add("power_supply/BAT0", type="Battery", capacity=80)
    sys.refuse("hwmon/hwmon0/temp1_input")
    sys.refuse("hwmon/hwmon0/temp2_label")
    sys.refuse("power_supply/BAT0/status")
    sample = Sensors(sys.roots).collect()
    channels = _by_channel(named(sample, "sensors"))
    assert channels["hwmon0", "temp1"]["temperature_celsius"] is None
    assert channels["hwmon0", "temp2"]["temperature_celsius"] == 40.0
    assert channels["hwmon0", "temp2"]["label"] is None
    assert channels["hwmon0", "power1"]["power_milliwatts"] is None
    assert channels["hwmon0", "fan1"]["fan_rpm"] == 900
    assert (channels["BAT0", "battery"]["battery_percent"], channels["BAT0", "battery"]["battery_status"]) == (80, None)


def test_values_are_read_every_time_and_devices_looked_up_seldom(
    sys: Folder, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.add("hwmon/hwmon0", name="chip", temp1_input=40000)
    sensors = Sensors(sys.roots)
    sensors.collect()
    sys.add("hwmon/hwmon0", temp1_input=41000)
    sys.add("hwmon/hwmon1", name="new", temp1_input=30000)
    (row,) = named(sensors.collect(), "sensors")
    assert row["temperature_celsius"] == 41.0
    monkeypatch.setattr(module, "LISTING_NS", 0)
    assert len(sensors.collect().sections["sensors"]) == 2


def test_what_takes_long_is_done_seldom(sys: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.add("hwmon/hwmon0", name="chip", temp1_input=40000)
    sensors = Sensors(sys.roots)
    assert sensors.period_ns == PERIOD_NS
    monkeypatch.setattr(module, "DEAR_NS", -1)
    sensors.collect()
    assert sensors.period_ns == DEAR_PERIOD_NS
    monkeypatch.setattr(module, "DEAR_NS", 10_000_000_000)
    sensors.collect()
    assert sensors.period_ns == PERIOD_NS


def test_a_machine_without_any(sys: Folder) -> None:
    sensors = Sensors(sys.roots)
    for _ in range(2):
        with pytest.raises(Withheld) as withheld:
            sensors.collect()
        assert withheld.value.problem.state is SourceState.ABSENT
        assert "no hwmon, thermal or power_supply devices" in withheld.value.problem.reason


def test_the_rows_of_the_last_one_go_with_it(sys: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.add("power_supply/ups", type="UPS", capacity=90)
    sensors = Sensors(sys.roots)
    assert len(sensors.collect().sections["sensors"]) == 1
    shutil.rmtree(sys.path / "class")
    monkeypatch.setattr(module, "LISTING_NS", 0)
    sample = sensors.collect()
    assert sample.sections["sensors"] == {}
    assert sample.problem is not None
    assert sample.problem.state is SourceState.ABSENT


def test_the_captured_machine_has_none(roots_of: Callable[[str], Roots]) -> None:
    with pytest.raises(Withheld):
        Sensors(roots_of("vm-6.18-2cpu")).collect()
