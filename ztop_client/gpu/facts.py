"""What a GPU told of itself, in groups of a few words each. Pure."""

from collections.abc import Iterator
from typing import TypeAlias

from ztop_client.formats import ABSENT, celsius_text, count_text, gigahertz_text, label_text, percent_text, rate_text
from ztop_client.glyphs import Glyphs
from ztop_client.gpu.device import MEBIBYTE, Gpu
from ztop_protocol.frame import Cell

Group: TypeAlias = list[tuple[str, str]]
"""The names of styles, and texts."""
_NEAR_CELSIUS = 5


def velocity_text(gpu: Gpu) -> str | None:
    """How its memory grows, with a sign and a unit; None where that is not known, or it does not."""
    value = gpu.number("vram_velocity_bytes_per_second")
    return None if not value else f"{'▲' if value > 0 else '▼'} {abs(value) / MEBIBYTE:.1f} MiB/s"


def groups(gpu: Gpu, glyphs: Glyphs) -> Iterator[Group]:
    """All that it told, what matters most first. What the card does not have is left out."""
    if (grows := velocity_text(gpu)) is not None:
        is_growth = (gpu.number("vram_velocity_bytes_per_second") or 0) > 0
        yield [("label", "VRAM "), ("warm" if is_growth else "value", grows)]
    if (degrees := temperature(gpu, glyphs)) and (limits := _limits(gpu)):
        yield [*degrees, ("dim", limits)]
    if (memory := gpu["memory_temperature_celsius"]) is not None:
        yield [("label", "mem "), ("value", celsius_text(memory)), ("label", _degrees(glyphs))]
    if drawn := power(gpu):
        yield drawn
    for label, name in (("SM ", "sm_clock"), ("mem ", "memory_clock")):
        if (clock := gpu[f"{name}_hertz"]) is not None:
            most = gpu[f"{name}_maximum_hertz"]
            of = "" if most is None else f"/{gigahertz_text(most)}"
            yield [("label", label), ("value", gigahertz_text(clock)), ("dim", f"{of}GHz")]
    if state := performance(gpu):
        yield state
    if (fan := gpu["fan_percent"]) is not None:
        yield [("label", "fan "), ("value", f"{whole_percent(fan)}")]
    yield from _links(gpu, glyphs)
    for label, name in (("SM act ", "sm_activity_percent"), ("tensor ", "tensor_activity_percent")):
        if (value := gpu[name]) is not None:
            yield [("label", label), ("value", f"{percent_text(value)}%")]
    if corrected := gpu.number("ecc_volatile_corrected_errors"):
        yield [("label", "ECC "), ("value", f"{count_text(corrected)} corrected")]
    if gpu["mig_enabled"]:
        yield [("label", "MIG "), ("value", "on")]


def _links(gpu: Gpu, glyphs: Glyphs) -> Iterator[Group]:
    if (generation := gpu["pcie_generation"]) is not None:
        times = "x" if glyphs.ascii_only else "×"
        pieces: Group = [
            ("label", "PCIe "), ("value", f"{label_text(generation)}{times}{label_text(gpu['pcie_width'])}"),
        ]  # fmt: skip
        yield [
            *pieces,
            *_flow(gpu["pcie_receive_bytes_per_second"], gpu["pcie_transmit_bytes_per_second"], glyphs),
        ]
    received, sent = (gpu.rate(f"nvlink_{way}_bytes_per_second") for way in ("receive", "transmit"))
    if received is not None or sent is not None:
        yield [("label", "NVLink"), *_flow(received, sent, glyphs)]


def _flow(inward: Cell, outward: Cell, glyphs: Glyphs) -> Group:
    if inward is None and outward is None:
        return []
    return [
        ("dim", f" {glyphs.descending}"), ("value", rate_text(inward)),
        ("dim", f" {glyphs.ascending}"), ("value", rate_text(outward)),
    ]  # fmt: skip


def temperature(gpu: Gpu, glyphs: Glyphs, unit: str | None = None) -> Group:
    """Its temperature, in the colour of its limits; None: with the usual unit."""
    celsius = gpu.number("temperature_celsius")
    if celsius is None:
        return []
    slow, most = gpu.number("temperature_slowdown_celsius"), gpu.number("temperature_maximum_celsius")
    style = "value"
    if slow is not None and celsius >= slow:
        style = "hot"
    elif (limit := most if most is not None else slow) is not None and celsius >= limit - _NEAR_CELSIUS:
        style = "warm"
    return [(style, celsius_text(celsius)), ("label", _degrees(glyphs) if unit is None else unit)]


def _degrees(glyphs: Glyphs) -> str:
    return "C" if glyphs.ascii_only else "°C"


def _limits(gpu: Gpu) -> str:
    """The temperatures at which it slows down and switches itself off."""
    known = [
        f"{word} {celsius_text(value)}"
        for word, name in (("slows at", "slowdown"), ("off at", "shutdown"))
        if (value := gpu[f"temperature_{name}_celsius"]) is not None
    ]
    return f" ({', '.join(known)})" if known else ""


def power(gpu: Gpu) -> Group:
    """Watts, of its limit."""
    now, limit = gpu.number("power_milliwatts"), gpu.number("power_limit_milliwatts")
    if now is None:
        return []
    of = "" if limit is None else f"/{limit / 1000:.0f}"
    return [("value", f"{now / 1000:.0f}"), ("label", f"{of}W")]


def performance(gpu: Gpu) -> Group:
    """The performance state; P0 is the fastest."""
    state = gpu["performance_state"]
    return [] if state is None else [("label", f"P{state}")]


def whole_percent(value: Cell) -> str:
    """Percent with its sign, without decimals."""
    return ABSENT if value is None or isinstance(value, str) else f"{float(value):.0f}%"
