"""The manual and the completions against the parsers, and as those who read them do."""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztop_client.cli import _parser as parser_of_a_client
from ztop_client.gpu.program import ZTOP_G
from ztop_client.program import ZTOP
from ztopd.cli import _parser as parser_of_ztopd
from ztopd.configuration import Configuration, parse_configuration

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "share"
PACKAGING = ROOT / "scripts" / "packaging"
PARSERS = {"ztop": parser_of_a_client(ZTOP), "ztop-g": parser_of_a_client(ZTOP_G), "ztopd": parser_of_ztopd()}
PAGES = {"ztop": "man1/ztop.1", "ztop-g": "man1/ztop-g.1", "ztopd": "man8/ztopd.8"}
SCRIPTS = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}


def flags(program: str) -> Iterator[str]:
    for action in PARSERS[program]._actions:
        if action.help != argparse.SUPPRESS:
            yield from (flag for flag in action.option_strings if flag.startswith("--"))


def test_they_are_what_the_parsers_say() -> None:
    done = subprocess.run([sys.executable, "-P", PACKAGING / "share.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", PARSERS)
def test_every_option_is_in_each(program: str) -> None:
    page = (SHARE / "man" / PAGES[program]).read_text().replace("\\-", "-")
    for flag in flags(program):
        assert flag in page or flag == "--help"  # the page says what that would say
        for shell, path in SCRIPTS.items():
            word = f"-l {flag[2:]} " if shell == "fish" else flag
            assert word in (SHARE / path.format(program)).read_text(), shell


@pytest.mark.parametrize("path", sorted(SHARE.glob("man/*/*")), ids=lambda path: path.name)
def test_a_page_is_rendered_without_warnings(path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed: apt install groff-base")
    done = subprocess.run(["groff", "-ww", "-man", "-Kutf8", "-Tutf8", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "FILES" if path.suffix != ".1" else "KEYS", "SEE ALSO"):
        # as a printer makes it bold
        assert heading in re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("program", PARSERS)
@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_can_read_it(shell: str, program: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", SHARE / SCRIPTS[shell].format(program)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


WORDS = [
    ("ztop --sock", {"--socket"}),
    ("ztop --replay {}/inci", {"{}/incident.ztop"}),
    ("ztop --sort io_read_b", {"io_read_bytes", "io_read_bytes_per_second"}),
    ("ztop -b --columns pid,comma", {"pid,command_line", "pid,command_line_truncated"}),
    ("ztop --sections processes,mem", {"processes,memory"}),
    ("ztop-g --sort vram_b", {"vram_bytes"}),
    ("ztop-g --user roo", {"root"}),
    ("ztopd unin", {"uninstall"}),
    ("ztopd install --pre", {"--prefix"}),
    ("ztopd --store {}/fol", {"{}/folder"}),
]
ASK_BASH = """\
source "$1"; shift
complete -p "$1" | grep -q . || exit 1
function=$(complete -p "$1"); function=${function##*-F }; function=${function%% *}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }
"$function"
printf '%s\n' "${COMPREPLY[@]}"
"""
ASK_FISH = "source $argv[1]; complete -C $argv[2]"


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("line", "wanted"), WORDS)
def test_what_it_offers(shell: str, line: str, wanted: set[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "incident.ztop").touch()
    (tmp_path / "folder").mkdir()
    line = line.format(tmp_path)
    words = line.split()
    script = str(SHARE / SCRIPTS[shell].format(words[0]))
    ask = (
        ["bash", "-c", ASK_BASH, "bash", script, *words] if shell == "bash" else ["fish", "-Nc", ASK_FISH, script, line]
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(ask, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    offered = {answer.partition("\t")[0].rstrip("/") for answer in done.stdout.splitlines()}
    assert offered == {one.format(tmp_path) for one in wanted}


def test_the_file_with_everything_commented_out() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); from programs import ROOT; import settings; "
    code += "print(settings.commented_out())"
    text = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert tomllib.loads(text) == {}
    # with the lines that have a value: what holds without them
    lines = [line[1:] for line in text.splitlines() if line.startswith("#") and not line.startswith("# ")]
    whole = "\n".join(line for line in lines if not line.endswith('= ""'))
    assert len(tomllib.loads(whole)["history"]) == 5
    assert parse_configuration(whole) == Configuration()
