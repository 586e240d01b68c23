"""Giving up every capability: for the processes that parse strangers' bytes or may hang on strangers' servers."""

import ctypes
import struct

# include/uapi/linux/prctl.h, capability.h
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_IS_SET = 1
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_MAX_CAPABILITIES = 64


def drop_privileges() -> str | None:
    """Clears the ambient, bounding, inheritable, permitted and effective sets, for this process and what it starts.

    Returns what it still holds, as a sentence, or None. Bounding and inheritable sets that may not be changed are no
    matter: without capabilities and with no_new_privs nothing can be gained from them.
    """
    libc = _libc()
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(_MAX_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    # a header of version and pid (0: ourselves), then two times 32 bits of effective, permitted and inheritable
    libc.capset(struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0), bytes(24))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return _held()


def withhold_from_children() -> int:
    """Clears the ambient set, so that what this process starts gets no capability of its own; returns what it was.

    The unit's filter lets nobody call capset(2): this is how server and reader come to hold nothing.
    """
    libc = _libc()
    held = sum(
        1 << capability
        for capability in range(_MAX_CAPABILITIES)
        if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1
    )
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    return held


def hand_on(capabilities: int) -> None:
    """Puts back what :func:`withhold_from_children` took away, for the program that this process is to become."""
    libc = _libc()
    for capability in range(_MAX_CAPABILITIES):
        if capabilities >> capability & 1:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    return libc


def _held() -> str | None:
    wanted = {"CapPrm": 0, "CapEff": 0, "CapAmb": 0, "NoNewPrivs": 1}
    try:
        with open("/proc/self/status", "rb") as status:
            fields = dict(line.split(b":", 1) for line in status if b":" in line)
    except OSError as error:
        return f"/proc/self/status cannot be read: {error.strerror}"
    found = {name: int(fields.get(name.encode(), b"0"), 16) for name in wanted}
    wrong = [f"{name} {value:x}" for name, value in found.items() if value != wanted[name]]
    return f"this process could not give up all privileges: {', '.join(wrong)}" if wrong else None
