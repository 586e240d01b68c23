"""Whether a program may run as a service: nobody but root may be able to change it, and the service must see it."""

import os
import stat

HIDDEN = ("/home", "/root", "/run/user")
"""What ProtectHome= of the unit hides."""


def objection(path: str) -> str | None:
    """Why a service is not to run this file, or a file in this folder; None where it may.

    Looks at the path as it is written and as it is without symbolic links, from the root on.
    """
    ways = (os.path.abspath(path), os.path.realpath(path))
    for way in ways:
        for home in HIDDEN:
            if way == home or way.startswith(home + "/"):
                return f"{way} lies in a home, which the service does not see"
    for way in ways:
        part = way
        while True:
            if reason := _objection_to_one(part):
                return reason
            if part == os.path.dirname(part):
                break
            part = os.path.dirname(part)
    return None


def _objection_to_one(path: str) -> str | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None  # it will be made, in folders that are looked at too
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}"
    if status.st_uid != 0:
        return f"{path} belongs to uid {status.st_uid}, who could change what the service runs"
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others than root may write to {path}, and could change what the service runs"
    return None
