"""``python -m ztop_client`` is ``ztop``."""

import sys

from ztop_client.cli import main

sys.exit(main())
