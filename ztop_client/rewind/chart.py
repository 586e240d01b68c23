"""What the strip of rewind can show."""

from enum import Enum


class Chart(Enum):
    """What the curve is of: its name on the screen, and the columns of ``series`` of which the greatest is drawn."""

    CPU = ("CPU", ("cpu_max_percent", "cpu_percent"))
    MEMORY = ("Mem", ("memory_percent",))
    SWAP = ("Swp", ("swap_percent",))
    PRESSURE = ("PSI", ("cpu_pressure_percent", "memory_pressure_percent", "io_pressure_percent"))
    DISK = ("Dsk", ("disk_bytes_per_second",))
    NETWORK = ("Net", ("network_bytes_per_second",))
    GPU = ("GPU", ("gpu_percent",))

    def __init__(self, title: str, columns: tuple[str, ...]) -> None:
        self.title = title
        self.columns = columns
