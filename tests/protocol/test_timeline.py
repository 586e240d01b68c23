"""The timeline against a naive list, over clocks that step, boots, gaps and segments that were removed."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from ztop_protocol.segment import EncodedFrame, Segment, Stamp
from ztop_protocol.timeline import MILLISECOND_NS, Timeline, milliseconds

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Event:
    """What happens before a frame."""

    pause_ms: int
    clock_step_ms: int
    reboots: bool
    ends_segment: bool


events = st.lists(
    st.builds(
        Event,
        pause_ms=st.one_of(st.just(1000), st.integers(100, 5000)),
        clock_step_ms=st.one_of(st.just(0), st.just(0), st.integers(-20_000, 20_000)),
        reboots=st.integers(0, 9).map(lambda n: n == 0),
        ends_segment=st.integers(0, 4).map(lambda n: n == 0),
    ),
    min_size=1,
    max_size=60,
)


def recorded(happened: list[Event]) -> tuple[Timeline[Segment], list[Stamp]]:
    """The timeline of what happened, and its frames in order."""
    timeline: Timeline[Segment] = Timeline()
    every: list[Stamp] = []
    boot, boottime_ns, offset_ns = 0, 100 * SECOND, 1_000_000 * SECOND
    segment: Segment | None = None
    for number, event in enumerate(happened):
        boottime_ns += event.pause_ms * MILLISECOND_NS
        offset_ns += event.clock_step_ms * MILLISECOND_NS
        if event.reboots:
            boot += 1
            offset_ns += boottime_ns - SECOND
            boottime_ns = SECOND
        frame = EncodedFrame(
            number + 1, boottime_ns + offset_ns, boottime_ns, f"boot{boot}", number or None, {}, (), {}
        )
        if segment is None or event.ends_segment or not segment.leads_to(frame):
            segment = Segment.begun_by(frame, SECOND)
            timeline.append(segment)
        else:
            segment.add(frame)
        every.append(frame.stamp)
    return timeline, every


def naive(every: list[Stamp], time_ns: int) -> Stamp | None:
    """The greatest time that is not later, of equals the last."""
    before = [stamp for stamp in every if milliseconds(stamp.time_ns) <= milliseconds(time_ns)]
    return max(before, key=lambda stamp: (milliseconds(stamp.time_ns), stamp.seq)) if before else None


@settings(max_examples=300)
@given(events, st.data())
def test_any_moment(happened: list[Event], data: st.DataObject) -> None:
    timeline, every = recorded(happened)
    near = data.draw(st.sampled_from(every)).time_ns
    time_ns = near + data.draw(st.integers(-3000, 3000)) * MILLISECOND_NS // 2
    found = timeline.at_time(time_ns)
    assert (None if found is None else found.stamp) == naive(every, time_ns)


@given(events)
def test_every_frame_by_its_number_and_its_neighbours(happened: list[Event]) -> None:
    timeline, every = recorded(happened)
    places = [timeline.at_seq(stamp.seq) for stamp in every]
    assert [place and place.stamp for place in places] == every
    assert timeline.at_seq(0) is None
    assert timeline.at_seq(len(every) + 1) is None
    for place, earlier, later in zip(places, [None, *every[:-1]], [*every[1:], None], strict=True):
        assert place is not None
        before, after = timeline.before(place), timeline.after(place)
        assert (before and before.stamp) == earlier
        assert (after and after.stamp) == later


@given(events, st.integers(0, 59))
def test_what_was_removed_is_not_found(happened: list[Event], which: int) -> None:
    timeline, every = recorded(happened)
    pieces = list(timeline)
    removed = pieces[which % len(pieces)]
    timeline.remove(removed)
    left = [stamp for stamp in every if stamp not in removed.stamps]
    for stamp in every:
        found = timeline.at_time(stamp.time_ns)
        assert (None if found is None else found.stamp) == naive(left, stamp.time_ns)


class TestAges:
    def test_whole_milliseconds_and_gaps(self) -> None:
        timeline, every = recorded([Event(1000, 0, False, False)] * 3)
        last = every[-1].time_ns
        place = timeline.at_time(last + 2 * SECOND + 400_000)
        assert place is not None
        assert (place.stamp.seq, place.age_ns(last + 2 * SECOND + 400_000)) == (3, 2 * SECOND)
        assert not place.is_before_gap(last + 2 * SECOND)
        assert place.is_before_gap(last + 3 * SECOND)

    def test_the_same_millisecond_counts(self) -> None:
        timeline, every = recorded([Event(1000, 0, False, False)] * 2)
        asked_ns = milliseconds(every[1].time_ns) * MILLISECOND_NS
        found = timeline.at_time(asked_ns)
        assert found is not None and found.stamp == every[1]

    def test_before_everything(self) -> None:
        timeline, every = recorded([Event(1000, 0, False, False)] * 2)
        assert timeline.at_time(every[0].time_ns - SECOND) is None
        oldest = timeline.oldest()
        assert oldest is not None and oldest.stamp == every[0]

    def test_between(self) -> None:
        timeline, every = recorded([Event(1000, 0, False, True)] * 5)
        inside = timeline.between(every[1].time_ns, every[3].time_ns)
        assert [piece.first for piece in inside] == every[1:4]
