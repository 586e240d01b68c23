"""A process that uses CPU time in the way that it is told to, for the counters that look at it.

Its input is a line per order: who is to work (``main``, ``worker``, ``new``, ``child``, ``exec``, or ``nobody``: the
main thread, as another user), and for how long (s). It answers each with a line when it is done.
"""

import ctypes
import os
import queue
import sys
import threading
import time

_NOBODY = 65534
_PR_SET_DUMPABLE = 4


def work(seconds: float) -> None:
    """Uses so much CPU time in this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for _ in range(2000):
            pass


def _worker(orders: "queue.Queue[float]", done: "queue.Queue[None]") -> None:
    while True:
        work(orders.get())
        done.put(None)


def _child(seconds: float) -> None:
    pid = os.fork()
    if pid == 0:
        work(seconds)
        os._exit(0)
    os.waitpid(pid, 0)


def main() -> None:
    """Takes orders until the input ends."""
    orders: queue.Queue[float] = queue.Queue()
    done: queue.Queue[None] = queue.Queue()
    threading.Thread(target=_worker, args=(orders, done), daemon=True).start()
    if len(sys.argv) > 1:
        work(float(sys.argv[1]))
    print("done", flush=True)
    # unbuffered, so that what comes after an exec is not read before it
    while line := _line():
        who, text = line.split()
        seconds = float(text)
        if who == "exec":
            os.execv(sys.executable, [sys.executable, __file__, text])
        elif who in ("main", "nobody"):
            if who == "nobody":
                os.setuid(_NOBODY)
                # what changed its user may not be dumped, and so is root's, until it says otherwise
                ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)
            work(seconds)
        elif who == "worker":
            orders.put(seconds)
            done.get()
        elif who == "new":
            thread = threading.Thread(target=work, args=(seconds,))
            thread.start()
            thread.join()
        elif who == "child":
            _child(seconds)
        print("done", flush=True)


def _line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return ""
        line += byte
    return line.decode()


if __name__ == "__main__":
    main()
