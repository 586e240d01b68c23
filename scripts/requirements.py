"""Print a group of requirements from pyproject.toml: `core`, or the name of an extra.

The first line names the interpreter, so that the output is at once a requirements file and the stamp that tells
whether a virtual environment still fits. Even an old Python must get as far as the sentence below.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("ztop needs Python 3.11 or newer, and " + sys.executable + " is " + sys.version.split()[0])


def main(group: str) -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] if group == "core" else project["optional-dependencies"][group]
    print(f"# {sys.base_prefix} {sys.version_info.major}.{sys.version_info.minor}", *requirements, sep="\n")


main(sys.argv[1])
