"""The funnel: whatever the binding raises becomes a value or a named state."""

from types import SimpleNamespace
from typing import Any

import pytest

from ztopd.collectors.nvml import library
from ztopd.collectors.nvml.library import Call, DriverGone, GpuLost, Nvml, Refused


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"Error {self.value}"


class NVMLLibraryMismatchError(Exception):
    """Not an NVMLError, as in the binding."""


def nvml_that(monkeypatch: pytest.MonkeyPatch, error: Exception | None, init: Exception | None = None) -> Nvml:
    def raising(what: Exception | None) -> Any:
        def call(*arguments: object) -> object:
            if what is not None:
                raise what
            return arguments

        return call

    binding = SimpleNamespace(
        NVMLError=NVMLError,
        NVMLLibraryMismatchError=NVMLLibraryMismatchError,
        nvmlInit=raising(init),
        asked=raising(error),
    )
    monkeypatch.setattr(library.importlib, "import_module", lambda name: binding)
    return Nvml(Call())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((NVMLError(code), Refused) for code in (0, 2, 3, 4, 6, 7, 10, 13, 21, 25, 999)),
        *((NVMLError(code), GpuLost) for code in (15, 16, 28)),
        *((NVMLError(code), DriverGone) for code in (1, 9, 12, 18)),
        (NVMLLibraryMismatchError("use a versioned function"), Refused),
        (TypeError("NoneType"), Refused),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), Refused),
    ],
)
def test_every_error_has_a_name(monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]) -> None:
    nvml, call = nvml_that(monkeypatch, error), Call()
    with pytest.raises(kind) as raised:
        nvml.ask(call, "asked", 1)
    assert str(raised.value) and call.running is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [(3, Refused), (7, Refused), (999, Refused), (15, GpuLost), (16, GpuLost), (1, DriverGone), (18, DriverGone)],
)
def test_every_status_has_the_same_name(monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]) -> None:
    """What the library itself returns is told as what the binding raises."""
    nvml, call = nvml_that(monkeypatch, NVMLError(code)), Call()
    seen: list[str] = []

    def nvmlSomething(argument: int) -> int:
        assert call.running is not None
        seen.append(f"{call.running[0]}({argument})")
        return code if argument else 0

    nvml.call(call, nvmlSomething, 0)
    with pytest.raises(kind) as raised:
        nvml.call(call, nvmlSomething, 1)
    assert (seen, call.running) == (["nvmlSomething(0)", "nvmlSomething(1)"], None)
    with pytest.raises(kind) as asked:
        nvml.ask(call, "asked")
    assert str(asked.value) == str(raised.value)


def test_a_function_that_this_driver_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = nvml_that(monkeypatch, None)
    monkeypatch.setattr(library.ctypes, "CDLL", lambda name: SimpleNamespace(nvmlOld=1))
    assert nvml.function("nvmlOld") == 1
    with pytest.raises(Refused, match="Error 13") as refused:
        nvml.function("nvmlNew")
    assert refused.value.lasting


def test_an_error_of_ours_is_no_answer_of_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = nvml_that(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        nvml.ask(Call(), "asked")


def test_a_function_that_this_binding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = nvml_that(monkeypatch, None)
    assert nvml.ask(Call(), "asked", 1, 2) == (1, 2)
    with pytest.raises(Refused, match="this nvidia-ml-py has no nvmlNew"):
        nvml.ask(Call(), "nvmlNew")
    with pytest.raises(Refused, match="has no c_new_t"):
        nvml.make("c_new_t")


@pytest.mark.parametrize(("code", "words"), [(9, "is not loaded"), (18, "another version"), (3, "cannot be initial")])
def test_a_driver_that_cannot_be_brought_up(monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    with pytest.raises(DriverGone, match=words):
        nvml_that(monkeypatch, None, NVMLError(code))
