"""The units in a machine that systemd runs: who holds what, who sees what, and what is back after which death."""

import os

import pytest

from tests.end_to_end.real_daemon import until
from tests.systemd.machine import PREFIX, Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CAP_PERFMON = 1 << 38
CAP_SYS_PTRACE = 1 << 19
CAP_DAC_READ_SEARCH = 1 << 2

LOOK = """
import json
from ztop_client import connect
with connect("/run/ztopd/ztopd.sock") as session:
    status, hello = session.status(), session.hello()
    frame = session.snapshot(["processes", "process_io", "process_executables", "sources", "filesystems"])
owners = {key: frame.cell("processes", "owner_uid", key) for key in frame.rows("processes")}
print(json.dumps({
    "sampler": status["sampler_pid"], "server": status["server_pid"], "interval_ns": status["interval_ns"],
    "seq": frame.seq, "time_ns": frame.time_ns, "all": hello["sees"]["all"],
    "filesystems": [key[0] for key in frame.rows("filesystems")],
    "processes": sorted(set(owners.values())),
    **{
        name: sorted({owners.get(key, -1) for key in frame.rows(name)})
        for name in ("process_io", "process_executables")
    },
    "sources": {key[0]: [frame.cell("sources", "state", key), frame.cell("sources", "reason", key)]
                for key in frame.rows("sources")},
}))
"""


def uid(machine: Machine, name: str) -> int:
    return int(machine.run("id", "-u", name))


def credentials(machine: Machine, pid: int) -> dict[str, str]:
    status = machine.run("cat", f"/proc/{pid}/status")
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in status.splitlines()}


def family(machine: Machine) -> dict[str, int]:
    """The three processes of the unit, by what they run."""
    found = {}
    for pid in machine.run("cat", "/sys/fs/cgroup/system.slice/ztopd.service/cgroup.procs").split():
        command = machine.run("cat", f"/proc/{pid}/cmdline").split("\0")
        modules = {"ztopd.server": "server", "ztopd.sampler.reader_child": "reader"}
        found[next((name for module, name in modules.items() if module in command), "sampler")] = int(pid)
    return found


def drop_in(machine: Machine, name: str, content: str) -> None:
    machine.write(f"/run/systemd/system/ztopd.service.d/{name}.conf", content)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ztopd.service")


def test_units_are_well_formed_and_exposure_is_low(machine: Machine) -> None:
    machine.run("systemd-analyze", "verify", "ztopd.service", "ztopd.socket")
    # the threshold is in tenths
    machine.run("systemd-analyze", "security", "--threshold=13", "--no-pager", "ztopd.service")


