import pytest

from ztopd.collectors.mountinfo import Mount, parse_mountinfo
from ztopd.collectors.source import ParseError


def test_the_fields_have_the_manual_pages_names() -> None:
    assert parse_mountinfo(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n") == [
        Mount(
            *("36", "35", "98:0", "/mnt1", "/mnt2", ("rw", "noatime")),
            *("ext3", "/dev/root", ("rw", "errors=continue")),
        )
    ]


@pytest.mark.parametrize("optional", [b"", b"shared:7 ", b"shared:7 master:2 propagate_from:1 unbindable "])
def test_any_number_of_optional_fields(optional: bytes) -> None:
    (mount,) = parse_mountinfo(b"22 1 8:1 / / rw " + optional + b"- xfs /dev/sda1 rw,attr2")
    assert (mount.options, mount.type, mount.super_options) == (("rw",), "xfs", ("rw", "attr2"))


def test_escapes_are_decoded_once_and_odd_bytes_are_kept() -> None:
    line = rb"40 1 0:5 /a\134040b /mnt/a\040b\011c\012d" + b"\r\xff rw - fuse.x user\\043x rw\n"
    (mount,) = parse_mountinfo(line)
    assert mount.root == r"/a\040b"
    assert mount.mount_point == "/mnt/a b\tc\nd\r\udcff"
    assert mount.source == "user#x"


def test_an_empty_source_is_kept() -> None:
    (mount,) = parse_mountinfo(b"22 1 0:9 / /x rw - tmpfs  rw\n")
    assert (mount.source, mount.super_options) == ("", ("rw",))


def test_no_mounts() -> None:
    assert parse_mountinfo(b"") == []


@pytest.mark.parametrize("line", [b"22 1 0:9 / /x - tmpfs none rw", b"22 1 0:9 / /x rw tmpfs none rw", b"x", b""])
def test_the_error_names_file_and_line(line: bytes) -> None:
    with pytest.raises(ParseError, match="mountinfo, line 2: "):
        parse_mountinfo(b"22 1 0:9 / /x rw - tmpfs none rw\n" + line + b"\n")
