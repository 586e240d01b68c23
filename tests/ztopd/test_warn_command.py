"""The command of a warning: a real one, and what it inherits."""

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.nvml.velocity import Eta
from ztopd.configuration import ConfigurationError, GpuConfiguration, parse_configuration, read_configuration
from ztopd.warn_command import WarnCommand, environment

WARNING = VramLow("GPU-1", "A\x1b]0;100\x07", False, 0, Eta(40.04, 38.0, None), 209715200.4, 8 << 30, 4711)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def script(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_what_the_command_is_told() -> None:
    assert environment(WARNING) == {
        "ZTOP_GPU_UUID": "GPU-1",
        "ZTOP_GPU_NAME": "A?]0;100?",
        "ZTOP_GPU_INDEX": "0",
        "ZTOP_ETA_SECONDS": "40.0",
        "ZTOP_ETA_LOW_SECONDS": "38.0",
        "ZTOP_FREE_BYTES": str(8 << 30),
        "ZTOP_VELOCITY_BYTES_PER_SECOND": "209715200",
        "ZTOP_PID": "4711",
    }
    unknown = VramLow("GPU-1", None, False, 0, WARNING.eta, 1.0, 5, None)
    assert not {"ZTOP_PID", "ZTOP_GPU_NAME"} & set(environment(unknown))


def test_it_runs_with_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("ZTOP_SOCKET", "x")
    report = tmp_path / "report"
    body = f"""
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
fds = sorted(os.readlink(f"/proc/self/fd/{{fd}}") for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{{fd}}"))
lines = [repr(sys.argv[1:]), repr(sorted(os.environ)), status["CapEff"].strip(), status["CapPrm"].strip(),
         status["NoNewPrivs"].strip(), os.readlink("/proc/self/fd/0"), os.readlink("/proc/self/fd/1"), repr(fds)]
open({str(report)!r} + ".new", "w").write(chr(10).join(lines))
os.rename({str(report)!r} + ".new", {str(report)!r})
"""
    kept_open = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept_open, True)
    try:
        WarnCommand([script(tmp_path / "command", body), "a; b", "$HOME"])(WARNING)
        until(report.exists, "the command ran")
    finally:
        os.close(kept_open)
    words, names, effective, permitted, no_new, stdin, stdout, descriptors = report.read_text().splitlines()
    assert words == "['a; b', '$HOME']"
    assert names == repr(sorted([*environment(WARNING), "LANG", "PATH"]))
    assert (int(effective, 16), int(permitted, 16), no_new) == (0, 0, "1")
    assert (stdin, stdout, descriptors) == ("/dev/null", "/dev/null", "[]")


def test_it_is_killed_when_it_takes_too_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    began = tmp_path / "began"
    body = f"open({str(began)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    WarnCommand([script(tmp_path / "command", body)], timeout_s=3)(WARNING)
    until(lambda: "was killed" in caplog.text, "it was killed")
    until(lambda: not os.path.exists(f"/proc/{began.read_text()}"), "it is gone")


def test_once_a_minute_for_each_gpu(tmp_path: Path) -> None:
    command = WarnCommand([script(tmp_path / "command", f"open({str(tmp_path)!r} + '/ran', 'a').write('x')")])
    other = VramLow("GPU-2", None, False, 1, WARNING.eta, 1.0, 5, None)
    for warning in (WARNING, WARNING, other, WARNING):
        command(warning)
    until(lambda: (tmp_path / "ran").exists() and (tmp_path / "ran").read_text() == "xx", "both ran")
    time.sleep(0.3)
    assert (tmp_path / "ran").read_text() == "xx"


@pytest.mark.parametrize(("path", "status"), [("/nonexistent", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_started_is_logged(path: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    WarnCommand([path])(WARNING)
    until(lambda: f"{path} ended with status {status}" in caplog.text, "it was logged")


def test_the_settings() -> None:
    text = '[gpu]\ninterval_ms = 500\nwarn_seconds = 90\nwarn_command = ["/usr/bin/logger", "-t", "gpu"]'
    assert parse_configuration(text, is_roots=True).gpu == GpuConfiguration(500, 90, ("/usr/bin/logger", "-t", "gpu"))
    with pytest.raises(ConfigurationError, match="gpu: warn_command: only a file of root's that nobody else can write"):
        parse_configuration(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("warn_command = ['logger']", "a list of an absolute path and arguments was expected"),
        ("warn_command = ['/bin/a', 5]", "a list of an absolute path and arguments was expected"),
        ("warn_command = '/bin/a'", "a list of texts was expected"),
        ("interval_ms = 10", "50 to 1000 may stand there"),
        ("warn_seconds = 0", "1 to 3600 may stand there"),
        ("warn = 1", "the keys are interval_ms, warn_seconds, warn_command"),
    ],
)
def test_wrong_settings(line: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^gpu: .*{words}"):
        parse_configuration(f"[gpu]\n{line}", is_roots=True)


@pytest.mark.parametrize("mode", [0o644, 0o664, 0o646])
def test_only_root_may_name_a_command(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "ztopd.toml"
    file.write_text('[gpu]\nwarn_command = ["/bin/true"]\n')
    file.chmod(mode)
    if os.geteuid() == 0 and not mode & (stat.S_IWGRP | stat.S_IWOTH):
        assert read_configuration(str(file)).gpu.warn_command == ("/bin/true",)
        os.chown(file, 12345, 0)
    with pytest.raises(ConfigurationError, match="only a file of root's"):
        read_configuration(str(file))
