"""The core PMUs of machines of several kinds."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ztopd.collectors.perf.pmus import Pmu, core_pmus, cpu_is_intel, is_virtual_machine
from ztopd.collectors.source import Roots

UNCORE = {"software/type": "1", "tracepoint/type": "2", "msr/type": "11", "uncore_imc_0/type": "24",
          "uncore_imc_0/cpumask": "0"}  # fmt: skip

MACHINES: dict[str, tuple[Mapping[str, str], list[Pmu]]] = {
    "x86": ({"cpu/type": "4", "cpu/rdpmc": "1", "intel_pt/type": "8", **UNCORE}, [Pmu("cpu", 4)]),
    "hybrid": (
        {
            "cpu_atom/type": "10", "cpu_atom/cpus": "16-23", "cpu_core/type": "4", "cpu_core/cpus": "0-15",
            **UNCORE,
        },
        [Pmu("cpu_core", 4), Pmu("cpu_atom", 10)],
    ),
    "big.LITTLE": (
        {
            "armv8_cortex_a53/type": "8", "armv8_cortex_a53/cpus": "0-3",
            "armv8_cortex_a73/type": "9", "armv8_cortex_a73/cpus": "4-7",
            "arm_dsu_0/type": "12", "arm_dsu_0/cpumask": "0", "arm_dsu_0/associated_cpus": "0-7",
        },
        [Pmu("armv8_cortex_a53", 8), Pmu("armv8_cortex_a73", 9)],
    ),
    "one of Arm's": ({"armv8_pmuv3_0/type": "8", "armv8_pmuv3_0/cpus": "0"}, [Pmu("armv8_pmuv3_0", 8)]),
    "cores that are off": ({"cpu_atom/type": "10", "cpu_atom/cpus": "", "cpu_core/type": "4", "cpu_core/cpus": "0"},
                           [Pmu("cpu_core", 4)]),
    "none": (UNCORE, []),
    "damaged": ({"cpu/type": "four", "cpu_core/cpus": "0"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), MACHINES.values(), ids=MACHINES)
def test_core_pmus(tmp_path: Path, files: Mapping[str, str], expected: list[Pmu]) -> None:
    for name, content in files.items():
        path = tmp_path / "bus/event_source/devices" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n" if content else "")
    assert core_pmus(Roots(sys=str(tmp_path))) == tuple(expected)


def test_without_any_sysfs(tmp_path: Path) -> None:
    assert core_pmus(Roots(sys=str(tmp_path / "nothing"))) == ()


@pytest.mark.parametrize(
    ("text", "intel", "virtual"),
    [
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor lahf_lm\n", True, True),
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme\n", False, False),
        ("processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd\n", False, False),
        (None, False, False),
    ],
)
def test_the_cpu(tmp_path: Path, text: str | None, intel: bool, virtual: bool) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    roots = Roots(proc=str(tmp_path))
    assert (cpu_is_intel(roots), is_virtual_machine(roots)) == (intel, virtual)
