"""Why there are dashes where numbers are wanted: what the section ``sources`` says of it, in a sentence."""

from collections.abc import Callable, Collection, Mapping

from ztop_client.columns.column import ProcessTable, rate
from ztop_protocol.frame import Frame, Key, Row
from ztop_protocol.schema import PROCESSES, SOURCES, SourceState

_STATE, _REASON, _FIX = (SOURCES.position[name] for name in ("state", "reason", "fix"))
_OWNER = PROCESSES.position["owner_uid"]
_cpu_percent = rate("processes", "cpu_percent")


def counters_problem(frame: Frame) -> str | None:
    """Why hardware counters are missing, or some are, and what to do about it.

    None where nothing is to be said, and where the frame lacks the section that says it.
    """
    if "sources" not in frame.sections:
        return None
    row = frame.rows("sources").get(("counters",))
    if row is None:
        return "Counters N/A: this ztopd reads none."
    reason, fix = row[_REASON], row[_FIX]
    if reason is None:
        return None
    is_absent = row[_STATE] == SourceState.ABSENT or "process_counters" not in frame.sections
    return f"Counters{' N/A' if is_absent else ''}: {reason}{'' if fix is None else f'. Fix: {fix}'}"


_WHAT: Mapping[str, tuple[str, str]] = {"process_counters": ("counters", "counters"), "gpus": ("GPU", "gpus")}
"""A section that many machines have nothing in -> what is in it, and the source that says why not."""


def asked_for(sections: Collection[str]) -> frozenset[str]:
    """Those of these sections that many machines have nothing in."""
    return frozenset(_WHAT.keys() & sections)


def lack(frame: Frame, section: str, where: str = "here") -> str | None:
    """That the frame has nothing in a section of :func:`asked_for`, and why: ``no GPU here (…)``."""
    if frame.rows(section) or "sources" not in frame.sections:
        return None
    what, source = _WHAT[section]
    row = frame.rows("sources").get((source,))
    reason = None if row is None else row[_REASON]
    return f"no {what} {where}{'' if reason is None else f' ({reason})'}"


def counters_sentence(table: ProcessTable) -> str | None:
    """The same, or that counters are there and not for everyone to see."""
    problem = counters_problem(table.frame)
    if problem is not None:
        return problem
    processes, counted = table.frame.rows("processes"), table.frame.rows("process_counters")
    seen = {_owner(processes, key) for key in counted}
    for key in processes:
        if key not in counted and _owner(processes, key) not in seen and _cpu_percent(table, key):
            return "Dashes: ztopd shows the counters of a process to its user and to root alone."
    return None


def _owner(processes: Mapping[Key, Row], key: Key) -> object:
    row = processes.get(key)
    return None if row is None else row[_OWNER]


def io_sentence(table: ProcessTable) -> str | None:
    """That I/O is there and not for everyone to see."""
    shown = table.rows["process_io"]
    if not shown or all(key in shown for key in table.frame.rows("processes")):
        return None
    return "Dashes: the kernel shows what a process reads and writes to its user and to root alone."


_SENTENCES: Mapping[str, tuple[str, Callable[[ProcessTable], str | None]]] = {
    "process_io": ("process_io", io_sentence),
    "process_counters": ("sources", counters_sentence),
}
"""The section that a view is drawn from -> the one without which it is not known yet, and the sentence."""


class Dashes:
    """Says why there are some, once of each kind, as soon as a frame has what it takes to know."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def sentence(self, table: ProcessTable, sections: Collection[str]) -> str | None:
        """What is to be said of a view that is drawn from these sections, if anything is."""
        for name, (known_by, sentence) in _SENTENCES.items():
            if name in sections and known_by in table.frame.sections and name not in self._known:
                self._known.add(name)
                if found := sentence(table):
                    return found
        return None
