"""Names that mean harm, and those of other scripts, by the cells of a real terminal."""

import unicodedata
from collections.abc import Callable, Iterator

import pytest

from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.terminal_driver import Driver, rows, scripted, selected_pid

Start = Callable[[int, int], Driver]
UP, END, ESC = "\x1b[A", "\x1b[F", "\x1b"


def has_spacing_mark(text: str) -> bool:
    return any(unicodedata.category(character) == "Mc" for character in text)


class TestHostileNames:
    @pytest.fixture
    def start(self) -> Iterator[Start]:
        drivers: list[Driver] = []

        def run(columns: int, lines: int) -> Driver:
            drivers.append(Driver(scripted("--hostile", "--interval", "0.5"), columns, lines))
            drivers[-1].wait("98.0")
            return drivers[-1]

        yield run
        for driver in drivers:
            driver.__exit__(None, None, None)

    def cells(self, driver: Driver, line: int) -> list[str]:
        """What stands in every cell; in the second one of a wide character, nothing."""
        buffer = driver.screen.buffer[line]
        return [buffer[x].data for x in range(driver.screen.columns)]

    @pytest.mark.parametrize("size", [(80, 70), (160, 80)])
    def test_columns_stay_in_line(self, start: Start, size: tuple[int, int]) -> None:
        driver = start(*size)
        driver.send("N" + END)
        driver.wait(lambda: selected_pid(driver) == str(400 + len(HOSTILE) - 1))
        heading = next(n for n in range(size[1]) if "Command" in driver.screen.display[n])
        # the last cell of a column at the right edge of its title, and the gap after it
        edges = [driver.screen.display[heading].index(title) + len(title) for title in ("VIRT", "RES", "SHR", "MEM%")]
        pids = [300 + place for place in range(len(HOSTILE))] + [400 + place for place in range(len(HOSTILE))]
        spaced = [n for n in range(len(HOSTILE)) if has_spacing_mark(HOSTILE[n])]
        seen = 0
        for line in rows(driver):
            cells = self.cells(driver, line)
            if "".join(cells[:7]).strip() not in map(str, pids):
                continue
            seen += 1
            if int("".join(cells[:7])) % 100 in spaced:
                continue
            assert [cells[edge][0] for edge in edges] == [" "] * len(edges), driver.screen.display[line]
            assert [cells[edge - 1] for edge in edges] == ["M", "M", "M", "1"], driver.screen.display[line]
        assert seen == len(pids)

    # of what comes after a spacing mark this terminal draws nothing
    @pytest.mark.parametrize("place", [n for n in range(len(HOSTILE)) if not has_spacing_mark(HOSTILE[n])])
    def test_boxes_keep_their_edges(self, start: Start, place: int) -> None:
        driver = start(100, 24)
        driver.send("N" + END + UP * (2 * len(HOSTILE) - 1 - place))
        driver.wait(lambda: selected_pid(driver) == str(300 + place))
        for key, text in (("k", "SIGTERM"), ("\r", "What it is")):
            driver.send(key)
            driver.wait(lambda text=text: text in driver.text and self.is_boxed(driver))
            driver.send(ESC)
            driver.wait(lambda: "╮" not in driver.text)

    def is_boxed(self, driver: Driver) -> bool:
        """Whether the box on the screen has both of its edges in every line."""
        lines = [self.cells(driver, n) for n in range(driver.screen.lines)]
        top = next((n for n, cells in enumerate(lines) if "╭" in cells and "╮" in cells), None)
        if top is None:
            return False
        left, right = lines[top].index("╭"), lines[top].index("╮")
        edges = [(cells[left], cells[right]) for cells in lines[top:]]
        end = edges.index(("╰", "╯")) if ("╰", "╯") in edges else 0
        return end > 5 and set(edges[1:end]) == {("│", "│")}
