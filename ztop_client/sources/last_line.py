"""What a program said last that writes to a file of ours."""

import os
from typing import IO

_MOST_BYTES = 4096


def last_line(words: IO[bytes]) -> str | None:
    """The last line that is not blank, of the last 4 KiB; None where there is none."""
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - _MOST_BYTES))
    lines = words.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), None)
