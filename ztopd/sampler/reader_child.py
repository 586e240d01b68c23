"""The reader child: does the reads that can block for ever, one after another, until it is answered or killed.

Its parent writes questions to its standard input and reads answers from its standard output, both as
MessagePack: ``[question, argument]`` and ``[question, argument, data, reason, boottime_ns]``, the last one being the
time at which the read began. It ends with its input.
"""

import os
import pwd
import signal
import sys
import time

import msgpack

from ztop_protocol.schema import MAX_TEXT_BYTES
from ztopd.collectors.blocking import Argument, Question
from ztopd.collectors.files import read
from ztopd.privileges import drop_privileges


def answer(proc: str, question: Question, argument: Argument) -> bytes:
    """The answer's bytes. Raises :exc:`OSError` or :exc:`LookupError` where there is none."""
    match question:
        case Question.COMMAND_LINE:
            return read(f"{proc}/{argument!s}/cmdline", MAX_TEXT_BYTES + 1)
        case Question.USER_NAME:
            return os.fsencode(pwd.getpwuid(int(argument)).pw_name)
        case Question.FILESYSTEM:
            return " ".join(map(str, os.statvfs(argument)[:10])).encode()


def main() -> None:
    """Answers until the parent closes the pipe."""
    # a terminal's Ctrl-C and hang-up are for the sampler to judge
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if problem := drop_privileges():
        print(f"ztopd: reader: {problem}", file=sys.stderr)
    proc = sys.argv[1]
    unpacker = msgpack.Unpacker()
    while data := os.read(0, 1 << 16):
        unpacker.feed(data)
        for name, argument in unpacker:
            content, reason = None, None
            boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            try:
                content = answer(proc, Question(name), argument)
            except (OSError, LookupError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            waiting = memoryview(msgpack.packb((name, argument, content, reason, boottime_ns)))
            try:
                while waiting:
                    waiting = waiting[os.write(1, waiting) :]
            except BrokenPipeError:
                # the parent is gone
                return


if __name__ == "__main__":
    main()
