"""Where the store is, unless a person says."""

import os
from collections.abc import Mapping

from ztopd.configuration import STORE_OFF

SYSTEM_DIRECTORY = "/var/lib/ztopd"


def usual_directory(environment: Mapping[str, str]) -> str | None:
    """systemd's state directory, else root's or the user's own; None where there is no place for one."""
    # systemd names several, separated by colons, where a unit has several
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(given):
        return given
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY if os.path.isdir(os.path.dirname(SYSTEM_DIRECTORY)) else None
    state = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = os.path.join(environment.get("HOME", ""), ".local", "state")
    return os.path.join(state, "ztop") if os.path.isabs(state) and os.path.isdir(state) else None


def store_directory(configured: str | None, environment: Mapping[str, str]) -> str | None:
    """What was configured (a directory, or ``off``), or the usual place; None: there is no store."""
    if configured is None:
        return usual_directory(environment)
    return None if configured == STORE_OFF else configured
