"""Why there are dashes where numbers are wanted: what the section ``sources`` says of it, in a sentence."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ztop_client.access import Access
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
    if row[_REASON] is None:
        return None
    is_absent = row[_STATE] == SourceState.ABSENT or "process_counters" not in frame.sections
    return f"Counters{' N/A' if is_absent else ''}: {_reason_and_fix(row)}"


def io_problem(frame: Frame) -> str | None:
    """Why ztopd itself does not see what some processes read and write; None where it does, or it is not known."""
    row = frame.rows("sources").get(("process_io",))
    return None if row is None or row[_REASON] is None else _reason_and_fix(row)


def _reason_and_fix(row: Row) -> str:
    return f"{row[_REASON]}{'' if row[_FIX] is None else f'. Fix: {row[_FIX]}'}"


_WHAT: Mapping[str, tuple[str, str]] = {"process_counters": ("counters", "counters"), "gpus": ("GPU", "gpus")}
"""A section that many machines have nothing in -> what is in it, and the source that says why not."""


def seldom_filled(sections: Collection[str]) -> frozenset[str]:
    """Those of these sections that many machines have nothing in."""
    return frozenset(_WHAT.keys() & sections)


def lack(frame: Frame, section: str, where: str = "here") -> str | None:
    """That the frame has nothing in a section of :func:`seldom_filled`, and why: ``no GPU here (…)``."""
    if frame.rows(section) or "sources" not in frame.sections:
        return None
    what, source = _WHAT[section]
    row = frame.rows("sources").get((source,))
    reason = None if row is None else row[_REASON]
    return f"no {what} {where}{'' if reason is None else f' ({reason})'}"


@dataclass(frozen=True, slots=True)
class Withheld:
    """That something of some processes is not there: it may be not for everyone to see."""

    what: str
    uids: frozenset[object]
    """Whose processes have it."""
    problem: Callable[[Frame], str | None]
    """Why ztopd itself would not have it, by a frame with ``sources``."""

    def sentence(self, access: Access | None, sources: Frame | None) -> str | None:
        """Why not. ``access``: None where it is not known, as in a recording."""
        problem = None if sources is None else self.problem(sources)
        if access is not None and (problem is None or access.uid in self.uids):
            withheld = access.withheld(self.what)
            if withheld is not None or problem is None:
                return None if withheld is None else f"Dashes: {withheld}"
        return f"Dashes: {problem or f'{self.what} is for its user and for root to see'}."


def counters_sentence(table: ProcessTable) -> str | Withheld | None:
    """Why there are no counters, or that they are there and not for everyone to see."""
    problem = counters_problem(table.frame)
    if problem is not None:
        return problem
    processes, counted = table.frame.rows("processes"), table.frame.rows("process_counters")
    seen = {_owner(processes, key) for key in counted}
    for key in processes:
        if key not in counted and _owner(processes, key) not in seen and _cpu_percent(table, key):
            return Withheld("what counters say of a process", frozenset(seen), counters_problem)
    return None


def _owner(processes: Mapping[Key, Row], key: Key) -> object:
    row = processes.get(key)
    return None if row is None else row[_OWNER]


def io_sentence(table: ProcessTable) -> Withheld | None:
    """That I/O is not there of every process."""
    shown, processes = table.rows["process_io"], table.frame.rows("processes")
    if all(key in shown for key in processes):
        return None
    return Withheld("what a process reads and writes", frozenset(_owner(processes, key) for key in shown), io_problem)


_SENTENCES: Mapping[str, tuple[str, Callable[[ProcessTable], str | Withheld | None]]] = {
    "process_io": ("process_io", io_sentence),
    "process_counters": ("sources", counters_sentence),
}
"""The section that a view is drawn from -> the one without which it is not known yet, and the sentence."""


class Dashes:
    """Says why there are some, once of each kind, as soon as a frame has what it takes to know."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def found(self, table: ProcessTable, sections: Collection[str]) -> str | Withheld | None:
        """What is to be said of a view that is drawn from these sections, if anything is."""
        for name, (known_by, sentence) in _SENTENCES.items():
            if name in sections and known_by in table.frame.sections and name not in self._known:
                self._known.add(name)
                if found := sentence(table):
                    return found
        return None
