"""A real sshd on loopback: an ordinary process with a host key, a user's key and a port of its own."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import until

HOST = "127.0.0.1"
_SYSTEM = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"


class Sshd:
    """Runs when made; skips the test where there is no OpenSSH. ``environ`` makes the client's ssh know it."""

    def __init__(self, folder: Path) -> None:
        programs = {name: shutil.which(name, path=_SYSTEM) for name in ("ssh", "sshd", "ssh-keygen")}
        for name, found in programs.items():
            if found is None:
                pytest.skip(f"{name} is not installed: apt install openssh-server openssh-client")
        try:
            self.user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            pytest.skip("nobody can log in who has no name")
        self._sshd = str(programs["sshd"])
        self.folder = folder
        self.runtime = folder / "runtime"
        self.runtime.mkdir(0o700)
        for name in ("host", "key"):
            command = [str(programs["ssh-keygen"]), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "key.pub", folder / "authorized")
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            self.port = int(taken.getsockname()[1])
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress {HOST}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPermitRootLogin yes\n"
            # without the rights to read whose account is locked, PAM has to be asked
            f"UsePAM {'no' if os.geteuid() == 0 else 'yes'}\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        self.know(self.host_key())
        (folder / "ssh_config").write_text(
            f"Port {self.port}\nIdentityFile {folder}/key\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {folder}/known\nGlobalKnownHostsFile none\n"
        )
        program = folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {programs["ssh"]} -F {folder}/ssh_config "$@"\n')
        program.chmod(0o755)
        self._log = (folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environ(self) -> Mapping[str, str]:
        """For a client."""
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self.folder),
        }

    def host_key(self, name: str = "host.pub") -> str:
        """A line of known_hosts, for this sshd."""
        return f"[{HOST}]:{self.port} {(self.folder / name).read_text()}"

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text()

    def know(self, line: str) -> None:
        """What is known of hosts, from now on."""
        (self.folder / "known").write_text(line)

    def configure(self, lines: str) -> None:
        """What else its user has set for ssh, from now on."""
        with (self.folder / "ssh_config").open("a") as file:
            file.write(lines)

    def start(self) -> None:
        """Until it lets one connect."""
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        command = [self._sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        until(self._listens, "sshd listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with socket.socket() as connection:
            return connection.connect_ex((HOST, self.port)) == 0

    def stop(self) -> None:
        """Nobody can log in any more; who has stays."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def close(self) -> None:
        """Ends it."""
        self.stop()
        self._log.close()
