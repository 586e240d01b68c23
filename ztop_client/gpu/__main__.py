"""``python -m ztop_client.gpu`` is ``ztop-g``."""

import sys

from ztop_client.gpu.cli import main

sys.exit(main())
