"""Who runs the client."""

import os
import pwd


def own_user() -> str:
    """The name of the effective user; the number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
