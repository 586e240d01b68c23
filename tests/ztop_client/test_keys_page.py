"""docs/keys.md against the table of keys."""

import subprocess
import sys

from tests.ztop_client.terminal_driver import ROOT


def test_the_page_is_what_the_table_says() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "scripts" / "keys-table", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
