"""The wheel holds the three packages and nothing else."""

import ast
import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ztop_protocol.version import VERSION
from ztopd.installing.package import SHARED

ROOT = Path(__file__).parent.parent
PACKAGES = {"ztop_protocol": ROOT / "protocol", "ztopd": ROOT, "ztop_client": ROOT}


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (built,) = folder.iterdir()
    return built


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_it_holds_only_what_belongs(wheel: Path) -> None:
    info, data = f"ztop-{VERSION}.dist-info", f"ztop-{VERSION}.data"
    assert wheel.name == f"ztop-{VERSION}-py3-none-any.whl"
    assert {name.partition("/")[0] for name in names(wheel)} == {*PACKAGES, info, data}
    assert f"{info}/licenses/LICENSE" in names(wheel)
    assert not [name for name in names(wheel) if "tests/" in name]
    assert {name for name in names(wheel) if name.startswith(data)} == {f"{data}/data/share/{one}" for one in SHARED}
    packaged = [Path(name) for name in names(wheel) if not name.startswith((info, data))]
    units = {path for path in packaged if path.parts[:2] == ("ztopd", "systemd")}
    assert {path.suffix for path in units} == {".service", ".socket", ".conf"}
    assert {path.suffix or path.name for path in packaged if path not in units} == {".py", ".typed"}


@pytest.mark.parametrize("package", PACKAGES)
def test_it_holds_all_of_each_package(wheel: Path, package: str) -> None:
    base = PACKAGES[package]
    modules = {path.relative_to(base).as_posix() for path in (base / package).rglob("*.py")}
    assert modules
    assert modules | {f"{package}/py.typed"} <= set(names(wheel))


def test_its_programs_are_there(unpacked: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read(unpacked / f"ztop-{VERSION}.dist-info" / "entry_points.txt")
    programs = dict(entry_points["console_scripts"])
    assert programs == {"ztopd": "ztopd.cli:main", "ztop": "ztop_client.cli:main", "ztop-g": "ztop_client.gpu.cli:main"}
    for program in programs.values():
        module, function = program.split(":")
        tree = ast.parse((unpacked / (module.replace(".", "/") + ".py")).read_text())
        assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("module", ["ztopd", "ztop_client"])
def test_it_runs_by_itself(unpacked: Path, tmp_path: Path, module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-m", module, "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert VERSION in result.stdout


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "sdist").mkdir()
    (tmp_path / "wheel").mkdir()
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    subprocess.run(["tar", "-xzf", sdist, "-C", tmp_path], check=True)
    assert names(build(tmp_path / f"ztop-{VERSION}", "wheel", tmp_path / "wheel")) == names(wheel)
