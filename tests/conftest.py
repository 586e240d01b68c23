"""For all tests: the programs that they start find the packages of this checkout, however pytest itself was started."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "protocol")))
