"""The file system and kernel of the emulated machine: Debian's for arm64, with what ztop needs.

It is built once, in the user's cache, out of packages that the host's apt fetches and checks; neither the host's
packages nor this checkout are touched. Root is not needed.
"""

import fcntl
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
INIT = Path(__file__).with_name("init.sh")
PROGRAMS = ("qemu-system-aarch64", "apt-get", "dpkg-deb", "tar", "cpio")
PACKAGES = ("python3", "linux-perf", "busybox-static", "util-linux", "libcap2-bin")
KERNEL = "linux-image-arm64"
MODULES = ("virtio_mmio", "netfs", "fscache", "9pnet", "9pnet_virtio", "9p")
"""In the order in which they are to be loaded; what a kernel has built in is no file."""
LEFT_OUT = ("./usr/share", "*/perl*", "*/gconv", "*/engines-3", "*/krb5", "*.a")
"""Of the packages: what no test there needs. The whole tree is unpacked into memory at every start."""
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")
BUILD_SECONDS = 300.0
USERS = "root:x:0:0:root:/root:/bin/sh\nann:x:1001:1001:ann:/tmp:/bin/sh\n"


class NoMachine(Exception):
    """It cannot be built here, and why, in words."""


@functools.cache
def built() -> Path:
    """The folder with the machine's kernel (``vmlinuz``) and file system (``initrd``). Raises :exc:`NoMachine`."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise NoMachine(f"there is no {program} here")
    recipe = Path(__file__).read_bytes() + INIT.read_bytes() + "\n".join(_requirements()).encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ztop-pmu"
    image = cache / hashlib.sha256(recipe).hexdigest()[:16]
    if not image.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _build_into(image)
        except OSError as error:
            raise NoMachine(f"the machine cannot be built in {cache}: {error}") from error
    return image


def _build_into(image: Path) -> None:
    with open(image.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if image.is_dir():
            # somebody else just did it
            return
        for outdated in image.parent.iterdir():
            if outdated.is_dir():
                shutil.rmtree(outdated)
        with tempfile.TemporaryDirectory(dir=image.parent) as name:
            _build(Path(name))
            os.rename(Path(name) / "image", image)


def _build(folder: Path) -> None:
    tree, kernel, image = (folder / name for name in ("tree", "kernel", "image"))
    packages = _packages(folder)
    # as on an installed system, so that it does not matter which of the two a package uses
    for name in ("bin", "sbin", "lib"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "etc", "modules", "mnt/checkout", "mnt/run"):
        (tree / name).mkdir(parents=True)
    for package in packages:
        if package.name.startswith("linux-image-"):
            kernel.mkdir()
            _unpack(package, kernel)
        else:
            _unpack(package, tree, *(f"--exclude={pattern}" for pattern in LEFT_OUT))
    for module in MODULES:
        for found in kernel.rglob(f"{module}.ko"):
            shutil.copy(found, tree / "modules")
    (tree / "etc/passwd").write_text(USERS)
    (tree / "etc/group").write_text("root:x:0:\nwatchers:x:1001:\n")
    (tree / "bin/sh").symlink_to("busybox")
    shutil.copy(INIT, tree / "init")
    (tree / "init").chmod(0o755)
    (python,) = (tree / "usr/lib").glob("python3.*")
    _install_wheels(tree / "usr/lib/python3/dist-packages", python.name.removeprefix("python"))
    if python.name == f"python3.{sys.version_info.minor}":
        # of the same version: it spares the machine much of its first minute
        _run(sys.executable, "-m", "compileall", "-q", "-s", str(tree), str(tree / "usr/lib"))
    image.mkdir()
    (image / "vmlinuz").write_bytes(next((kernel / "boot").glob("vmlinuz-*")).read_bytes())
    with open(image / "initrd", "wb") as initrd:
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        command = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(command, cwd=tree, input=names.encode(), stdout=initrd, check=True)


def _packages(folder: Path) -> list[Path]:
    """Fetches the kernel, the packages and all that they need, through a state of apt's that is our own."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::State "{folder}/state";\nDir::State::status "{folder}/status";\nDir::Cache "{folder}/cache";\n'
        'APT::Architecture "arm64";\n#clear APT::Architectures;\nAPT::Architectures { "arm64"; };\n'
        f'APT::Sandbox::User "";\nDebug::NoLocking "true";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(configuration), "LC_ALL": "C"}
    archives = folder / "cache/archives"
    _run("apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any", env=environment)
    _run(*("apt-get", "install", "-qq", "-y", "--no-install-recommends", "--download-only", *PACKAGES), env=environment)
    # the package of the newest kernel, without what would install it
    depends = _run("apt-cache", "depends", KERNEL, env=environment)
    kernels = [word for word in depends.split() if word.startswith("linux-image-") and word != KERNEL]
    _run("apt-get", "download", "-qq", *kernels[:1], env=environment, cwd=archives)
    return sorted(archives.glob("*.deb"))


def _unpack(package: Path, into: Path, *options: str) -> None:
    unpack = ["tar", "-x", "-C", str(into), "--no-same-owner", "--keep-directory-symlink", *options]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as files:
        subprocess.run(unpack, stdin=files.stdout, check=True)
    assert files.returncode == 0, package


def _requirements() -> list[str]:
    """What ztop needs to run, as pyproject.toml lists it."""
    return _run(sys.executable, "-IS", str(CHECKOUT / "scripts/requirements.py"), "core").splitlines()[1:]


def _install_wheels(into: Path, python_version: str) -> None:
    platforms = (word for platform in PLATFORMS for word in ("--platform", platform))
    where = ("--target", str(into), "--implementation", "cp", "--python-version", python_version, *platforms)
    command = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile")
    _run(*command, "--only-binary=:all:", *where, *_requirements())


def _run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it wrote. Raises :exc:`NoMachine` where it fails: without the network apt and pip do."""
    try:
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        raise NoMachine(f"{command[0]} takes too long") from None
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise NoMachine(f"{shlex.join(command[:3])}: {why}")
    return done.stdout
