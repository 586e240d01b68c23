"""``ztop --diff`` and ``ztop --explain``: what happened between two moments, and what a moment was about."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from ztop_client.batch import columns_of_terminal, print_texts
from ztop_client.columns.column import Align
from ztop_client.difference.compare import SECTIONS, NoTwoMoments, difference
from ztop_client.difference.result import DEFAULT_SORT, Difference, in_order
from ztop_client.difference.table import (
    CGROUP_COLUMNS,
    GPU_COLUMNS,
    GPU_PROCESS_COLUMNS,
    PROCESS_COLUMNS,
    USER_COLUMNS,
    Told,
    UseColumn,
    headline,
    machine_lines,
    notes,
    remainder_lines,
)
from ztop_client.explain.explain import BASELINE_NS, difference_before, explain
from ztop_client.explain.finding import Finding
from ztop_client.options import Options
from ztop_client.program import Program
from ztop_client.sources.past import NothingThen, Past, asked_ns, note, open_past
from ztop_client.text import fit, fit_left, fit_right, printable, width
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Frame
from ztop_protocol.recording_format import RecordingError

_END_OF_TIME_NS = (1 << 63) - 1
_DEFAULT_LIMIT = 40
"""Rows of a table of text; JSON has all."""


def run(options: Options) -> int:
    """Prints what ``options`` ask for; the exit status: 1 where there is nothing of that time.

    Raises :exc:`ztop_client.channel.DaemonUnreachable`.
    """
    try:
        with closing(open_past(options.replay_path, options.socket_path, options.ssh_host)) as past:
            text = _compared(past, options) if options.diff_texts else _explained(past, options)
            if (found := note(past)) is not None:
                options.program.say(found)
    except (NoTwoMoments, NothingThen, RecordingError, RemoteError) as error:
        options.program.say(str(error))
        return 1
    return print_texts([text], options.program)


def _moments(past: Past, texts: Sequence[str]) -> tuple[int, int]:
    """Two times, in whichever order they were given."""
    first, second = sorted(asked_ns(past, text, _END_OF_TIME_NS) for text in texts)
    return first, second


def frames_between(past: Past, from_ns: int, to_ns: int) -> Iterator[Frame]:
    """The frame that shows the machine at the first moment, and those after it up to the second.

    Raises :exc:`NothingThen` where there is nothing of the first moment.
    """
    first = past.at(from_ns, SECTIONS).pair.current
    return chain([first], past.frames(first.time_ns, to_ns, SECTIONS))


def _compared(past: Past, options: Options) -> str:
    found = difference(frames_between(past, *_moments(past, options.diff_texts)))
    sort = DEFAULT_SORT if options.order is None else options.order.column
    found = dataclasses.replace(
        found,
        processes=tuple(in_order(found.processes, sort)[: options.limit]),
        users=tuple(in_order(found.users, sort)[: options.limit]),
        cgroups=tuple(in_order(found.cgroups, sort)[: options.limit]),
        gpu_processes=found.gpu_processes[: options.limit],
    )
    return (
        _json(dataclasses.asdict(found))
        if options.json
        else _page(found, options.program, options.limit or _DEFAULT_LIMIT)
    )


def _explained(past: Past, options: Options) -> str:
    if len(options.explain_texts) == 1:
        pair = past.at(asked_ns(past, options.explain_texts[0], _END_OF_TIME_NS), SECTIONS).pair
        if pair.previous is None:
            raise NoTwoMoments("that is the first frame: there is none before it to compare it with")
        # what is sampled seldom is compared over its own interval
        span, end_ns = difference((pair.previous, pair.current)), pair.previous.time_ns
    else:
        from_ns, to_ns = _moments(past, options.explain_texts)
        span = difference(frames_between(past, from_ns, to_ns))
        end_ns = span.from_time_ns
    before = difference_before(past.frames(max(end_ns - BASELINE_NS, 0), end_ns, SECTIONS))
    findings = explain(span, before)
    if options.json:
        head = {"from_time_ns": span.from_time_ns, "to_time_ns": span.to_time_ns, "span_ns": span.span_ns}
        return _json({**head, "frames": span.frames, "findings": [dataclasses.asdict(one) for one in findings]})
    return _lines([f"{options.program.name} --explain {headline(span)}", "", *_findings(findings)])


def _findings(findings: Iterable[Finding]) -> Iterator[str]:
    for one in findings:
        yield f"* {one.headline}"
        yield from (f"    {detail}" for detail in one.details)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"


def _page(found: Difference, program: Program, limit: int) -> str:
    lines = [f"{program.name} --diff {headline(found)}", *(f"note: {one}" for one in notes(found))]
    lines += [f"{label:<5}{words}" for label, words in machine_lines(found)]
    if found.gpus:
        lines += ["", *_table(found, found.gpus, GPU_COLUMNS, limit)]
        lines += ["", *_table(found, found.gpu_processes, GPU_PROCESS_COLUMNS, limit)]
    lines += ["", *_table(found, found.processes, PROCESS_COLUMNS, limit)]
    lines += [f"{'':16} {time:>8} {share:>6} {what}" for time, share, what in remainder_lines(found)]
    lines += ["", *_table(found, found.users, USER_COLUMNS, limit)]
    lines += ["", *_table(found, found.cgroups, CGROUP_COLUMNS, limit)]
    return _lines(lines)


def _lines(lines: Iterable[str]) -> str:
    columns = columns_of_terminal()
    return "".join(f"{(printable(line) if columns is None else fit(line, columns)).rstrip()}\n" for line in lines)


def _table(found: Difference, rows: Sequence[Told], columns: Sequence[UseColumn[Told]], limit: int) -> Iterator[str]:
    shown = rows[:limit]
    texts: list[tuple[str, ...]] = [tuple(printable(column.text(found, row)) for column in columns) for row in shown]
    titles = tuple(column.title for column in columns)
    widths = [max(map(width, cells)) for cells in zip(titles, *texts, strict=True)]
    for cells in (titles, *texts):
        yield " ".join(
            (fit_left if column.align is Align.LEFT else fit_right)(cell, max(column.width, wide))
            for cell, column, wide in zip(cells, columns, widths, strict=True)
        )
    if len(rows) > limit:
        yield f"and {len(rows) - limit} more"
