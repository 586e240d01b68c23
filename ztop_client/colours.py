"""The colours of the screen, as data: what each means, in truecolor and 256, in 16, and without colour.

Names with :data:`SELECTED` appended are the same on the background of the selected row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SELECTED = "@selected"
_SELECTED_HIGH, _SELECTED_BASIC = "#2a4158", "dark blue"

PaletteEntry = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Style:
    """One meaning. ``high`` for 256 colours and more, ``basic`` for 16, ``mono`` (settings) for none."""

    name: str
    high: str
    basic: str
    mono: str = "default"
    high_background: str = "default"
    basic_background: str = "default"


_BAR_HIGH = "#1c2733"

TABLE_STYLES: tuple[Style, ...] = (
    Style("text", "default", "default"),
    Style("dim", "#76828e", "dark gray"),
    Style("pid", "#8a97a5", "dark cyan"),
    Style("own_user", "#8fbcd4", "light cyan"),
    Style("other_user", "#9aa5b1", "light gray"),
    Style("root_user", "#c09a6b", "brown"),
    Style("warm", "#e5c07b", "yellow", "bold"),
    Style("hot", "#ef7b72,bold", "light red,bold", "bold,underline"),
    Style("memory_bound", "#d19ad8", "light magenta", "bold"),
    Style("compute_bound", "#8ccf7e", "light green"),
    Style("ipc_drop", "#ef7b72,bold,underline", "light red,bold", "standout"),
    Style("alarm", "#ffffff,bold", "white,bold", "standout,bold", "#b5403a", "dark red"),
    Style("large", "#7fc8b2", "light green", "bold"),
    Style("running", "#8ccf7e,bold", "light green", "bold"),
    Style("blocked", "#ef7b72,bold", "light red", "bold,underline"),
    Style("stopped", "#e5c07b", "yellow", "bold"),
    Style("zombie", "#d19ad8,bold", "light magenta", "bold"),
    Style("high_priority", "#e5a07b", "light red", "bold"),
    Style("low_priority", "#8ccf7e", "dark green"),
    Style("path", "#76828e", "dark gray"),
    Style("program", "#e8edf2,bold", "white,bold", "bold"),
    Style("arguments", "#a9b4bf", "light gray"),
    Style("kernel", "#6c7a89", "dark gray"),
    Style("thread", "#7fb08f", "dark green"),
    Style("branch", "#56687a", "dark cyan"),
    Style("tagged", "#f2cc60,bold", "yellow,bold", "bold,underline"),
)
"""What a process row is made of; each also exists on the selected row's background."""

SCREEN_STYLES: tuple[Style, ...] = (
    Style("title", "#a9b4bf", "black", "standout", _BAR_HIGH, "light gray"),
    Style("title_name", "#0f1720,bold", "white,bold", "standout,bold", "#6fb3d2", "dark blue"),
    Style("title_host", "#e8edf2,bold", "black,bold", "standout,bold", _BAR_HIGH, "light gray"),
    Style("title_live", "#8ccf7e", "dark green", "standout", _BAR_HIGH, "light gray"),
    Style("title_lost", "#ffffff,bold", "white,bold", "bold", "#b5403a", "dark red"),
    Style("title_paused", "#0f1720,bold", "black,bold", "bold", "#e5c07b", "brown"),
    Style("label", "#6fb3d2", "dark cyan"),
    Style("value", "#e8edf2,bold", "white,bold", "bold"),
    Style("gpu_name", "#0f1720,bold", "black", "standout,bold", "#8fd0e8", "dark cyan"),
    Style("meter_rest", "#3b4856", "dark gray"),
    Style("cpu_user", "#6cb97a", "dark green"),
    Style("cpu_nice", "#5b93d6", "light blue"),
    Style("cpu_system", "#e07a6a", "dark red"),
    Style("cpu_irq", "#d9a441", "brown"),
    Style("cpu_steal", "#b47ec9", "dark magenta"),
    Style("cpu_iowait", "#8a97a5", "light gray"),
    Style("memory_used", "#6cb97a", "dark green"),
    Style("memory_shared", "#b47ec9", "dark magenta"),
    Style("memory_buffers", "#5b93d6", "light blue"),
    Style("memory_cache", "#c9a24b", "brown"),
    Style("memory_arc", "#4fb0ae", "dark cyan"),
    Style("swap_used", "#e07a6a", "dark red"),
    Style("heading", "#0f1720", "black", "standout", "#6d8196", "dark green"),
    Style("heading_sort", "#0f1720,bold", "black", "standout,bold", "#8fd0e8", "dark cyan"),
    Style("button_key", "#e8edf2,bold", "white,bold", "bold"),
    Style("button", "#0f1720", "black", "standout", "#6d8196", "dark cyan"),
    Style("strip_pin", "#8a97a5", "light gray"),
    Style("strip_pin_warm", "#e5c07b,bold", "yellow", "bold"),
    Style("strip_pin_hot", "#ef7b72,bold", "light red,bold", "bold,underline"),
    Style("strip_cursor", "#0f1720,bold", "black", "standout", "#e5c07b", "brown"),
    Style("strip_mark", "#0f1720,bold", "black", "standout", "#8fd0e8", "dark cyan"),
    Style("prompt", "#0f1720", "black", "standout", "#e5c07b", "brown"),
    Style("message", "#e8edf2", "white", "bold", "#3a2d2d", "dark red"),
    Style("box", "#8fbcd4", "light cyan", "default", "#141c25", "default"),
    Style("box_title", "#e8edf2,bold", "white,bold", "bold", "#141c25", "default"),
    Style("box_text", "#c3ccd5", "default", "default", "#141c25", "default"),
    Style("box_key", "#8fd0e8,bold", "light cyan", "bold", "#141c25", "default"),
    Style("box_heading", "#e5c07b,bold", "yellow", "bold", "#141c25", "default"),
    Style("box_danger", "#ef7b72,bold", "light red", "bold", "#141c25", "default"),
    Style("box_selected", "#0f1720,bold", "black", "standout", "#8fd0e8", "dark cyan"),
)


def palette() -> Iterator[PaletteEntry]:
    """The entries for urwid: name, 16-colour fore- and background, mono, high-colour fore- and background."""
    for style in (*TABLE_STYLES, *SCREEN_STYLES):
        yield (
            *(style.name, style.basic, style.basic_background, style.mono),
            *(style.high, style.high_background),
        )
    for style in TABLE_STYLES:
        high = style.high if style.high != "default" else "#e8edf2"
        # an alarm is one on every row
        own = style.high_background != "default"
        basic, background = (
            (style.basic_background, style.high_background) if own else (_SELECTED_BASIC, _SELECTED_HIGH)
        )
        yield (style.name + SELECTED, "white", basic, "standout", high, background)
