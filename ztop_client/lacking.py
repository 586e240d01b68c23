"""What is not shown, and why: asked of the daemon at the moment when somebody wonders."""

from collections.abc import Callable

from ztop_client.absence import Withheld, counters_problem
from ztop_client.access import Access, access_of
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import FrameDecoder, Malformed, Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame

Ask = Callable[[str, Arguments, Callable[[Wire | RequestFailed], None]], None]
"""As :meth:`ztop_client.sources.source.Source.ask`."""


class Lacking:
    """Asks through ``ask``. What is shown is gone by where there is no answer, as in a recording."""

    def __init__(self, ask: Ask, shown: Callable[[], Frame | None]) -> None:
        self._ask = ask
        self._shown = shown

    def why_dashes(self, found: str | Withheld, say: Callable[[str], None]) -> None:
        """Says why there are dashes, if anything is to be said."""
        if isinstance(found, str):
            say(found)
            return

        def known(sources: Frame | None, access: Access | None) -> None:
            if sentence := found.sentence(access, sources):
                say(sentence)

        self._ask_both(known)

    def note(self, done: Callable[[str | None], None]) -> None:
        """For the help screen: why there are no counters, and what is not for everyone to see; a sentence a line."""

        def known(sources: Frame | None, access: Access | None) -> None:
            problem = None if sources is None else counters_problem(sources)
            withheld = None if access is None else access.withheld()
            done("\n".join(sentence for sentence in (problem, withheld) if sentence) or None)

        self._ask_both(known)

    def _ask_both(self, done: Callable[[Frame | None, Access | None], None]) -> None:
        """How the sources are, and what the daemon lets us see; it may be another one than a minute ago."""

        def sources_came(answer: Wire | RequestFailed) -> None:
            try:
                sources = shown if isinstance(answer, RequestFailed) else FrameDecoder().frame(answer)
            except Malformed:
                sources = shown
            self._ask("hello", {}, lambda hello: done(sources, access_of(hello)))

        # frames have it only while something on the screen needs it; a recording has it
        shown = self._shown()
        self._ask("snapshot", {"sections": ["sources"]}, sources_came)
