"""The bar at the bottom of the screen."""

from ztop_client.glyphs import UNICODE
from ztop_client.keys import Action
from ztop_client.widgets.footer import button_at, button_bar


def test_the_bottom_bar_is_made_of_the_keys() -> None:
    def buttons(width: int) -> list[str]:
        return b"".join(run[2] for run in button_bar(width, UNICODE)).decode().split()

    least = ["F1Help", "F3Search", "F4Filter", "F5Tree", "F6Sort", "rRewind", "F7Nice-", "F8Nice+", "F9Kill", "F10Quit"]
    assert buttons(80) == least
    assert buttons(79) == least
    assert buttons(120) == [*least, "EnterInfo", "TabNext", "uUser", "HThreads"]
    found = button_at(80, 90, UNICODE)
    assert found is not None
    assert found.action is Action.PROCESS
    assert button_at(80, 80, UNICODE) is None
