"""``python -m ztopd``."""

import sys

from ztopd.cli import main

if __name__ == "__main__":
    sys.exit(main())
