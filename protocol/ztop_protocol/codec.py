"""Frames and deltas as MessagePack, section by section.

A section is encoded by itself, so that whoever hands it on can do so as it lies, without decoding it:

    section         {"sampled_boottime_ns": int, "columns": [name, ...], "rows": [[cell, ...], ...]}
    section delta   {"sampled_boottime_ns": int, "new": [[cell, ...], ...],
                     "changed": [[*key, position, cell, position, cell, ...], ...], "gone": [[*key], ...]}

A delta holds whole sections where its base has none.

Text that is UTF-8 travels as ``str``; any other bytes travel as ``bin``. In memory both are ``str``, the
latter with surrogate escapes (PEP 383), so nothing is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgpack

from ztop_protocol.frame import Cell, Delta, Frame, Key, Row, Section, SectionDelta
from ztop_protocol.schema import SECTIONS, Column, Kind, SectionSchema

Wire: TypeAlias = Any
"""What the MessagePack decoder gives: None, bool, int, float, str, bytes, list or dict."""

MAX_FRAME_BYTES = 8 << 20


class Malformed(ValueError):
    """Bytes or values that are not what this page says; the sentence says where."""


class Unencodable(Exception):
    """A section has a cell that is none: an error of whoever made it."""

    def __init__(self, section: str) -> None:
        super().__init__(f"the section {section} cannot be encoded")
        self.section = section


def portable(cell: Cell) -> Cell | bytes:
    """Text with surrogate escapes as the bytes that it stands for; numbers of more than 64 bits are unknown."""
    if type(cell) is int and not -(1 << 63) <= cell < 1 << 64:
        return None
    if isinstance(cell, str) and not cell.isascii():
        try:
            cell.encode()
        except UnicodeEncodeError:
            return cell.encode("utf-8", "surrogateescape")
    return cell


def _pack(value: Wire) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def _pack_rows(make: "dict[str, Wire]", *texts: str) -> bytes:
    """Packs a map; the lists of rows named in ``texts`` are made portable only where msgpack refuses them."""
    try:
        return _pack(make)
    except (UnicodeEncodeError, OverflowError):
        return _pack(make | {name: [[portable(cell) for cell in row] for row in make[name]] for name in texts})


def encode_section(name: str, section: Section) -> bytes:
    """The section as in ``snapshot``. Raises :exc:`Unencodable`."""
    try:
        return encode_table(SECTIONS[name].names, section.sampled_boottime_ns, section.rows.values())
    except TypeError as error:
        raise Unencodable(name) from error


def encode_table(columns: Sequence[str], sampled_boottime_ns: int, rows: Iterable[Sequence[Cell]]) -> bytes:
    """Any table in the form of a section: the answer of ``top`` has columns that no schema has."""
    return _pack_rows(
        {"sampled_boottime_ns": sampled_boottime_ns, "columns": list(columns), "rows": list(rows)}, "rows"
    )


def encode_section_change(name: str, change: SectionDelta | Section) -> bytes:
    """What a delta says of one section. Raises :exc:`Unencodable`."""
    if isinstance(change, Section):
        return encode_section(name, change)
    rows = {"new": change.new, "changed": change.changed, "gone": change.gone}
    try:
        return _pack_rows({"sampled_boottime_ns": change.sampled_boottime_ns, **rows}, *rows)
    except TypeError as error:
        raise Unencodable(name) from error


def encode_map(head: Mapping[str, Wire], name: str, parts: Mapping[str, bytes]) -> bytes:
    """The map ``{**head, name: parts}``, whose ``parts`` are MessagePack already."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(head) + 1)
    for key, value in head.items():
        packer.pack(key)
        packer.pack(value)
    packer.pack(name)
    packer.pack_map_header(len(parts))
    pieces = [packer.bytes()]
    for key, part in parts.items():
        pieces += (_pack(key), part)
    return b"".join(pieces)


def encode_pairs(pairs: Mapping[str, bytes]) -> bytes:
    """The map of values that are MessagePack already."""
    pieces = [msgpack.Packer().pack_map_header(len(pairs))]
    for key, value in pairs.items():
        pieces += (_pack(key), value)
    return b"".join(pieces)


def frame_head(frame: Frame) -> dict[str, Wire]:
    """What stands beside ``sections`` in a snapshot."""
    return {
        "seq": frame.seq,
        "time_ns": frame.time_ns,
        "boottime_ns": frame.boottime_ns,
        "boot_id": frame.boot_id,
    }


def delta_head(delta: Delta) -> dict[str, Wire]:
    """What stands beside ``sections`` in a delta."""
    return {
        "seq": delta.seq,
        "base_seq": delta.base_seq,
        "time_ns": delta.time_ns,
        "boottime_ns": delta.boottime_ns,
        "boot_id": delta.boot_id,
        "gone_sections": list(delta.gone_sections),
    }


