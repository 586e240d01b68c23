"""``ztopd --check``: what every source gives on this machine with these rights, and what to do about the rest."""

import os
import time

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.host import read_boot_id
from ztopd.collectors.source import Problem
from ztopd.configuration import Configuration, HistoryConfiguration
from ztopd.history.state import StoreState, problem_of
from ztopd.history.store_file import StoreUnusable, check_directory
from ztopd.sampler.collectors import make_collectors
from ztopd.sampler.reader import Reader
from ztopd.sampler.run import SECOND_SAMPLE_S, raise_descriptor_limit
from ztopd.sampler.tick import Sampler
from ztopd.service import Service, ask_service
from ztopd.store_path import SYSTEM_DIRECTORY, store_directory


def check(configuration: Configuration) -> list[Row]:
    """The rows of the section ``sources`` after two ticks; the second has what the first one only asked for.

    Beside them what the service of this machine says, where there is one.
    """
    service = ask_service()
    roots = configuration.roots
    reader = Reader(roots.proc)
    try:
        collectors = make_collectors(roots, reader, raise_descriptor_limit(), configuration.counters, configuration.gpu)
        sampler = Sampler(collectors.every, reader, read_boot_id(roots))
        sampler.note_store(_of_store(configuration.history, service))
        if service is not None:
            sampler.note_service(service.as_source())
        sampler.sample()
        time.sleep(SECOND_SAMPLE_S)
        return list(sampler.sample().rows("sources").values())
    finally:
        reader.close()


def _of_store(history: HistoryConfiguration, service: Service | None) -> Problem | None:
    """Where the store would be, or why it cannot be there; nothing is made."""
    directory = store_directory(history.store, os.environ)
    if directory is None:
        return problem_of(StoreState.OFF)
    if directory == SYSTEM_DIRECTORY and service is not None and service.store_bytes is not None:
        return Problem(SourceState.OK, f"in {directory}: the service has it, {service.store_bytes >> 20} MiB")
    try:
        if os.path.lexists(directory):
            check_directory(directory)
        elif not os.access(os.path.dirname(directory), os.W_OK | os.X_OK):
            raise StoreUnusable(StoreState.CANNOT_OPEN, f"the directory {directory} is not there and cannot be made")
    except StoreUnusable as error:
        return Problem(SourceState.DEGRADED, str(error), "--store DIR, or off")
    except OSError as error:
        return Problem(SourceState.DEGRADED, f"{directory}: {error.strerror}", "--store DIR, or off")
    return Problem(SourceState.OK, f"in {directory}: {history.age_days:g} days, at most {history.size_mebibytes} MiB")
