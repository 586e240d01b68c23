"""Makes the Debian package: ztop with the Python packages that it needs below /usr/lib/ztop.

They make a virtual environment of Debian's own interpreter there: Debian's urwid is too old, and what ztopd starts has
to find the same packages again.
"""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from importlib.metadata import Distribution, distributions
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from programs import ROOT
from settings import commented_out

from ztop_protocol.version import VERSION
from ztopd.configuration import DEFAULT_FILE
from ztopd.installing.package import DEBIAN, PROGRAMS

PYTHON = "/usr/bin/python3"
"""The one that ``python3`` means to Debian."""
SCRIPTS = Path(__file__).parent / "debian"
MAINTAINER = "The ztop authors <ztop@ztop.invalid>"
UNIT_START = "ExecStart=/opt/ztop/bin/ztopd\n"


def output(*command: str) -> str:
    """What it prints. Raises :exc:`subprocess.CalledProcessError`."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def debian_version(version: str) -> str:
    """0.2.0rc1 is before 0.2.0 there, too."""
    return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", version)


def write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def packed(content: str) -> bytes:
    return gzip.compress(content.encode(), mtime=0)


def install_packages(home: Path, version: str, wheels: Path) -> Path:
    """ztop and what it needs, as pip installs them, and an interpreter that finds them. Returns their folder."""
    output(sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
    packages = home / "lib" / f"python{version}" / "site-packages"
    pip = (sys.executable, "-P", "-m", "pip", "--python", PYTHON, "install", "-qq", "--disable-pip-version-check")
    output(*pip, "--no-compile", "--target", str(packages), *map(str, wheels.iterdir()))
    shutil.rmtree(packages / "bin")
    for path in packages.glob("*.dist-info/*"):
        # where it was built, and sums of files that are elsewhere now
        if path.name in ("direct_url.json", "INSTALLER", "RECORD", "REQUESTED"):
            path.unlink()
    output("strip", "--strip-unneeded", *map(str, packages.rglob("*.so")))
    write(home / "pyvenv.cfg", f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n")
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(f"../../../bin/python{version}")
    return packages


def arrange(root: Path, home: Path, packages: Path) -> None:
    """What does not belong to Python where Debian has it."""
    for program, module in PROGRAMS.items():
        code = f"#!{DEBIAN}/bin/python -P\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n"
        write(home / "bin" / program, code, 0o755)
        (root / "usr/bin").mkdir(exist_ok=True)
        (root / "usr/bin" / program).symlink_to(f"../lib/ztop/bin/{program}")
    shutil.move(packages / "share", root / "usr/share")
    for page in (root / "usr/share/man").glob("*/*"):
        write(page.with_name(f"{page.name}.gz"), packed(page.read_text()))
        page.unlink()
    units = packages / "ztopd" / "systemd"
    service = (units / "ztopd.service").read_text()
    assert UNIT_START in service
    write(root / "usr/lib/systemd/system/ztopd.service", service.replace(UNIT_START, "ExecStart=/usr/bin/ztopd\n"))
    write(root / "usr/lib/systemd/system/ztopd.socket", (units / "ztopd.socket").read_bytes())
    write(root / "usr/lib/sysusers.d/ztop.conf", (units / "ztop.sysusers.conf").read_bytes())
    for name in ("ztopd-all-io.conf", "60-ztop-counters.conf"):
        write(root / "usr/share/doc/ztop/examples" / name, (units / name).read_bytes())
    shutil.rmtree(units)
    write(root / DEFAULT_FILE[1:], commented_out())


def licence(one: Distribution) -> str:
    """A paragraph of Debian's copyright file, with the texts that come with it."""
    name, words = one.metadata["Name"], one.metadata["License-Expression"] or one.metadata["License"] or "see below"
    texts = [file for file in sorted(Path(str(one.locate_file(""))).glob(f"{dist_info(one)}/**/*")) if is_licence(file)]
    lines = [f"{name} {one.version}", "", *(line for text in texts for line in (*text.read_text().splitlines(), ""))]
    body = "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in lines)
    return f"Files: {DEBIAN}/lib/*/{name}*\nCopyright: its authors\nLicense: {words.splitlines()[0]}\n{body}\n"


def dist_info(one: Distribution) -> str:
    return f"{re.sub(r'[-_.]+', '_', one.metadata['Name'])}-{one.version}.dist-info"