def test_what_each_process_holds(machine: Machine) -> None:
    assert machine.property("ActiveState") == "active"
    assert machine.property("StatusText") == "a frame every 0.5 s"
    # systemd has it, not ztopd, who could not take another's place there
    assert machine.run("stat", "-c", "%a %U", "/run/ztopd/ztopd.sock", "/run/ztopd") == "666 root\n755 root\n"
    assert machine.run("stat", "-c", "%a %U", "/var/lib/ztopd") == "700 ztop\n"
    processes = family(machine)
    assert processes.keys() == {"sampler", "server", "reader"}
    for name, pid in processes.items():
        found = credentials(machine, pid)
        assert int(found["CapEff"], 16) == (CAP_PERFMON if name == "sampler" else 0), name
        assert int(found["CapPrm"], 16) == int(found["CapEff"], 16)
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2"), name
        assert set(found["Uid"].split()) == {str(uid(machine, "ztop"))}
    seen = machine.python(LOOK, user="alice")
    assert (seen["sampler"], seen["server"]) == (processes["sampler"], processes["server"])
    # a container gets no more files than its host allows: then that is said, and nothing else
    limits = machine.run("cat", f"/proc/{processes['sampler']}/limits")
    (files,) = (int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max open files"))
    wanted = ["ok", None] if files == 65536 else ["degraded", f"{files} open files in place of 65536"]
    assert seen["sources"]["service"] == wanted
    assert seen["sources"]["store"] == ["ok", None]
    assert "WARNING" not in machine.journal()


def test_file_systems_are_those_of_the_machine(machine: Machine) -> None:
    seen = set(machine.python(LOOK)["filesystems"])
    assert "/" in seen
    assert not seen & {"/home", "/root", "/proc/kmsg", "/var/lib/ztopd", "/var/tmp", "/run/systemd/incoming"}


def test_who_sees_what(machine: Machine) -> None:
    drop_in(machine, "all-io", machine.run("cat", "/opt/ztop-source/systemd/ztopd-all-io.conf"))
    alice, bob, root = uid(machine, "alice"), uid(machine, "bob"), 0
    for name, pid in family(machine).items():
        more = CAP_PERFMON | CAP_SYS_PTRACE | CAP_DAC_READ_SEARCH
        assert int(credentials(machine, pid)["CapEff"], 16) == (more if name == "sampler" else 0), name
    seen = {name: machine.python(LOOK, user=name) for name in ("alice", "bob", "carol", "root")}
    for name, found in seen.items():
        assert {alice, bob, root} <= set(found["processes"]), name
        assert found["all"] == (name in ("carol", "root"))
        for section in ("process_io", "process_executables"):
            if found["all"]:
                assert {alice, bob, root} <= set(found[section]), name
            else:
                assert found[section] == [uid(machine, name)], name
    machine.run("rm", "/run/systemd/system/ztopd.service.d/all-io.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ztopd.service")


def test_over_ssh_one_sees_what_the_user_sees_whom_ssh_let_in(machine: Machine) -> None:
    for program in ("/usr/sbin/sshd", "/usr/bin/ssh"):
        if not os.path.exists(program):
            pytest.skip(f"there is no {program}: apt install openssh-server openssh-client")
    machine.run("ssh-keygen", "-A")
    machine.run("systemctl", "start", "ssh.service")
    for name in ("alice", "bob"):
        machine.run("mkdir", "-m", "700", f"/home/{name}/.ssh", user=name)
    machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/home/alice/.ssh/id_ed25519", user="alice")
    machine.write("/home/bob/.ssh/authorized_keys", machine.run("cat", "/home/alice/.ssh/id_ed25519.pub"))
    host_key = machine.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub")
    machine.write("/home/alice/.ssh/known_hosts", f"127.0.0.1 {host_key}")
    drop_in(machine, "all-io", machine.run("cat", "/opt/ztop-source/systemd/ztopd-all-io.conf"))
    bob = uid(machine, "bob")
    look = LOOK.replace('with connect("/run/ztopd/ztopd.sock")', "with Session(SshDaemon(*sys.argv[1:]))")
    look = f"import sys\nfrom ztop_client import Session\nfrom ztop_client.sources.ssh import SshDaemon\n{look}"
    seen = machine.python(look, "bob@127.0.0.1", "/run/ztopd/ztopd.sock", user="alice")
    assert seen["all"] is False
    assert {uid(machine, name) for name in ("alice", "bob", "root")} <= set(seen["processes"])
    assert (seen["process_io"], seen["process_executables"]) == ([bob], [bob])
    ztop = (f"{PREFIX}/bin/ztop", "-b", "-n", "1", "--limit", "1", "--ssh")
    assert "Tasks" in machine.run(*ztop, "bob@127.0.0.1", user="alice")
    # carol never let her in
    assert machine.run(*ztop, "carol@127.0.0.1", user="alice", check=False).startswith(
        "ztop: ssh to carol@127.0.0.1: carol@127.0.0.1: Permission denied ("
    )
    machine.run("rm", "/run/systemd/system/ztopd.service.d/all-io.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ztopd.service")
    machine.run("systemctl", "stop", "ssh.service")


def test_a_killed_server_and_a_killed_sampler_are_back(machine: Machine) -> None:
    before, restarts = machine.python(LOOK), int(machine.property("NRestarts"))
    machine.run("kill", "-KILL", str(before["server"]))
    until(lambda: machine.python(LOOK)["server"] != before["server"], "another server")
    assert machine.python(LOOK)["sampler"] == before["sampler"]
    assert int(machine.property("NRestarts")) == restarts
    machine.run("kill", "-KILL", str(before["sampler"]))
    until(lambda: int(machine.property("NRestarts")) == restarts + 1, "a restart")
    # whoever connects meanwhile waits at systemd's socket
    after = machine.python(LOOK)
    assert after["sampler"] not in (before["sampler"], 0)
    assert after["seq"] > before["seq"]


def test_a_sampler_that_stalls_is_started_anew(machine: Machine) -> None:
    drop_in(machine, "watchdog", "[Service]\nWatchdogSec=3\n")
    stalled, restarts = machine.python(LOOK)["sampler"], int(machine.property("NRestarts"))
    machine.run("kill", "-STOP", str(stalled))
    until(lambda: int(machine.property("NRestarts")) > restarts, "the watchdog", 60)
    assert machine.python(LOOK)["sampler"] != stalled
    assert "Watchdog timeout" in machine.journal()


def test_the_past_is_there_after_a_restart(machine: Machine) -> None:
    before = machine.python(LOOK)
    # a frame is on disk after 2 s at most, and at an orderly end at once
    machine.run("systemctl", "restart", "ztopd.service")
    asof = """
import json, sys
from ztop_client import connect
with connect("/run/ztopd/ztopd.sock") as session:
    print(json.dumps(session.asof(int(sys.argv[1])).pair.current.seq))
"""
    assert machine.python(asof, str(before["time_ns"]), user="alice") == before["seq"]


def test_reload(machine: Machine) -> None:
    pid = machine.property("MainPID")
    machine.write("/etc/ztop/ztopd.toml", 'group = "ztop-sees-all"\ninterval_seconds = 0.25\n')
    machine.run("systemctl", "reload", "ztopd.service")
    until(lambda: machine.python(LOOK)["interval_ns"] == 250_000_000, "the new interval")
    until(lambda: machine.property("StatusText") == "a frame every 0.25 s", "the new status")
    assert machine.property("MainPID") == pid
    assert machine.property("ActiveState") == "active"
    for name, process in family(machine).items():
        assert int(credentials(machine, process)["CapEff"], 16) == (CAP_PERFMON if name == "sampler" else 0), name
    machine.write("/etc/ztop/ztopd.toml", "interval = 1\n")
    machine.run("systemctl", "reload", "ztopd.service")
    until(lambda: "unknown key 'interval'" in machine.property("StatusText"), "the refusal")
    assert machine.python(LOOK)["interval_ns"] == 250_000_000
    assert "the configuration stays as it was: /etc/ztop/ztopd.toml: unknown key" in machine.journal()
    machine.write("/etc/ztop/ztopd.toml", 'group = "ztop-sees-all"\ninterval_seconds = 0.5\n')


def test_a_client_starts_a_stopped_service(machine: Machine) -> None:
    machine.run("systemctl", "stop", "ztopd.service")
    assert machine.property("ActiveState") == "inactive"
    machine.python(
        """
import json
from ztop_client import connect
with connect("/run/ztopd/ztopd.sock") as session:
    print(json.dumps(session.snapshot(["host"]).seq))
""",
        user="bob",
    )
    until(lambda: machine.property("ActiveState") == "active", "it runs again")


def test_an_upgrade_goes_on_where_it_was(machine: Machine) -> None:
    before = machine.python(LOOK)
    machine.run(f"{PREFIX}/bin/ztopd", "install", "--prefix", "/opt/ztop")
    after = machine.python(LOOK)
    assert after["sampler"] != before["sampler"]
    assert after["seq"] > before["seq"]


def test_what_others_can_change_is_no_service(machine: Machine) -> None:
    assert "would write /etc/systemd/system/ztopd.service" in machine.run("/opt/ztop/bin/ztopd", "install", "--dry-run")
    machine.run("chmod", "o+w", "/opt/ztop/bin/ztopd")
    refused = machine.run("/opt/ztop/bin/ztopd", "install", check=False)
    assert "others than root may write to /opt/ztop/bin/ztopd" in refused
    assert "ztopd install --prefix /opt/ztop" in refused
    machine.run("chmod", "o-w", "/opt/ztop/bin/ztopd")
    assert "only root may" in machine.run("/opt/ztop/bin/ztopd", "install", user="alice", check=False)


def test_uninstall_leaves_nothing(machine: Machine) -> None:
    machine.run("/opt/ztop/bin/ztopd", "uninstall")
    assert machine.run("ls", "-A", "/opt/ztop", "/run/ztopd", check=False).count("No such file") == 2
    assert "timeline.ztop" in machine.run("ls", "/var/lib/ztopd")
    machine.run(f"{PREFIX}/bin/ztopd", "uninstall", "--purge")
    assert machine.run("getent", "passwd", "ztop", check=False) == ""
    assert machine.property("LoadState") == "not-found"
    ours = {path for path in machine.listing() - machine.before if "ztop" in path}
    # what the tests themselves wrote
    assert {path for path in ours if not path.startswith(("/etc/ztop", "/run/systemd", "/opt/ztop-test"))} == set()
