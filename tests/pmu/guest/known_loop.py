"""A loop of known length in the machine's own words: as a function, and as a program that needs nothing else.

The loop is ``again: subs x0, x0, #1; b.ne again``: a count of N takes 2 N instructions. The words are those of the
Arm Architecture Reference Manual, A64, chapter C6.2.
"""

import ctypes
import mmap
import struct
from collections.abc import Callable

INSTRUCTIONS_PER_TURN = 2
REQUEST = struct.Struct("<QQ")
"""What the program reads, and writes back when it is done: a number that it does not look at, and the count."""

_SUBS_X0 = 0xF1000400
_B_NE_BACK = 0x54FFFFE1
_RET = 0xD65F03C0

_PROGRAM = (
    0xD10083FF,  # sub  sp, sp, #32
    # next:
    0xD2800000,  # mov  x0, #0
    0x910003E1,  # mov  x1, sp
    0xD2800202,  # mov  x2, #16
    0xD28007E8,  # mov  x8, #63 (read)
    0xD4000001,  # svc  #0
    0xF100401F,  # cmp  x0, #16
    0x54000161,  # b.ne end
    0xF94007E0,  # ldr  x0, [sp, #8]
    0xB4000060,  # cbz  x0, done
    _SUBS_X0,
    _B_NE_BACK,
    # done:
    0xD2800020,  # mov  x0, #1
    0x910003E1,  # mov  x1, sp
    0xD2800202,  # mov  x2, #16
    0xD2800808,  # mov  x8, #64 (write)
    0xD4000001,  # svc  #0
    0x17FFFFF0,  # b    next
    # end:
    0xD2800000,  # mov  x0, #0
    0xD2800BA8,  # mov  x8, #93 (exit)
    0xD4000001,  # svc  #0
)


def loop_function() -> Callable[[int], int]:
    """The loop, to be called with a count over 0; other threads run meanwhile."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(struct.pack("<3I", _SUBS_X0, _B_NE_BACK, _RET))
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