def encode_frame(frame: Frame) -> bytes:
    """The whole frame in the form of ``snapshot``."""
    return encode_map(
        frame_head(frame), "sections", {name: encode_section(name, part) for name, part in frame.sections.items()}
    )


def encode_delta(delta: Delta) -> bytes:
    """The whole delta in the form of the notification ``delta``."""
    return encode_map(
        delta_head(delta),
        "sections",
        {name: encode_section_change(name, part) for name, part in delta.sections.items()},
    )


def unpack(data: bytes, at_most: int = MAX_FRAME_BYTES) -> Wire:
    """One MessagePack value that came from a daemon. Raises :exc:`Malformed`."""
    if len(data) > at_most:
        raise Malformed(f"{len(data)} bytes are more than a frame may have")
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    except Exception as error:  # every exception of the unpacker means the same: not what we read
        raise Malformed(f"not MessagePack: {error!r}") from error


_Types: TypeAlias = frozenset[type]
_ANY: _Types = frozenset((int, float, str, bool, type(None)))
_LARGEST = float(1 << 64)
"""Integers have 64 bits, and whoever computes with floats need not fear that they become infinite."""
_MOST_REMEMBERED = 256
"""Combinations of types that were found good: a daemon sends few, a peer that means harm may send many.

Of one with floats these are looked at every time: not all of them are numbers.
"""


def _cell_types(column: Column) -> _Types:
    """What may stand in a column: whoever computes with it need not ask again."""
    if column.kind is Kind.COUNTER:
        return frozenset((int, type(None)))
    is_number = column.type in (int, float)
    if column.kind is Kind.IDENTITY and is_number:
        return frozenset((int,))
    return frozenset((int, float, type(None))) if is_number else _ANY


class SectionDecoder:
    """Reads one section of one peer, whose columns may be those of another version.

    Columns that this version does not know are left out; those that the peer does not have are None.
    """

    def __init__(self, schema: SectionSchema, columns: Sequence[Wire]) -> None:
        self._schema = schema
        if not all(isinstance(name, str) for name in columns):
            raise Malformed(f"section {schema.name}: the name of a column is text")
        self.columns = tuple(columns)
        self._same = self.columns == schema.names
        if len(set(self.columns)) != len(self.columns):
            raise Malformed(f"section {schema.name}: a column stands twice")
        if self.columns[: schema.key_length] != schema.names[: schema.key_length]:
            raise Malformed(f"section {schema.name}: its key is not {', '.join(schema.names[: schema.key_length])}")
        self._places = [schema.position.get(name, -1) for name in self.columns]
        self._types = [_ANY if place < 0 else _cell_types(schema.columns[place]) for place in self._places]
        self._good_rows: dict[tuple[type, ...], tuple[int, ...]] = {}
        """With the places of their floats."""
        self._good_changes: dict[tuple[type, ...], set[tuple[Cell, ...]]] = {}

    def row(self, cells: Wire) -> Row:
        """One row in this version's columns."""
        if not isinstance(cells, list) or len(cells) != len(self.columns):
            raise Malformed(f"section {self._schema.name}: a row does not have {len(self.columns)} cells")
        types = tuple(map(type, cells))
        floats = self._good_rows.get(types)
        if floats is not None:
            row = tuple(cells)
            for place in floats:
                if not abs(row[place]) <= _LARGEST:
                    raise self._no_number()
        else:
            row = self._cells(cells, self._types)
            if types == tuple(map(type, row)) and len(self._good_rows) < _MOST_REMEMBERED:
                self._good_rows[types] = tuple(place for place, one in enumerate(types) if one is float)
        if self._same:
            return row
        here: list[Cell] = [None] * len(self._schema.names)
        for place, cell in zip(self._places, row, strict=True):
            if place >= 0:
                here[place] = cell
        return tuple(here)

    def key(self, cells: Wire) -> Key:
        """The key of a row that is gone."""
        if not isinstance(cells, list) or len(cells) != self._schema.key_length:
            raise Malformed(f"section {self._schema.name}: a key does not have {self._schema.key_length} cells")
        return self._cells(cells, self._types)

    def change(self, cells: Wire) -> tuple[Cell, ...]:
        """A changed row: its key, then positions of this version and cells, in turn."""
        start = self._schema.key_length
        if not isinstance(cells, list) or len(cells) < start or (len(cells) - start) % 2:
            raise Malformed(f"section {self._schema.name}: a changed row is not a key and pairs")
        places, types = tuple(cells[start::2]), tuple(map(type, cells))
        flat: tuple[Cell, ...]
        good = self._good_changes.get(types)
        # types that were found good: the positions are integers
        if good is not None and places in good:
            flat = tuple(cells)
        else:
            allowed = self._types[:start]
            for place in places:
                if type(place) is not int or not start <= place < len(self.columns):
                    raise Malformed(f"section {self._schema.name}: there is no column at such a position")
                allowed += (_ANY, self._types[place])
            flat = self._cells(cells, allowed)
            if types == tuple(map(type, flat)) and float not in types and len(self._good_changes) < _MOST_REMEMBERED:
                good = self._good_changes.setdefault(types, set())
                if len(good) < _MOST_REMEMBERED:
                    good.add(places)
        if self._same:
            return flat
        pairs = ((self._places[flat[at]], flat[at + 1]) for at in range(start, len(flat), 2))  # type: ignore[index]
        return (*flat[:start], *(cell for pair in pairs if pair[0] >= 0 for cell in pair))

    def _cells(self, cells: list[Wire], types: Sequence[_Types]) -> Row:
        """The cells with bytes as text. Raises :exc:`Malformed` where one is of no type that its column has."""
        fixed = [cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell for cell in cells]
        for cell, allowed in zip(fixed, types, strict=False):
            if type(cell) not in allowed:
                raise Malformed(f"section {self._schema.name}: a cell of type {type(cell).__name__} is out of place")
            if type(cell) is float and not abs(cell) <= _LARGEST:
                raise self._no_number()
        return tuple(fixed)

    def _no_number(self) -> Malformed:
        return Malformed(f"section {self._schema.name}: a cell is no number, or too large for one")


