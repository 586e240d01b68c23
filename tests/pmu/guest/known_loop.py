"""A loop of known length in the machine's own words: as a function, and as a program that needs nothing else.

The loop is ``again: nop …; subs x0, x0, #1; b.ne again``. The words are those of the Arm Architecture Reference Manual,
A64, chapter C6.2. An emulator does next to nothing for a nop, but counts it.
"""

import ctypes
import mmap
import struct
from collections.abc import Callable

INSTRUCTIONS_PER_TURN = 100
REQUEST = struct.Struct("<QQ")
"""What the program reads, and writes back when it is done: a number that it does not look at, and the count."""


def _b_ne(words: int) -> int:
    return 0x54000001 | (words & 0x7FFFF) << 5


def _cbz_x0(words: int) -> int:
    return 0xB4000000 | (words & 0x7FFFF) << 5


def _b(words: int) -> int:
    return 0x14000000 | words & 0x3FFFFFF


_LOOP = (
    *[0xD503201F] * (INSTRUCTIONS_PER_TURN - 2),  # nop
    0xF1000400,  # subs x0, x0, #1
    _b_ne(1 - INSTRUCTIONS_PER_TURN),
)
_RET = 0xD65F03C0

_BEGIN = (0xD10083FF,)  # sub  sp, sp, #32
_READ = (
    0xD2800000,  # mov  x0, #0
    0x910003E1,  # mov  x1, sp
    0xD2800202,  # mov  x2, #16
    0xD28007E8,  # mov  x8, #63 (read)
    0xD4000001,  # svc  #0
)
_WRITE = (
    0xD2800020,  # mov  x0, #1
    0x910003E1,  # mov  x1, sp
    0xD2800202,  # mov  x2, #16
    0xD2800808,  # mov  x8, #64 (write)
    0xD4000001,  # svc  #0
)
_EXIT = (
    0xD2800000,  # mov  x0, #0
    0xD2800BA8,  # mov  x8, #93 (exit)
    0xD4000001,  # svc  #0
)
_CHECK_WORDS = 4
_TO_EXIT = _CHECK_WORDS + len(_LOOP) + len(_WRITE) + 1
_CHECK = (
    0xF100401F,  # cmp  x0, #16
    _b_ne(_TO_EXIT - 1),
    0xF94007E0,  # ldr  x0, [sp, #8]
    _cbz_x0(1 + len(_LOOP)),
)
_AGAIN = (_b(-len(_WRITE + _LOOP + _CHECK + _READ)),)
_PROGRAM = _BEGIN + _READ + _CHECK + _LOOP + _WRITE + _AGAIN + _EXIT


def loop_function() -> Callable[[int], int]:
    """The loop, to be called with a count over 0; other threads run meanwhile."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(struct.pack(f"<{len(_LOOP) + 1}I", *_LOOP, _RET))
    function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    function.memory = memory  # type: ignore[attr-defined]
    return function


def loop_program() -> bytes:
    """An executable file: reads requests from stdin, runs the loop, writes each back; ends with stdin."""
    base, start = 0x400000, 64 + 56
    code = struct.pack(f"<{len(_PROGRAM)}I", *_PROGRAM)
    size = start + len(code)
    # elf(5): 64 bits, little-endian; ET_EXEC, EM_AARCH64, one program header
    header = struct.pack("<16s2HI3QI6H", b"\x7fELF\x02\x01\x01", 2, 183, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # PT_LOAD, readable and executable
    segment = struct.pack("<2I6Q", 1, 5, 0, base, base, size, size, 0x10000)
    return header + segment + code
