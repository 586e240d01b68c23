"""The newest two frames, kept as the bytes that the sampler sent; a section is decoded when somebody asks for it."""

from collections.abc import Iterator

from ztop_protocol.codec import FrameDecoder, Malformed, unpack
from ztop_protocol.frame import Frame, Section, SectionDelta, apply_section
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame


class Latest:
    """The newest frame and the one before it: the last keyframe and the messages since, at most a segment of them."""

    def __init__(self) -> None:
        self.newest: EncodedFrame | None = None
        self.previous: EncodedFrame | None = None
        """The frame before the newest; the newest does not start from it where there is a gap between the two."""
        self._messages: list[EncodedFrame] = []
        """In order; begins with a keyframe."""
        self._decoder = FrameDecoder()
        self._decoded: dict[str, dict[int, Section]] = {}
        """The last two states of a section that were asked for, by the seq of the message that changed it."""

    def take(self, message: EncodedFrame) -> None:
        """Takes the next message of the feed. Raises :exc:`ValueError` for one that nothing leads to."""
        if message.keyframe is None and (self.newest is None or message.base_seq != self.newest.seq):
            raise ValueError(f"frame {message.seq} starts from frame {message.base_seq}, which is not the newest")
        self.previous, self.newest = self.newest, message
        if self.previous is not None and self.previous.keyframe is not None:
            del self._messages[:-1]
            for states in self._decoded.values():
                for seq in [seq for seq in states if seq < self.previous.seq]:
                    del states[seq]
        self._messages.append(message)

    def section_names(self, seq: int) -> list[str]:
        """The sections that a frame has, in the schema's order."""
        return [name for name in SECTIONS if self._last_word(name, seq) is not None]

    def encoded(self, name: str, seq: int) -> bytes | None:
        """The whole section where it lies encoded already; else None."""
        message = self._last_word(name, seq)
        return None if message is None or message.keyframe is None else message.keyframe[name]

    def section(self, name: str, seq: int) -> Section | None:
        """A section of the newest frame or of the one before; None where the frame does not have it.

        Between frames, rows that did not change are the same objects wherever that is possible.
        """
        message = self._last_word(name, seq)
        if message is None:
            return None
        states = self._decoded.setdefault(name, {})
        if message.seq not in states:
            states[message.seq] = self._decode(name, message, states)
            if len(states) > 2:
                del states[min(states)]
        return states[message.seq]

    def frame(self, seq: int, names: tuple[str, ...]) -> Frame:
        """The named sections of the newest frame or of the one before."""
        message = self.message(seq)
        sections = {name: section for name in names if (section := self.section(name, seq)) is not None}
        return Frame(message.seq, message.time_ns, message.boottime_ns, message.boot_id, sections)

    def message(self, seq: int) -> EncodedFrame:
        """What the sampler said of the newest frame or of the one before."""
        for message in (self.newest, self.previous):
            if message is not None and message.seq == seq:
                return message
        raise LookupError(f"frame {seq} is neither the newest nor the one before")

    def _back_from(self, seq: int) -> Iterator[EncodedFrame]:
        return (message for message in reversed(self._messages) if message.seq <= seq)

    def _last_word(self, name: str, seq: int) -> EncodedFrame | None:
        """The last message up to ``seq`` that says what is in the section; None where the section is not there."""
        for message in self._back_from(seq):
            if message.keyframe is not None:
                return message if name in message.keyframe else None
            if name in message.changes:
                return message
            if name in message.gone_sections:
                return None
        return None

    def _decode(self, name: str, message: EncodedFrame, states: dict[int, Section]) -> Section:
        steps: list[bytes] = []
        section: Section | None = None
        for step in self._back_from(message.seq):
            if step.seq in states:
                section = states[step.seq]
                break
            if step.keyframe is not None:
                before = None if step.base_seq is None else self._last_word(name, step.base_seq)
                if before is None or before.seq not in states:
                    if name in step.keyframe:
                        section = self._decoder.section(name, unpack(step.keyframe[name]))
                    break
            if name in step.changes:
                steps.append(step.changes[name])
        for packed in reversed(steps):
            change = self._decoder.section_change(name, unpack(packed))
            if isinstance(change, SectionDelta):
                if section is None:
                    raise Malformed(f"section {name}: a delta came before the section itself")
                change = apply_section(section, change, SECTIONS[name].key_length)
            section = change
        if section is None:
            raise Malformed(f"section {name}: nothing leads to frame {message.seq}")
        return section
