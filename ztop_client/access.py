"""What a daemon lets its client see, and how to be let in: read off its answer to ``hello``."""

import os
import shlex
from dataclasses import dataclass

from ztop_client.text import printable
from ztop_client.users import own_user
from ztop_protocol.codec import Wire

CONFIGURATION = "/etc/ztop/ztopd.toml"
"""Where the service's group is named."""
OWN = "I/O, executables and counters of a process"
"""What is not for everyone."""
_MOST_LETTERS = 64
"""Of a group's name; a longer one is a daemon's joke."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one is to a daemon, which may be of another machine.

    ``uid`` is who one is there. ``because`` and ``group``, whose members see all, are None where it does not say.
    """

    sees_all: bool
    uid: int | None
    because: str | None
    group: str | None

    def withheld(self, what: str = OWN) -> str | None:
        """That ``what`` is not for everyone to see, and how to be let in; None for who sees all."""
        if self.sees_all:
            return None
        if self.because == "nobody":
            return f"ztopd does not show {what} to uid {self.uid}, which may be anybody."
        if self.group is None:
            return (
                f"ztopd shows {what} to its user and to root. A group of others who may see it, as root: "
                f'group = "NAME" in {CONFIGURATION}, then systemctl reload ztopd.'
            )
        group = shlex.quote(self.group)
        # whose name that is on another machine is not known here
        user = shlex.quote(own_user()) if self.uid == os.geteuid() else "USER"
        return (
            f"ztopd shows {what} to its user, to root and to the group {group}. "
            f"To be let in: sudo usermod -aG {group} {user}, and log in again."
        )


def access_of(answer: object) -> Access | None:
    """What ``hello`` answered says of it; None where it says nothing."""
    sees = answer.get("sees") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(sees, dict) or not isinstance(sees.get("all"), bool):
        return None
    uid = answer.get("uid")
    return Access(sees["all"], uid if type(uid) is int else None, _word(sees.get("because")), _word(sees.get("group")))


def _word(value: Wire) -> str | None:
    return printable(value[:_MOST_LETTERS]) if isinstance(value, str) and value else None
