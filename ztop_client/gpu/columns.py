"""The columns of ``ztop-g``."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ztop_client.columns.column import Align, Attribute, Column, ProcessTable, Tab, Value, cell, gpu_use, tab
from ztop_client.columns.gpus import heat, size
from ztop_client.columns.processes import main_columns
from ztop_client.formats import bytes_text, label_text, percent_text, seconds_text
from ztop_client.gpu.device import MEBIBYTE, SOON_SECONDS
from ztop_protocol.frame import Cell, Key, Section
from ztop_protocol.on_gpus import gpu_places, place_text
from ztop_protocol.schema import GPU_PROCESSES, GPUS

SECTIONS = frozenset({"processes", "gpus", "gpu_processes"})
_ETA, _VRAM_LOW = GPU_PROCESSES.position["oom_eta_seconds"], GPUS.position["vram_low"]
_TYPES = {"compute": "C", "graphics": "G", "both": "C+G", "mps": "MPS"}


def tabs(own_user: str = "") -> tuple[Tab, ...]:
    """What the key Tab switches between in ``ztop-g``."""
    return (
        tab("GPU", memory_columns(own_user), "vram_bytes"),
        tab("Engines", engine_columns(own_user), "sm_utilization_percent"),
    )


def memory_columns(own_user: str = "") -> tuple[Column, ...]:
    """The tab GPU: who has the memory, who grows, and what they use of the host."""
    host = {column.name: column for column in main_columns(own_user)}
    return (
        *_who(host),
        _utilization("sm", "SM%", "multiprocessors in use, 100 is the whole GPU"),
        _of("vram_bytes", "VRAM", 5, bytes_text, size, "GPU memory that it holds"),
        _of("vram_velocity_bytes_per_second", "▲MiB/s", 7, _velocity_text, _velocity, "growth of that, in MiB/s"),
        _column("vram_low", "!", 1, vram_low, lambda stands: "!" if stands else "",
                lambda stands: "alarm" if stands else "dim", "ztopd warns: it grows, and GPU memory is soon full"),
        replace(_of("oom_eta_seconds", "FULL", 6, seconds_text, eta_attribute, "time until the GPU's memory is full, "
                    "where it grows", descending=False), mark=_eta_mark),
        host["cpu_percent"],
        host["rss_bytes"],
        _column("vram_percent", "VRAM%", 5, gpu_use("vram_percent"), percent_text, heat(50, 90), "of the GPU's memory"),
        _of("oom_share_percent", "PART%", 5, percent_text, _plain, "its part of the growth of all that grow there"),
        host["command_line"],
    )  # fmt: skip


def engine_columns(own_user: str = "") -> tuple[Column, ...]:
    """The tab Engines: which parts of the GPU a process keeps busy."""
    host = {column.name: column for column in main_columns(own_user)}
    return (
        *_who(host),
        _utilization("sm", "SM%", "multiprocessors in use, 100 is the whole GPU"),
        _utilization("memory", "MEM%", "share of the time in which GPU memory was read or written"),
        _utilization("encoder", "ENC%", "video encoder"),
        _utilization("decoder", "DEC%", "video decoder"),
        _of("vram_bytes", "VRAM", 5, bytes_text, size, "GPU memory that it holds"),
        host["cpu_percent"],
        host["command_line"],
    )


def _plain(_value: Cell) -> str:
    return "text"


def _velocity_text(value: Cell) -> str:
    return percent_text(None if value is None or isinstance(value, str) else float(value) / MEBIBYTE)


def _velocity(value: Cell) -> str:
    return "dim" if not value else "warm" if float(value) > 0 else "text"


def eta_attribute(value: Cell) -> str:
    """The style of a time until memory is full, where no warning stands."""
    if value is None or isinstance(value, str):
        return "dim"
    return "warm" if float(value) < SOON_SECONDS else "text"


def vram_low(table: ProcessTable, key: Key) -> Cell:
    """Whether ztopd's warning of the row's GPU stands, and the process is one that grows there."""
    gpu, eta = table.rows["gpus"].get((key[0],)), table.rows["gpu_processes"][key][_ETA]
    stands = None if gpu is None else gpu[_VRAM_LOW]
    return stands and eta is not None if isinstance(stands, bool) else None


def _eta_mark(table: ProcessTable, key: Key) -> str | None:
    return "alarm" if vram_low(table, key) else None


def _column(
    name: str, title: str, width: int, value: Value, form: Callable[[Cell], str], attribute: Attribute, text: str,
    *, align: Align = Align.RIGHT, descending: bool = True,
) -> Column:  # fmt: skip
    return Column(name, title, width, align, value, form, attribute, descending, SECTIONS, text)


def _of(
    name: str, title: str, width: int, form: Callable[[Cell], str], attribute: Attribute, text: str,
    *, align: Align = Align.RIGHT, descending: bool = True,
) -> Column:  # fmt: skip
    value = cell("gpu_processes", name)
    return _column(name, title, width, value, form, attribute, text, align=align, descending=descending)


def _utilization(of: str, title: str, text: str) -> Column:
    return _of(f"{of}_utilization_percent", title, 5, percent_text, heat(50, 101), text)


def _who(host: Mapping[str, Column]) -> tuple[Column, ...]:
    return (
        _column("gpu_index", "GPU", 4, _gpu_place, place_text, lambda _: "pid", "index of the GPU; 0.1: of a "
                "MIG instance", descending=False),
        host["pid"],
        host["user"],
        _of("type", "TYP", 3, lambda value: _TYPES.get(str(value), label_text(value)), lambda _: "dim",
            "C: computes, G: graphics, MPS: through the multi-process service", align=Align.LEFT, descending=False),
    )  # fmt: skip


class _GpuPlace:
    """Where a row's GPU stands among them; looked up once for each section ``gpus``."""

    def __init__(self) -> None:
        self._section: Section | None = None
        self._places: Mapping[Key, int] = {}

    def __call__(self, table: ProcessTable, key: Key) -> Cell:
        section = table.frame.sections.get("gpus")
        if section is not self._section:
            self._section, self._places = section, gpu_places(table.frame)
        return self._places.get((key[0],))


_gpu_place = _GpuPlace()
