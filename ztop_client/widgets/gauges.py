"""The lines beside the cores: memory, swap, disks and networks, pressure, tasks, temperature and battery."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from ztop_client.formats import ABSENT, bytes_text, celsius_text, count_text, percent_text, rate_text
from ztop_client.glyphs import Glyphs
from ztop_client.gpu.device import Gpu, warnings
from ztop_client.machine import Battery, Machine, Pressure, Temperature, Traffic, together
from ztop_client.widgets.canvas import Piece, pieces_width
from ztop_client.widgets.meters import Segment, bar, heat, meter
from ztop_protocol.frame import Cell

_WIDE = 60
"""From here on there is room for units and details."""
_SIZE_CELLS = 11
_SOME_WARM, _SOME_HOT = 10.0, 40.0
_FULL_WARM, _FULL_HOT = 5.0, 20.0

_Gauge: TypeAlias = Callable[[Machine, int, Glyphs], list[Piece]]


def gauges(machine: Machine, width: int, glyphs: Glyphs) -> list[list[Piece]]:
    """What matters, one line each, what matters most first. What this machine does not have is left out."""
    lines = [gauge(machine, width, glyphs) for gauge in (_memory, _swap, _gpus, _rates, _pressures, _tasks, _sensors)]
    return [line for line in lines if line]


def details(machine: Machine, glyphs: Glyphs) -> Iterator[list[Piece]]:
    """Every disk and every network by itself, the busiest first, where there is more than one of them."""
    for label, parts in (("Disk", machine.disks), ("Net", machine.networks)):
        if len(parts) > 1:
            busiest = sorted(parts, key=lambda one: -((one.inward or 0.0) + (one.outward or 0.0)))
            for one in busiest:
                yield [("dim", label.ljust(5)), ("text", f"{one.name[:12]:12} "), *_of_traffic(one, True, glyphs)]


def _memory(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    memory = machine.memory
    total = float(memory.total or 0)
    shares = [(style, size / total) for style, size in memory.parts] if total else []
    text = f"{bytes_text(memory.used)}/{bytes_text(memory.total)}"
    legend: list[Piece] = []
    if width >= _WIDE:
        sizes = dict(memory.parts)
        for name in ("shared", "cache", "arc", "buffers"):
            if size := sizes.get(f"memory_{name}"):
                legend += [(f"memory_{name}", f"  {name} "), ("arguments", bytes_text(size))]
    while legend and width - pieces_width(legend, glyphs) < _WIDE // 2 + _SIZE_CELLS:
        del legend[-2:]
    return [*meter("Mem", shares, text, width - pieces_width(legend, glyphs), _SIZE_CELLS, glyphs), *legend]


def _swap(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    swap = machine.swap
    if swap.total == 0:
        room = max(width - _SIZE_CELLS - 5, 1)
        return [("label", "Swp "), *bar((), room, glyphs), ("dim", " " + "none".rjust(_SIZE_CELLS))]
    shares = [("swap_used", swap.used / float(swap.total))] if swap.used is not None and swap.total else []
    packed: list[Piece] = []
    for name, stored, into in swap.compressed:
        packed += [("label", f"  {name} "), ("arguments", f"{bytes_text(stored)}>{bytes_text(into)}")]
    if width - pieces_width(packed, glyphs) < _SIZE_CELLS + 9:
        packed = []
    text = f"{bytes_text(swap.used)}/{bytes_text(swap.total)}"
    return [*meter("Swp", shares, text, width - pieces_width(packed, glyphs), _SIZE_CELLS, glyphs), *packed]


def _gpus(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    """All GPUs together: how busy they are in the mean, their memory, and what is wrong with the worst of them."""
    # a MIG instance's memory is its GPU's
    whole = [gpu for gpu in machine.gpus if gpu["parent_uuid"] is None]
    if not whole:
        return []
    alarms = [(gpu, text) for gpu in machine.gpus for style, text in warnings(gpu) if style == "alarm"]
    if alarms:
        gpu, text = alarms[0]
        return [("label", "GPU "), ("alarm", f" {gpu.label}: {text} ")]
    busy = [value for gpu in whole if (value := gpu.number("gpu_utilization_percent")) is not None]
    mean = sum(busy) / len(busy) if busy else None
    used, total = (_sum_known(whole, f"memory_{name}_bytes") for name in ("used", "total"))
    label = "GPU" if len(whole) == 1 else f"{len(whole)} GPU"
    room = width // 2 - 1
    share: Sequence[Segment] = [("memory_shared", used / total)] if used is not None and total else []
    return [
        *meter(label, () if mean is None else [("cpu_user", mean / 100)], _percent(mean), width - room - 1, 4, glyphs),
        ("text", " "),
        *meter("VRAM", share, f"{bytes_text(used)}/{bytes_text(total)}", room, _SIZE_CELLS, glyphs),
    ]


def _sum_known(gpus: Sequence[Gpu], name: str) -> float | None:
    """The sum; None where one of them does not tell."""
    values = [gpu.number(name) for gpu in gpus]
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.0f}%"


def _rates(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    disks, networks = together("Dsk", machine.disks), together("Net", machine.networks)
    wide = width >= _WIDE
    pieces: list[Piece] = []
    for parts, sum_of in ((machine.disks, disks), (machine.networks, networks)):
        if parts:
            pieces += [*([("text", "   ")] if pieces else []), ("label", f"{sum_of.name} ")]
            pieces += _of_traffic(sum_of, wide, glyphs)
    return pieces


def _of_traffic(traffic: Traffic, wide: bool, glyphs: Glyphs) -> list[Piece]:
    is_disk = traffic.busy is not None or traffic.name == "Dsk"
    signs = ("R", "W") if is_disk else (glyphs.descending, glyphs.ascending)
    pieces: list[Piece] = []
    for sign, value in zip(signs, (traffic.inward, traffic.outward), strict=True):
        text = rate_text(value).rjust(8) if wide else _short_size(value).rjust(5)
        pieces += [*([("text", " ")] if pieces else []), ("dim", sign), ("value" if value else "arguments", text)]
    if wide and is_disk:
        busy = traffic.busy
        style = "dim" if not busy else heat(busy / 100)
        pieces += [(style, ("-" if busy is None else f"{min(busy, 100):.0f}%").rjust(6)), ("dim", " busy")]
    return pieces


def _pressures(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    pieces: list[Piece] = []
    for pressure in machine.pressures:
        name = {"memory": "mem"}.get(pressure.resource, pressure.resource)
        pieces += [("text", "  ") if pieces else ("label", "PSI "), ("dim", f"{name} "), *_pressure(pressure)]
    explained = [*pieces, ("dim", " % of the time in which some/all tasks waited")]
    return explained if pieces and pieces_width(explained, glyphs) <= width else pieces


def _pressure(pressure: Pressure) -> list[Piece]:
    some = (_stall(pressure.some, _SOME_WARM, _SOME_HOT), _short(pressure.some))
    if pressure.resource == "cpu":
        # of a whole machine the kernel gives 0: some task always runs
        return [some, ("text", " " * (3 - len(some[1])))]
    full = (_stall(pressure.full, _FULL_WARM, _FULL_HOT), _short(pressure.full))
    return [some, ("dim", "/"), full, ("text", " " * (6 - len(some[1]) - len(full[1])))]


def _stall(share: float | None, warm: float, hot: float) -> str:
    return "dim" if not share else "hot" if share >= hot else "warm" if share >= warm else "arguments"


def _short_size(value: float | None) -> str:
    """Bytes in four cells, 1000 to 1023 in five: a digit after the point below 10 alone."""
    text = bytes_text(value)
    return f"{float(text[:-1]):.0f}{text[-1]}" if len(text) > 4 and "." in text else text


def _short(share: float | None) -> str:
    """Percent in three cells."""
    if share is None:
        return ABSENT
    return percent_text(share) if round(share, 1) < 10 else f"{share:.0f}"


def _tasks(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    frame = machine.frame
    kernel, total = frame.cell("host", "kernel_threads"), frame.cell("host", "processes_total")
    own = None if total is None or kernel is None else int(total) - int(kernel)
    parts: list[tuple[str, Cell, str]] = [("value", own, ""), ("value", frame.cell("host", "threads_total"), " thr")]
    for label in ("running", "blocked", "stopped", "zombie"):
        value = frame.cell("host", f"processes_{label}")
        if value or label == "running":
            parts.append((label if value else "dim", value, f" {label}"))
    parts.append(("value", kernel, " kernel"))
    pieces: list[Piece] = []
    for style, value, label in parts:
        pieces += [("label", ", " if pieces else "Tasks "), (style, count_text(value)), ("label", label)]
    while pieces_width(pieces, glyphs) > width and len(pieces) > 3:
        del pieces[-3:]
    return pieces


def _sensors(machine: Machine, width: int, glyphs: Glyphs) -> list[Piece]:
    pieces: list[Piece] = []
    if machine.temperature is not None:
        pieces += _temperature(machine.temperature, width >= _WIDE, glyphs)
    if machine.battery is not None:
        pieces += [*([("text", "   ")] if pieces else []), *_battery(machine.battery)]
    return pieces


def _temperature(temperature: Temperature, wide: bool, glyphs: Glyphs) -> list[Piece]:
    high = 85.0 if temperature.high is None else temperature.high
    style = "hot" if temperature.celsius >= high else "warm" if temperature.celsius >= high - 15 else "value"
    degrees = "C" if glyphs.ascii_only else "°C"
    name: Sequence[Piece] = [("dim", f" {temperature.name[:20]}")] if wide else []
    return [("label", "Temp "), (style, celsius_text(temperature.celsius)), ("label", degrees), *name]


def _battery(battery: Battery) -> list[Piece]:
    low = battery.discharging
    style = "hot" if low and battery.percent <= 10 else "warm" if low and battery.percent <= 25 else "value"
    sign = "+" if battery.charging else "-" if battery.discharging else ""
    watts = "" if battery.watts is None or not sign else f"{battery.watts:.1f}W"
    flow: Sequence[Piece] = [("running" if battery.charging else "dim", f" {sign}{watts}")] if sign else []
    return [("label", "Bat "), (style, f"{battery.percent:.0f}%"), *flow]
