"""The Python API over a file: what a recording holds, asked for as a daemon's memory is."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from ztop_client.find import Stretch, found_in
from ztop_client.moments import When, moment_ns
from ztop_client.sources.past import Moment, RecordedPast, pairs
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame

_END_OF_TIME_NS = (1 << 63) - 1


def open_recording(path: str) -> "Recording":
    """The recording at ``path``, to its present end. Raises :exc:`ztop_client.RecordingError`."""
    return Recording(path)


class Recording:
    """A recording that is read; use it in a ``with`` statement, or close it. Its end is its "now".

    What is damaged in it is left out and told in ``notes``.
    """

    def __init__(self, path: str) -> None:
        """Raises :exc:`ztop_client.RecordingError`, one sentence."""
        self._past = RecordedPast(path)
        span = self._past.span()
        assert span is not None, "there is no recording without a frame"
        self.first_ns, self.last_ns = span
        """Wall times of its first and its last frame."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def notes(self) -> Sequence[str]:
        """What is wrong with the file, in words."""
        return self._past.notes

    def close(self) -> None:
        """Closes the file."""
        self._past.close()

    def asof(self, when: When, sections: Sequence[str] | None = None) -> Moment:
        """The machine as it was then, with the sections named, or all. Raises :exc:`ztop_client.NothingThen`."""
        return self._past.at(moment_ns(when, self.last_ns), sections)

    def frames(
        self, sections: Sequence[str] | None = None, *, since: When | None = None, until: When | None = None
    ) -> Iterator[Frame]:
        """The frames of that time, or all, each once."""
        return self._past.frames(*self._between(since, until), sections)

    def pairs(
        self, sections: Sequence[str] | None = None, *, since: When | None = None, until: When | None = None
    ) -> Iterator[Pair]:
        """As :meth:`frames`, each one with what its rates are computed against, where there is something."""
        found = pairs(self._past, *self._between(since, until), sections)
        return (pair for pair in found if pair.previous is not None)

    def find(self, question: str, since: When | None = None, until: When | None = None) -> list[Stretch]:
        """Of whom and when it held, by the begin: ``"cpu > 80 for 10s"``. Raises :exc:`ztop_client.QueryError`."""
        return found_in(self._past, question, *self._between(since, until))

    def _between(self, since: When | None, until: When | None) -> tuple[int, int]:
        from_ns = 0 if since is None else moment_ns(since, self.last_ns)
        return from_ns, _END_OF_TIME_NS if until is None else moment_ns(until, self.last_ns)