class FrameDecoder:
    """Reads the frames and deltas of one peer. Keeps the peer's columns from keyframe to keyframe.

    Sections that this version does not know are passed over.
    """

    def __init__(self) -> None:
        self._decoders: dict[str, SectionDecoder] = {}

    def frame(self, message: Wire) -> Frame:
        """The frame in a ``snapshot`` answer or a ``frame`` notification. Raises :exc:`Malformed`."""
        message = _map(message, "a frame")
        sections = {
            name: self.section(name, body)
            for name, body in _map(message.get("sections"), "sections").items()
            if name in SECTIONS
        }
        return Frame(
            _int(message, "seq"), _int(message, "time_ns"), _int(message, "boottime_ns"), _text(message, "boot_id"),
            sections,
        )  # fmt: skip

    def section(self, name: str, body: Wire) -> Section:
        """One section; its columns are kept for the deltas that follow."""
        body = _map(body, f"section {name}")
        columns = _list(body, "columns")
        decoder = self._decoders.get(name)
        if decoder is None or decoder.columns != tuple(columns):
            decoder = self._decoders[name] = SectionDecoder(SECTIONS[name], columns)
        length = SECTIONS[name].key_length
        rows = {row[:length]: row for row in map(decoder.row, _list(body, "rows"))}
        return Section(_int(body, "sampled_boottime_ns"), rows)

    def delta(self, message: Wire) -> Delta:
        """The delta in a ``delta`` notification. Raises :exc:`Malformed`."""
        message = _map(message, "a delta")
        sections = {
            name: self.section_change(name, body)
            for name, body in _map(message.get("sections"), "sections").items()
            if name in SECTIONS
        }
        gone = tuple(name for name in _list(message, "gone_sections") if isinstance(name, str) and name in SECTIONS)
        return Delta(
            _int(message, "base_seq"), _int(message, "seq"), _int(message, "time_ns"), _int(message, "boottime_ns"),
            _text(message, "boot_id"), sections, gone,
        )  # fmt: skip

    def section_change(self, name: str, body: Wire) -> SectionDelta | Section:
        """What a delta says of one section: its delta, or the whole of it."""
        body = _map(body, f"section {name}")
        if "columns" in body:
            return self.section(name, body)
        decoder = self._decoders.get(name)
        if decoder is None:
            raise Malformed(f"section {name}: a delta came before the section itself")
        return SectionDelta(
            _int(body, "sampled_boottime_ns"),
            tuple(map(decoder.row, _list(body, "new"))),
            tuple(map(decoder.change, _list(body, "changed"))),
            tuple(map(decoder.key, _list(body, "gone"))),
        )


def _map(value: Wire, what: str) -> dict[Any, Wire]:
    if not isinstance(value, dict):
        raise Malformed(f"{what}: a map was expected")
    return value


def _list(body: Mapping[str, Wire], name: str) -> list[Wire]:
    value = body.get(name)
    if not isinstance(value, list):
        raise Malformed(f"{name}: a list was expected")
    return value


def _int(body: Mapping[str, Wire], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or not value < 1 << 63:
        raise Malformed(f"{name}: an integer of 63 bits was expected")
    return value


def _text(body: Mapping[str, Wire], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Malformed(f"{name}: text was expected")
    return value
