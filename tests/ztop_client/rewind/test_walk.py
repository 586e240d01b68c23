"""Steps through the past, against a plain list of frames."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recorded_frames import made
from tests.ztop_client.rewind.remembering import Remembering
from ztop_client.rewind.walk import Walk
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame
from ztop_protocol.rates import rates

SECOND = 10**9


class Person:
    """Walks, and keeps what was said."""

    def __init__(self, daemon: Remembering) -> None:
        self.said: list[str] = []
        self.moves = 0
        self.ends = 0
        self.walk = Walk(daemon.ask, self._moved, self.said.append, self._ended)

    def _moved(self) -> None:
        self.moves += 1

    def _ended(self) -> None:
        self.ends += 1

    @property
    def seq(self) -> int:
        assert self.walk.pair is not None
        return self.walk.pair.current.seq


def chain(frames: list[Frame]) -> list[Pair]:
    pairs = [Pair(None, frames[0])]
    for frame in frames[1:]:
        pairs.append(pairs[-1].followed_by(frame))
    return pairs


frame_lists = st.lists(st.integers(1, 3), min_size=1, max_size=40).map(
    lambda gaps: [made(sum(gaps[: place + 1])) for place in range(len(gaps))]
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(-12, 12)),
        st.tuples(st.just("step_time"), st.sampled_from([-60, -5, 5, 60])),
        st.tuples(st.just("to_time"), st.integers(-2, 130)),
        st.tuples(st.just("to_seq"), st.integers(0, 130)),
        st.tuples(st.just("to_oldest"), st.just(0)),
        st.tuples(st.just("to_newest"), st.just(0)),
    ),
    max_size=12,
)


def place_after(frames: list[Frame], here: int | None, move: tuple[str, int]) -> int | None:
    """The index that a move leads to; None where it leads nowhere."""
    name, value = move
    if name in ("step", "step_time") and (here is None or not value):
        return None
    if name == "to_oldest":
        return 0
    if name == "to_newest":
        return len(frames) - 1
    if name == "to_seq":
        return max((place for place, frame in enumerate(frames) if frame.seq <= value), default=None)
    if name == "to_time":
        start = frames[0].time_ns - frames[0].seq * SECOND
        return max(
            (place for place, frame in enumerate(frames) if frame.time_ns <= start + value * SECOND), default=None
        )
    assert here is not None
    if name == "step":
        seq = frames[here].seq + value
        if value < 0:
            return max((place for place, frame in enumerate(frames) if frame.seq <= seq), default=None)
        return min((place for place, frame in enumerate(frames) if frame.seq >= seq), default=None)
    time_ns = frames[here].time_ns + value * SECOND
    found = max((place for place, frame in enumerate(frames) if frame.time_ns <= time_ns), default=None)
    if found == here:
        found = here + (1 if value > 0 else -1)
    return found if found is not None and 0 <= found < len(frames) else None


@given(frame_lists, st.lists(st.integers(0, 40), max_size=8), moves)
def test_every_move_leads_where_it_should(frames: list[Frame], breaks: list[int], taken: list[tuple[str, int]]) -> None:
    person = Person(Remembering(frames, [one for one in breaks if one < len(frames)]))
    expected = chain(frames)
    start = frames[0].time_ns - frames[0].seq * SECOND
    here: int | None = None
    for name, value in taken:
        after = place_after(frames, here, (name, value))
        before = person.moves
        argument = {"step_time": value * SECOND, "to_time": start + value * SECOND}.get(name, value)
        getattr(person.walk, name)(*(() if name in ("to_oldest", "to_newest") else (argument,)))
        assert not person.walk.is_waiting
        if after is None:
            assert person.moves == before
            continue
        here = after
        assert person.seq == frames[here].seq
        pair = person.walk.pair
        assert pair is not None
        assert pair.current.sections["processes"].rows == frames[here].sections["processes"].rows
        assert rates(pair.previous, pair.current, "processes") == rates(
            expected[here].previous, expected[here].current, "processes"
        )


@pytest.fixture
def daemon() -> Remembering:
    return Remembering([made(seq) for seq in range(1, 101)], range(0, 100, 20))


def test_nothing_is_asked_for_twice(daemon: Remembering) -> None:
    person = Person(daemon)
    person.walk.to_seq(50)
    person.walk.step(-15)
    asked = len(daemon.asked)
    for step in (-1, 10, -1, 5, -15, 3):
        person.walk.step(step)
    assert person.seq == 36
    assert len(daemon.asked) == asked


def test_steps_add_up_while_one_waits(daemon: Remembering) -> None:
    person = Person(daemon)
    person.walk.to_seq(50)
    daemon.waits = True
    for _ in range(30):
        person.walk.step(-1)
    assert person.walk.is_waiting
    daemon.answer()
    assert person.seq == 20
    assert not person.walk.is_waiting


def test_what_is_wanted_last_counts(daemon: Remembering) -> None:
    person = Person(daemon)
    daemon.waits = True
    person.walk.to_seq(5)
    person.walk.to_seq(95)
    person.walk.to_seq(33)
    daemon.answer()
    assert person.seq == 33


def test_the_ends(daemon: Remembering) -> None:
    person = Person(daemon)
    person.walk.to_newest()
    person.walk.step(1)
    assert (person.seq, person.ends, person.said) == (100, 1, [])
    person.walk.to_oldest()
    person.walk.step(-1)
    assert (person.seq, person.ends, person.said) == (1, 1, ["nothing is kept of that"])


def test_the_newest_segment_grows() -> None:
    frames = [made(seq) for seq in range(1, 41)]
    daemon = Remembering(frames[:30], [20])
    person = Person(daemon)
    person.walk.to_newest()
    daemon.timeline = Remembering(frames, [20]).timeline
    person.walk.step(1)
    assert person.seq == 31
    person.walk.to_newest()
    assert person.seq == 40


def test_a_daemon_that_answers_nonsense_is_said_to(daemon: Remembering) -> None:
    person = Person(daemon)
    for answer in (None, {}, {"seq": 1}, {"seq": 1, "segment": {}}, {"seq": "x", "segment": None}):
        walk = Walk(lambda _method, _arguments, done, answer=answer: done(answer), person._moved, person.said.append,
                    person._ended)  # fmt: skip
        walk.to_seq(3)
        assert walk.pair is None
    assert len(person.said) == 5
    assert all("cannot be read" in sentence for sentence in person.said)


def test_a_reboot_has_no_rates_across() -> None:
    frames = [made(1), made(2), *(replace(made(seq), boot_id="another") for seq in (3, 4))]
    person = Person(Remembering(frames, [2]))
    person.walk.to_seq(3)
    assert person.walk.pair is not None
    assert person.walk.pair.previous is None
    person.walk.step(1)
    assert person.walk.pair.previous is not None


def test_what_is_looked_at_ahead_is_there_without_asking() -> None:
    frames = [made(seq) for seq in range(1, 101)]
    daemon = Remembering(frames, range(0, 100, 20))
    person = Person(daemon)
    person.walk.to_seq(70)
    turns = 0
    while person.walk.look_ahead():
        turns += 1
        assert turns < 20
    # so it ends at once the next time
    assert not person.walk.look_ahead()
    asked = len(daemon.asked)
    assert [pair.current.seq for pair in person.walk.pairs_before(1000)] == list(range(70, 20, -1))
    person.walk.step(-20)
    assert person.seq == 50
    assert len(daemon.asked) == asked == 3
    assert person.walk.pair == chain(frames)[49]


def test_there_is_nothing_ahead_of_the_oldest() -> None:
    person = Person(Remembering([made(seq) for seq in range(1, 31)], range(0, 30, 10)))
    assert not person.walk.look_ahead()
    person.walk.to_oldest()
    assert not person.walk.look_ahead()
    person.walk.to_seq(15)
    turns = [person.walk.look_ahead() for _ in range(3)]
    assert turns[-1] is False


def test_who_stopped_is_moved_by_nothing() -> None:
    daemon = Remembering([made(seq) for seq in range(1, 31)], range(0, 30, 10))
    person = Person(daemon)
    daemon.waits = True
    person.walk.to_seq(15)
    person.walk.stop()
    daemon.answer()
    assert person.walk.pair is None
    assert (person.moves, person.said) == (0, [])
    person.walk.to_seq(5)
    daemon.answer()
    assert person.seq == 5


def test_what_was_decoded_up_to_here_is_given_the_last_first() -> None:
    frames = [made(seq) for seq in range(1, 41)]
    person = Person(Remembering(frames, range(0, 40, 10)))
    assert person.walk.pairs_before(5) == []
    person.walk.to_seq(25)
    known = person.walk.pairs_before(100)
    assert known == chain(frames)[24:10:-1] + known[14:]
    assert [pair.current.seq for pair in known] == list(range(25, 10, -1))
    assert [pair.current.seq for pair in person.walk.pairs_before(3)] == [25, 24, 23]


def test_a_step_in_time_before_the_first_frame_came_begins_where_one_entered(daemon: Remembering) -> None:
    person = Person(daemon)
    daemon.waits = True
    person.walk.begin(Pair(None, made(90)))
    person.walk.step_time(-60 * SECOND)
    daemon.answer()
    assert person.seq == 30


def test_who_left_begins_from_there_no_more(daemon: Remembering) -> None:
    person = Person(daemon)
    daemon.waits = True
    person.walk.begin(Pair(None, made(90)))
    person.walk.stop()
    person.walk.step_time(-60 * SECOND)
    daemon.answer()
    assert person.walk.pair is None and not person.walk.is_waiting
