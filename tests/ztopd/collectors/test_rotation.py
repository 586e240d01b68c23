from ztopd.collectors.rotation import Rotation


class Source:
    """Facts that a test can change; remembers what was read."""

    def __init__(self) -> None:
        self.facts: dict[str, int] = {}
        self.reads: list[str] = []

    def read(self, name: str) -> int:
        self.reads.append(name)
        return self.facts.get(name, 0)


def test_a_fact_is_read_once_and_again_when_it_is_old() -> None:
    source = Source()
    rotation = Rotation(source.read, 100, 10)
    assert rotation.fact("a", 0) == rotation.fact("a", 50) == 0
    assert source.reads == ["a"]
    source.facts["a"] = 1
    assert rotation.turn(99) == set()
    assert rotation.turn(100) == {"a"}
    assert rotation.fact("a", 100) == 1
    assert rotation.turn(199) == set()


def test_what_is_the_same_still_is_not_called_changed() -> None:
    source = Source()
    rotation = Rotation(source.read, 100, 10)
    rotation.fact("a", 0)
    assert rotation.turn(100) == set()
    assert source.reads == ["a", "a"]


def test_few_at_a_time_and_everyone_in_turn() -> None:
    source = Source()
    rotation = Rotation(source.read, 100, 3)
    names = [f"n{number}" for number in range(10)]
    for name in names:
        rotation.fact(name, 0)
    source.reads.clear()
    for now in range(100, 104):
        before = len(source.reads)
        rotation.turn(now)
        assert len(source.reads) - before <= 3
    assert source.reads == names


def test_names_that_are_gone_are_forgotten() -> None:
    source = Source()
    rotation = Rotation(source.read, 100, 10)
    for name in "abc":
        rotation.fact(name, 0)
    rotation.forget_others({"b"})
    assert len(rotation) == 1
    rotation.fact("a", 0)
    assert source.reads == ["a", "b", "c", "a"]
