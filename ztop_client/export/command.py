"""``ztop --export``: which frames, of which sections, to which file."""

from contextlib import closing

from ztop_client.export.files import ExportError
from ztop_client.export.run import export, format_of, needed_sections
from ztop_client.export.table import EXPORTED_SECTIONS
from ztop_client.options import Options
from ztop_client.sources.past import NothingThen, asked_ns, note, open_past, pairs
from ztop_protocol.connection import RemoteError
from ztop_protocol.recording_format import RecordingError

_END_OF_TIME_NS = (1 << 63) - 1
_DEFAULT_SECTIONS = ("processes",)


def run(options: Options) -> int:
    """Writes the table that ``options`` ask for; the exit status: 2 for a name that cannot be meant, 1 where it fails.

    Raises :exc:`ztop_client.channel.DaemonUnreachable`.
    """
    path, sections = options.export_path, options.sections or _DEFAULT_SECTIONS
    assert path is not None
    try:
        format_of(path)
    except ExportError as error:
        options.program.say(f"--export: {error}")
        return 2
    for name in sections:
        if name not in EXPORTED_SECTIONS:
            options.program.say(f"--sections: there is no section {name!r}, but {', '.join(EXPORTED_SECTIONS)}")
            return 2
    try:
        with closing(open_past(options.replay_path, options.socket_path, options.ssh_host)) as past:
            from_ns, to_ns = asked_ns(past, options.from_text, 0), asked_ns(past, options.to_text, _END_OF_TIME_NS)
            wanted = pairs(past, from_ns, to_ns, needed_sections(sections))
            export(wanted, path, sections, _within(past.span(), from_ns, to_ns))
            if (found := note(past)) is not None:
                options.program.say(found)
    except (ExportError, NothingThen, RecordingError, RemoteError) as error:
        options.program.say(str(error))
        return 1
    except OSError as error:
        options.program.say(f"{path}: {error.strerror or error}")
        return 1
    return 0


def _within(span: tuple[int, int] | None, from_ns: int, to_ns: int) -> tuple[int, int] | None:
    """What there may be of that time, for the progress bar."""
    return None if span is None else (max(span[0], from_ns), min(span[1], to_ns))
