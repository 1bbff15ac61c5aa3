"""The files of Linux, read from a folder that stands for the root."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import system

from actbench.bench.system import CPU, Quota, System

CGROUP = "sys/fs/cgroup"


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    found = System(tmp_path)
    for read in (
        found.cpu_model,
        found.hypervisor,
        found.governor,
        found.turbo,
        found.available_memory,
        found.total_memory,
    ):
        assert read() is None
    assert (found.quota(), found.throttled(), found.caches()) == (None, None, {})
    assert found.paths("sys/*") == ()
    assert found.numbers("sys/list") == frozenset()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"twelve", b"1 2", b"0-", b"-", b"1.5"])
def test_what_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert System(tmp_path).number("file") is None
    assert System(tmp_path).numbers("file") == frozenset()


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", {0}), ("0-2,8\n", {0, 1, 2, 8}), ("3,1", {1, 3}), ("10-11", {10, 11})]
)
def test_lists_of_cpus(tmp_path: Path, text: str, numbers: set[int]) -> None:
    assert system(tmp_path, {"list": text}).numbers("list") == numbers


def test_caches_are_those_that_hold_data(tmp_path: Path) -> None:
    files = {}
    levels = (("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2M"))
    for i, (level, kind, size) in enumerate(levels):
        folder = f"{CPU}/cpu0/cache/index{i}"
        files |= {f"{folder}/level": level, f"{folder}/type": kind, f"{folder}/size": size}
    assert system(tmp_path, files).caches() == {"L1d": 48 * 2**10, "L2": 2**21}


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, True),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/cpufreq/boost": "1"}, True),
        ({f"{CPU}/cpufreq/boost": "0"}, False),
    ],
)
def test_turbo_of_each_vendor(tmp_path: Path, files: dict[str, str], turbo: bool) -> None:
    assert system(tmp_path, files).turbo() is turbo


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/cpuinfo": "flags\t\t: fpu sse2"}, "none"),
        ({"proc/cpuinfo": "flags\t\t: fpu hypervisor"}, "unknown"),
        ({"proc/cpuinfo": "flags : hypervisor", "sys/class/dmi/id/sys_vendor": "QEMU"}, "QEMU"),
        ({"proc/cpuinfo": "flags : hypervisor", "sys/hypervisor/type": "xen"}, "xen"),
        ({"proc/cpuinfo": "Features : fp asimd"}, None),
    ],
    ids=["metal", "unnamed", "vendor", "type", "arm"],
)
def test_hypervisors(tmp_path: Path, files: dict[str, str], name: str | None) -> None:
    assert system(tmp_path, files).hypervisor() == name


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "5", 8 * 2**20),
        ("1048576", "1000", 2**20 - 1000),
        ("1000", "2000", 0),
        (None, None, 8 * 2**20),
    ],
    ids=["no limit", "limit", "beyond it", "no group"],
)
def test_available_memory_is_within_the_control_group(
    tmp_path: Path, limit: str | None, used: str | None, expected: int
) -> None:
    files = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    8192 kB"}
    if limit and used:
        files |= {f"{CGROUP}/memory.max": limit, f"{CGROUP}/memory.current": used}
    assert system(tmp_path, files).available_memory() == expected


@pytest.mark.parametrize(
    ("folder", "limit", "used", "cache"),
    [
        (CGROUP, "memory.max", "memory.current", "inactive_file 700\nactive_file 90"),
        (
            f"{CGROUP}/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "inactive_file 1\ntotal_inactive_file 700\ntotal_active_file 90",
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_files_that_were_read_leave_memory_available(
    tmp_path: Path, folder: str, limit: str, used: str, cache: str
) -> None:
    files = {
        "proc/meminfo": "MemTotal: 16384 kB\nMemAvailable: 8192 kB",
        f"{folder}/{limit}": "1000",
        f"{folder}/{used}": "900",
        f"{folder}/memory.stat": f"anon 200\n{cache}\n",
    }
    found = system(tmp_path, files)
    assert found.available_memory() == 800  # what is left of 1000, and the cache of files not read of late
    assert found.total_memory() == 1000


def test_a_limit_beyond_the_machine_is_none(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 16384 kB\nMemAvailable: 8192 kB",
        f"{CGROUP}/memory/memory.limit_in_bytes": "9223372036854771712",
        f"{CGROUP}/memory/memory.usage_in_bytes": "900",
    }
    found = system(tmp_path, files)
    assert (found.available_memory(), found.total_memory()) == (8192 * 1024, 16384 * 1024)


@pytest.mark.parametrize(
    ("files", "quota", "throttled"),
    [
        (
            {
                "proc/self/cgroup": "0::/a.slice/b.scope\n",
                f"{CGROUP}/a.slice/cpu.max": "50000 100000",
                f"{CGROUP}/a.slice/cpu.stat": "usage_usec 9\nnr_periods 8\nnr_throttled 4\nthrottled_usec 7\n",
                f"{CGROUP}/a.slice/b.scope/cpu.max": "max 100000",
                f"{CGROUP}/a.slice/b.scope/cpu.stat": "usage_usec 9\nnr_throttled 1\n",
            },
            Quota(0.5, f"{CGROUP}/a.slice/cpu.max", "max"),
            5,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/c0ffee\n",
                f"{CGROUP}/cpu,cpuacct/cpu.cfs_quota_us": "150000",
                f"{CGROUP}/cpu,cpuacct/cpu.cfs_period_us": "100000",
                f"{CGROUP}/cpu,cpuacct/cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 1\n",
            },
            Quota(1.5, f"{CGROUP}/cpu,cpuacct/cpu.cfs_quota_us", "-1"),
            2,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n0::/\n",
                f"{CGROUP}/cpu/cpu.cfs_quota_us": "-1",
                f"{CGROUP}/cpu/cpu.cfs_period_us": "100000",
                f"{CGROUP}/cpu/cpu.stat": "nr_throttled 0\n",
                f"{CGROUP}/unified/cpu.stat": "usage_usec 1\n",
            },
            None,
            0,
        ),
    ],
    ids=["version 2, above", "version 1, in a container", "no limit"],
)
def test_quotas(tmp_path: Path, files: dict[str, str], quota: Quota | None, throttled: int) -> None:
    found = system(tmp_path, files)
    assert found.quota() == quota
    assert found.throttled() == throttled


def test_a_hierarchy_with_two_names_is_counted_once(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "4:cpu,cpuacct:/\n", f"{CGROUP}/cpu,cpuacct/cpu.stat": "nr_throttled 2\n"}
    found = system(tmp_path, files)
    (tmp_path / CGROUP / "cpu").symlink_to("cpu,cpuacct")
    assert found.throttled() == 2
