"""Who may import whom. The layers hold only as long as nothing reaches across them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "ztop_protocol": ROOT / "protocol" / "ztop_protocol",
    "ztopd": ROOT / "ztopd",
    "ztop_client": ROOT / "ztop_client",
}
# `compression` came to the standard library with Python 3.14.
PROTOCOL_MAY_IMPORT = sys.stdlib_module_names | {"ztop_protocol", "msgpack", "backports.zstd", "compression.zstd"}
FORBIDDEN = [
    ("ztopd", {"ztop_client", "urwid"}),
    ("ztopd.collectors", {"ztopd.server", "asyncio", "socket"}),
    ("ztop_client", {"ztopd", "pynvml"}),
    ("ztop_client.widgets", {"ztop_client.sources"}),
]
MAY_IMPORT_URWID = {"ztop_client.widgets", "ztop_client.terminal", "ztop_client.monitor", "ztop_client.inspector"}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package, by its dotted name."""
    top, _, rest = package.partition(".")
    base = PACKAGES[top]
    paths = [base.joinpath(*rest.split(".")).with_suffix(".py")] if rest else []
    paths += base.joinpath(*rest.split(".")).rglob("*.py")
    found = {}
    for path in filter(Path.is_file, paths):
        parts = [top, *path.relative_to(base).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """Every name a module imports, wherever in it, with its line; `from a import b` may mean a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)


def within(name: str, names: set[str] | frozenset[str]) -> bool:
    return any(name == other or name.startswith(other + ".") for other in names)


def test_the_protocol_imports_nothing_but_its_codecs() -> None:
    found = modules("ztop_protocol")
    assert found
    wrong = [
        f"{path}:{line}: {imported}"
        for name, path in found.items()
        for imported, line in imports(name, path)
        if not within(imported, PROTOCOL_MAY_IMPORT)
    ]
    assert not wrong


@pytest.mark.parametrize(("package", "forbidden"), FORBIDDEN, ids=[package for package, _ in FORBIDDEN])
def test_layers_do_not_reach_across(package: str, forbidden: set[str]) -> None:
    found = modules(package)
    assert found
    wrong = [
        f"{path}:{line}: {imported}"
        for name, path in found.items()
        for imported, line in imports(name, path)
        if within(imported, forbidden)
    ]
    assert not wrong


def test_urwid_stays_in_the_screen() -> None:
    found = modules("ztop_client")
    users = {name for name, path in found.items() if any(within(used, {"urwid"}) for used, _ in imports(name, path))}
    assert users, "no module imports urwid: this test looks in the wrong place"
    assert not {name for name in users if not within(name, MAY_IMPORT_URWID)}


@pytest.mark.parametrize("module", ["ztop_client.cli", "ztop_client.batch", "ztop_client.looking_back"])
def test_batch_mode_starts_without_urwid(module: str) -> None:
    paths = [str(ROOT), str(ROOT / "protocol")]
    code = f"import sys; sys.path[:0] = {paths}; import {module}; print('urwid' in sys.modules)"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("False", "")


def test_relative_imports_and_parents_are_understood(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import a.b\nfrom . import c\nfrom ..d import e\ndef f():\n    from ztopd import server\n")
    names = [name for name, _ in imports("top.package.module", module)]
    assert names == ["a.b", "top.package.c", "top.d.e", "ztopd.server"]
    assert within("ztopd.server", {"ztopd.server"})
    assert not within("ztopd_other", {"ztopd"})
