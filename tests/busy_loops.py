"""Processes that do nothing but use CPU time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# they end with whoever started them
_CODE = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy_loops() -> Iterator[None]:
    """As many as there are CPUs, two at most, until the block ends."""
    loops = [subprocess.Popen([sys.executable, "-I", "-c", _CODE]) for _ in range(min(2, os.cpu_count() or 1))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
