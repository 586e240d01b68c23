"""How long the slow tests go on: every change has the first number, whoever has the time the second.

ZTOP_PATIENT=1 scripts/test --all
"""

import os

PATIENT = bool(os.environ.get("ZTOP_PATIENT"))

KILLS = int(os.environ.get("ZTOP_KILLS") or (100 if PATIENT else 25))
"""``kill -9`` of who writes, at random moments; ``ZTOP_KILLS`` is any other number."""
FLIPPED_BITS = 1500 if PATIENT else 300
"""Recordings each with one bit wrong."""
TICKS = 10_000 if PATIENT else 4_000
"""After which nothing has grown."""
