"""Names of users. A name service can block for ever, so they are asked of the reader child."""

from collections.abc import Iterable

from ztopd.collectors.blocking import BlockingReader, Question
from ztopd.collectors.files import text

KNOWN_NS = 600_000_000_000
UNKNOWN_NS = 60_000_000_000
"""A user that has no name is asked for again sooner: the name service may just not have been up."""
MAX_USERS = 4096
"""More than these are forgotten and asked for again where they are still needed: 65536 uids may belong to one user."""


class Users:
    """The names by uid, asked for when they are first wanted and again when they are old."""

    def __init__(self, reader: BlockingReader) -> None:
        self._reader = reader
        self._names: dict[int, str | None] = {}
        self._asked_boottime_ns: dict[int, int] = {}

    def name(self, uid: int, now: int) -> str | None:
        """The name as far as it is known now; the number in digits where it has none, as ps and ls show it."""
        asked = self._asked_boottime_ns.get(uid)
        name = self._names.get(uid)
        if asked is None or now - asked >= (UNKNOWN_NS if name in (None, str(uid)) else KNOWN_NS):
            if asked is None and len(self._asked_boottime_ns) >= MAX_USERS:
                self._names.clear()
                self._asked_boottime_ns.clear()
            self._asked_boottime_ns[uid] = now
            self._reader.ask(Question.USER_NAME, uid)
        return name

    def renamed(self) -> Iterable[int]:
        """Takes the answers; gives the uids whose name is another one now. What blocks keeps its old name."""
        changed: list[int] = []
        for uid, answer in self._reader.take(Question.USER_NAME).items():
            if not isinstance(uid, int) or (answer.data is None and answer.is_late):
                continue
            name = str(uid) if answer.data is None else text(answer.data)
            if name != self._names.get(uid):
                changed.append(uid)
            self._names[uid] = name
        return changed