def is_licence(path: Path) -> bool:
    return path.is_file() and re.match(r"(?i)licen[sc]e|copying|notice", path.name) is not None


def document(root: Path, packages: Path, version: str, time: int) -> None:
    folder = root / "usr/share/doc/ztop"
    entry = "  * What changed is told in /usr/share/doc/ztop/CHANGELOG.md.gz."
    date = formatdate(time)
    changes = f"ztop ({version}) unstable; urgency=medium\n\n{entry}\n\n -- {MAINTAINER}  {date}\n"
    write(folder / "changelog.gz", packed(changes))
    write(folder / "CHANGELOG.md.gz", packed((ROOT / "CHANGELOG.md").read_text()))
    for path in (ROOT / "docs").glob("*.md"):
        write(folder / "docs" / path.name, path.read_bytes())
    own = "Files: *\nCopyright: the ztop authors\nLicense: MIT\n" + "\n".join(
        f" {line}" if line.strip() else " ." for line in (ROOT / "LICENSE").read_text().splitlines()
    )
    others = [one for one in distributions(path=[str(packages)]) if one.metadata["Name"] != "ztop"]
    head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: ztop\n"
    paragraphs = (licence(one) for one in sorted(others, key=lambda one: one.metadata["Name"]))
    write(folder / "copyright", "\n".join((head, own + "\n", *paragraphs)))


def libc(packages: Path) -> str:
    """The oldest glibc that all compiled packages run with."""
    tags = (re.findall(r"manylinux_(\d+)_(\d+)", path.read_text()) for path in packages.glob("*.dist-info/WHEEL"))
    # a wheel that has several runs with each: the oldest is meant
    least = max((min((int(major), int(minor)) for major, minor in found) for found in tags if found), default=(2, 17))
    return ".".join(map(str, least))


def control(root: Path, packages: Path, version: str, python: str) -> None:
    major, minor = map(int, python.split("."))
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    fields = {
        "Package": "ztop",
        "Version": version,
        "Architecture": output("dpkg", "--print-architecture"),
        "Maintainer": MAINTAINER,
        "Installed-Size": str(size),
        "Depends": f"python3 (>= {python}~), python3 (<< {major}.{minor + 1}~), libc6 (>= {libc(packages)}), "
        "systemd | systemd-standalone-sysusers | systemd-sysusers",
        "Section": "utils",
        "Priority": "optional",
        "Description": "system monitor with one timeline for processes, counters and GPUs\n"
        " A daemon, ztopd, measures the machine and remembers what it measured; ztop and\n"
        " ztop-g show it in a terminal as it is, or as it was at any of those seconds.\n"
        " .\n"
        " The daemon runs once it is enabled: systemctl enable --now ztopd. Without it\n"
        " ztop starts one for itself.",
    }
    write(root / "DEBIAN/control", "".join(f"{name}: {value}\n" for name, value in fields.items()))
    write(root / "DEBIAN/conffiles", f"{DEFAULT_FILE}\n")
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    write(root / "DEBIAN/md5sums", "".join(line for line in sums if not line.endswith(f"  {DEFAULT_FILE[1:]}\n")))
    for path in SCRIPTS.iterdir():
        write(root / "DEBIAN" / path.name, path.read_bytes(), 0o755)


def main() -> int:
    folder = Path(sys.argv[1] if sys.argv[1:] else ".").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    os.umask(0o022)
    python = output(PYTHON, "-IS", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    if tuple(map(int, python.split("."))) < (3, 11):
        sys.exit(f"deb: ztop needs Python 3.11 or newer, and {PYTHON} is {python}")
    version = debian_version(VERSION)
    commits = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True)
    # of the same commit the same package
    time = int(os.environ.get("SOURCE_DATE_EPOCH") or commits.stdout.strip() or "0")
    with tempfile.TemporaryDirectory(prefix="ztop-deb-") as temporary:
        root, wheels = Path(temporary, "root"), Path(temporary, "wheels")
        root.mkdir(mode=0o755)
        home = root / str(DEBIAN)[1:]
        packages = install_packages(home, python, wheels)
        arrange(root, home, packages)
        document(root, packages, version, time)
        control(root, packages, version, python)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(folder)],
            check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(time)},
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
