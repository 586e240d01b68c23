"""The command line of ``ztop-g``: that of ``ztop``, over another screen."""

from collections.abc import Sequence

from ztop_client.cli import main as ztop
from ztop_client.gpu.program import ZTOP_G


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``ztop-g``; returns the exit status, as :func:`ztop_client.cli.main`."""
    return ztop(argv, ZTOP_G)
