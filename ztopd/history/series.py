"""What was made of segments for curves, kept for a while: whoever scrubs asks again."""

from ztop_protocol.series import SECTION, Part, part_of
from ztopd.history.cache import Cache
from ztopd.history.history import Kept, PieceName, name_of

_MOST_STEPS = 8_000
"""About 5 MiB."""


class Curves:
    """Reduces segments, and keeps for a while what it made of them. All of it is work for the history's thread."""

    def __init__(self) -> None:
        self._parts: Cache[tuple[PieceName, int, int], Part] = Cache(_MOST_STEPS, lambda part: len(part.steps) + 1)

    def part(self, piece: Kept, step_ns: int, after_seq: int) -> Part:
        """The frames of a segment that are later than that number.

        Raises :exc:`ztop_protocol.codec.Malformed`, :exc:`sqlite3.Error`.
        """
        after_seq = max(after_seq, piece.first.seq - 1)
        return self._parts.get(
            (name_of(piece), step_ns, after_seq), lambda: part_of(piece.opened((SECTION,)), step_ns, after_seq)
        )
