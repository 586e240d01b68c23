"""``ztopd --check``: what every source gives on this machine with these rights, and what to do about the rest."""

import time

from ztop_protocol.frame import Row
from ztopd.collectors.host import read_boot_id
from ztopd.collectors.source import Roots
from ztopd.sampler.collectors import make_collectors
from ztopd.sampler.reader import Reader
from ztopd.sampler.run import SECOND_SAMPLE_S, raise_descriptor_limit
from ztopd.sampler.tick import Sampler


def check(roots: Roots) -> list[Row]:
    """The rows of the section ``sources`` after two ticks; the second has what the first one only asked for."""
    reader = Reader(roots.proc)
    try:
        sampler = Sampler(make_collectors(roots, reader, raise_descriptor_limit()).every, reader, read_boot_id(roots))
        sampler.sample()
        time.sleep(SECOND_SAMPLE_S)
        return list(sampler.sample().rows("sources").values())
    finally:
        reader.close()
