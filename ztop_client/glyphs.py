"""Which characters this terminal shows: blocks and lines, or ASCII alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from ztop_client.text import printable


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The drawing characters; each is one cell wide.

    ``segments`` are the characters of a meter's parts in turn. They differ where colour cannot tell the parts apart.
    """

    ascii_only: bool
    segments: tuple[str, ...]
    rest: str
    levels: str
    """From nothing to full, for a meter of one cell."""
    ascending: str
    descending: str
    live: str
    separator: str
    branch: str
    last_branch: str
    trunk: str
    folded: str
    unfolded: str
    pin: str
    cursor: str
    gap: str
    """On the strip of rewind: something happened, the moment shown, nothing is kept."""
    box: str
    """Corners and sides: top left, top right, bottom left, bottom right, horizontal, vertical."""

    def encode(self, text: str) -> bytes:
        """Showable text as the terminal takes it."""
        return text.encode("ascii" if self.ascii_only else "utf-8", "replace")

    def showable(self, text: str) -> str:
        """Any text made printable, with an ASCII ``?`` for each character that the terminal cannot show."""
        shown = printable(text)
        if self.ascii_only and not shown.isascii():
            return shown.translate(_ASCII_FOR).encode("ascii", "replace").decode("ascii")
        return shown


_ASCII_FOR = str.maketrans("▲▼", "^v")
"""What columns and sentences have in them."""


UNICODE = Glyphs(
    ascii_only=False,
    segments=("━",),
    rest="─",
    levels=" ▁▂▃▄▅▆▇█",
    ascending="▲",
    descending="▼",
    live="●",
    separator="·",
    branch="├─ ",
    last_branch="└─ ",
    trunk="│  ",
    folded="▸ ",
    unfolded="▾ ",
    pin="▼",
    cursor="╷",
    gap="╌",
    box="╭╮╰╯─│",
)
UNICODE_MONO = Glyphs(
    ascii_only=False,
    segments=("█", "▓", "▒", "░", "#", "*"),
    rest="·",
    levels=UNICODE.levels,
    ascending="▲",
    descending="▼",
    live="●",
    separator="·",
    branch="├─ ",
    last_branch="└─ ",
    trunk="│  ",
    folded="▸ ",
    unfolded="▾ ",
    pin="▼",
    cursor="╷",
    gap="╌",
    box="╭╮╰╯─│",
)
ASCII = Glyphs(
    ascii_only=True,
    segments=("|", "#", "=", ":", "!", "*"),
    rest=".",
    levels=" .:;=+*#@",
    ascending="^",
    descending="v",
    live="*",
    separator="-",
    branch="|- ",
    last_branch="`- ",
    trunk="|  ",
    folded="+ ",
    unfolded="- ",
    pin="!",
    cursor="'",
    gap="~",
    box="++++-|",
)


def is_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale's character set is UTF-8, by LC_ALL, LC_CTYPE and LANG as setlocale(3) takes them.

    Python itself puts ``LC_CTYPE=C.UTF-8`` into the environment of a process started in the C locale (PEP 538);
    beside a LANG that is no UTF-8 it says nothing about the terminal.
    """
    lang = environ.get("LANG", "")
    if environ.get("LC_ALL"):
        return _names_utf8(environ["LC_ALL"])
    ctype = environ.get("LC_CTYPE", "")
    if ctype and not (ctype in ("C.UTF-8", "C.utf8", "UTF-8") and lang in ("", "C", "POSIX")):
        return _names_utf8(ctype)
    return _names_utf8(lang)


def _names_utf8(locale: str) -> bool:
    return locale.casefold().replace("-", "").endswith("utf8") or ".utf8@" in locale.casefold().replace("-", "")


def glyphs_for(environ: Mapping[str, str], colours: int) -> Glyphs:
    """The drawing characters for this environment, and ``colours`` as the terminal has them (1: none)."""
    # the Linux console's fonts have few of the drawing characters
    if not is_utf8(environ) or environ.get("TERM", "").startswith("linux"):
        return ASCII
    return UNICODE_MONO if colours == 1 else UNICODE
