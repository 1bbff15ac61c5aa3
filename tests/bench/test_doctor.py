"""The doctor on machines made of files: a laptop, a virtual machine, containers, and one that tells nothing."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import Clock, system

from actbench.bench import doctor
from actbench.bench.clock import Arm
from actbench.bench.disturbances.evidence import Finding, Flushing
from actbench.bench.doctor import Diagnosis, Sources, examine
from actbench.bench.system import CPU

CLOCKS = "sys/devices/system/clocksource/clocksource0"
MOST = "since the start, at the core or package with most"
PAGES = "sys/kernel/mm/transparent_hugepage"
QUIET = {  # a desktop that was told to be quiet
    "proc/cpuinfo": "model name : Test CPU\nflags : fpu tsc sse2\n",
    "proc/loadavg": "0.10 0.10 0.10 1/300 4711\n",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/self/cgroup": "0::/\n",
    "proc/vmstat": "pswpin 0\npswpout 0\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpufreq/boost": "0",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0",
    f"{CPU}/cpu1/topology/thread_siblings_list": "1",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/firmware/acpi/platform_profile": "performance",
    "sys/devices/system/node/node0/cpulist": "0-1",
    f"{CLOCKS}/current_clocksource": "tsc",
    f"{CLOCKS}/available_clocksource": "tsc hpet acpi_pm",
    f"{PAGES}/enabled": "always [madvise] never",
    f"{PAGES}/defrag": "always defer defer+madvise [madvise] never",
}


def stat(*cpus: tuple[int, int, int]) -> str:
    """/proc/stat where each CPU was so many ticks busy, idle and stolen from."""
    lines = [f"cpu{i} {busy} 0 0 {idle} 0 0 0 {stolen} 0 0" for i, (busy, idle, stolen) in enumerate(cpus)]
    return "\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, "intr 1 2 3", "ctxt 4", ""])


@dataclass
class Ticking(Clock):
    """A timer that also moves when it is read."""

    cost: int = 25

    def __call__(self) -> int:
        self.now += self.cost
        return self.now


KEPT = Flushing(operands=False, results=False)


@dataclass
class Patient:
    """A machine of two CPUs on which 2 s pass, all of them in this process."""

    root: Path
    files: Mapping[str, str] = field(default_factory=lambda: QUIET)
    after: Mapping[str, str] = field(default_factory=dict)
    """Files that change while noise is measured."""
    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: tuple[int, ...] = (0, 1)
    flushing: Flushing = KEPT
    cost: int = 25
    """Nanoseconds of a reading of the timer."""
    times: Callable[[], float] = lambda: 1e5

    def examine(self) -> Diagnosis:
        clock = Ticking(cost=self.cost)
        found = system(self.root, {"proc/stat": stat((100, 900, 0), (100, 900, 0)), **self.files})

        def call() -> None:
            clock.work(self.times())
            if self.after and clock.now > 1e9:
                system(self.root, self.after)
                self.after = {}

        return examine(
            Sources(
                found,
                self.environment,
                self.cpus,
                clock,
                lambda: clock.now,
                lambda cache, available: [Arm("arithmetic", [call]), Arm("memory traffic", [call])],
                lambda: self.flushing,
            )
        )

    def finding(self, name: str) -> Finding:
        return named(self.examine(), name)


def named(diagnosis: Diagnosis, name: str) -> Finding:
    (found,) = (f for f in diagnosis.findings if f.name == name)
    return found


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    # While 2 s pass, one CPU is busy with this process, and the other idle.
    return Patient(tmp_path, after={"proc/stat": stat((300, 900, 0), (100, 1100, 0))})


def test_a_quiet_machine_is_fine(patient: Patient) -> None:
    diagnosis = patient.examine()
    assert [f for f in diagnosis.findings if f.state != "fine"] == []
    assert [f for f in diagnosis.findings if f.command or f.advice] == []
    assert diagnosis.machine.cpu == "Test CPU"
    assert [n.kind for n in diagnosis.noise] == ["arithmetic", "memory traffic"]


def test_a_machine_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    silent = Patient(tmp_path, files={"proc/stat": ""}, cpus=())
    diagnosis = silent.examine()
    known = {"noise of arithmetic", "noise of memory traffic", "timer", "subnormals"}
    assert {f.name for f in diagnosis.findings if f.state != "unknown"} == known
    assert all(f.value is None and not f.command for f in diagnosis.of("unknown"))


@pytest.mark.parametrize(
    "content", ["", "nonsense", "-", "9" * 5000, "0-" + "9" * 30, "1 2 3", "5 0", "² 1", "cpu0 1 2", "0::"]
)
def test_files_that_make_no_sense_are_no_fault(tmp_path: Path, content: str) -> None:
    odd = Patient(tmp_path, files=dict.fromkeys([*QUIET, "proc/stat", "sys/fs/cgroup/cpu.max"], content))
    odd.files = {**odd.files, "proc/self/cgroup": "0::/"} if content != "0::" else odd.files
    odd.environment = {"OMP_NUM_THREADS": content}
    assert len(odd.examine().findings) == 20


def test_every_finding_says_what_it_does_to_figures(patient: Patient) -> None:
    diagnosis = patient.examine()
    assert all(f.effect.endswith(".") for f in diagnosis.findings)
    assert len({f.name for f in diagnosis.findings}) == len(diagnosis.findings)


DISTURBED = {  # name: files, environment, what is read, command
    "CPU governor": (
        {f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"},
        {},
        "performance, powersave",
        "echo performance | sudo tee /sys/devices/system/cpu/*/cpufreq/scaling_governor",
    ),
    "turbo": (
        {f"{CPU}/cpufreq/boost": "1"},
        {},
        "on",
        "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
    ),
    "SMT": (
        {f"{CPU}/cpu1/topology/thread_siblings_list": "1,5"},
        {},
        2,
        "echo off | sudo tee /sys/devices/system/cpu/smt/control",
    ),
    "power supply": (
        {"sys/class/power_supply/BAT0/type": "Battery", "sys/class/power_supply/BAT0/status": "Discharging"},
        {},
        "battery",
        "",
    ),
    "power profile": (
        {
            "sys/firmware/acpi/platform_profile": "low-power",
            "sys/firmware/acpi/platform_profile_choices": "low-power balanced",
        },
        {},
        "low-power",
        "echo balanced | sudo tee /sys/firmware/acpi/platform_profile",
    ),
    "timer": (
        {f"{CLOCKS}/current_clocksource": "hpet"},
        {},
        25,
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
    "threads": (
        {},
        {"OMP_NUM_THREADS": "8,2", "MKL_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "4"},
        8,
        "export OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2",
    ),
    "affinity": (
        {"sys/devices/system/node/node0/cpulist": "0", "sys/devices/system/node/node1/cpulist": "1"},
        {},
        2,
        "numactl --cpunodebind=0 --membind=0 $SHELL",
    ),
    "free memory": (
        {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 99 kB\n"},
        {},
        99 * 1024,
        "",
    ),
    "huge pages": (
        {f"{PAGES}/enabled": "always madvise [never]"},
        {},
        "never",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
    ),
    "CPU quota": (
        {"sys/fs/cgroup/cpu.max": "150000 100000"},
        {},
        1.5,
        "echo max | sudo tee /sys/fs/cgroup/cpu.max",
    ),
    "load": (
        {"proc/loadavg": "0.10 0.10 0.10 3/300 4711"},
        {},
        2,
        "ps -eo pcpu,pid,args --sort=-pcpu | head -5",
    ),
}


@pytest.mark.parametrize("name", DISTURBED)
def test_what_disturbs_is_told_with_what_mends_it(patient: Patient, name: str) -> None:
    files, environment, value, command = DISTURBED[name]
    patient.files = {**QUIET, **files}
    patient.environment = environment
    found = patient.finding(name)
    assert found.state == "disturbs"
    assert found.value == value
    assert found.command == command
    assert found.command or found.advice


def test_a_laptop_that_saves_power(patient: Patient) -> None:
    laptop = {
        f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave",
        f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
        f"{CPU}/cpu0/cpufreq/scaling_driver": "intel_pstate",
        f"{CPU}/intel_pstate/no_turbo": "0",
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/status": "Charging",
        "sys/class/power_supply/mouse/type": "Battery",
        "sys/class/power_supply/mouse/scope": "Device",
        "sys/class/power_supply/mouse/status": "Discharging",
    }
    patient.files = {k: v for k, v in QUIET.items() if "boost" not in k} | laptop
    diagnosis = patient.examine()
    assert {f.name for f in diagnosis.of("disturbs")} == {"CPU governor", "turbo"}
    assert named(diagnosis, "CPU governor").detail == "driver intel_pstate"
    no_turbo = "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
    assert named(diagnosis, "turbo").command == no_turbo
    assert named(diagnosis, "power supply").value == "mains"


def test_a_virtual_machine_from_which_time_is_stolen(patient: Patient) -> None:
    hidden = ("cpufreq", "thermal", "platform_profile")
    patient.files = {k: v for k, v in QUIET.items() if not any(name in k for name in hidden)}
    patient.files |= {"proc/cpuinfo": "flags : fpu hypervisor", "sys/class/dmi/id/sys_vendor": "QEMU"}
    patient.after = {"proc/stat": stat((290, 900, 10), (100, 1100, 0))}
    diagnosis = patient.examine()
    assert {f.name for f in diagnosis.of("disturbs")} == {"stolen time", "hypervisor"}
    stolen = named(diagnosis, "stolen time")
    assert (stolen.value, stolen.unit) == (2.5, "%")  # 10 ticks of 400
    assert stolen.detail == "0.42 % since the start"  # 10 of 2400
    assert named(diagnosis, "hypervisor").value == "QEMU"
    unknown = {"CPU governor", "turbo", "SMT", "thermal throttling", "power profile"}
    assert {f.name for f in diagnosis.of("unknown")} == unknown
    assert all("host" in f.advice for f in diagnosis.findings if f.state != "fine" and not f.command)


def test_cpus_of_others_do_not_count(patient: Patient) -> None:
    patient.after = {"proc/stat": stat((300, 900, 0), (200, 900, 100))}
    patient.cpus = (0,)
    diagnosis = patient.examine()
    for name in ("stolen time", "other processes"):
        assert (named(diagnosis, name).state, named(diagnosis, name).value) == ("fine", 0)


def test_other_processes_are_what_is_not_this_one(patient: Patient) -> None:
    patient.after = {"proc/stat": stat((300, 900, 0), (140, 1060, 0))}
    found = patient.finding("other processes")
    assert found.state == "disturbs"
    assert found.value == pytest.approx(20, abs=0.1)  # per cent of a CPU: 40 ticks of 200


def test_a_process_that_was_there_for_a_moment_is_no_load(patient: Patient) -> None:
    patient.files = {**QUIET, "proc/loadavg": "0.1 0.1 0.1 4/300 1"}
    patient.after = {**patient.after, "proc/loadavg": "0.1 0.1 0.1 1/300 1"}
    assert patient.finding("load").state == "fine"


def test_a_quota_of_the_first_version_that_was_used_up(patient: Patient) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct"
    patient.files = QUIET | {
        "proc/self/cgroup": "4:cpu,cpuacct:/docker/c0ffee\n0::/\n",
        f"{group}/cpu.cfs_quota_us": "400000",
        f"{group}/cpu.cfs_period_us": "100000",
        f"{group}/cpu.stat": "nr_periods 9\nnr_throttled 1\nthrottled_time 5\n",
    }
    assert patient.finding("CPU quota").state == "fine"  # more than the CPUs there are
    patient.after = {f"{group}/cpu.stat": "nr_periods 29\nnr_throttled 8\nthrottled_time 50\n"}
    found = patient.finding("CPU quota")
    assert found.state == "disturbs"
    assert found.detail.startswith("stopped 7 times now, 8 in all")
    assert found.command == "echo -1 | sudo tee /sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"


def test_a_quota_that_is_hidden_is_asked_for(patient: Patient) -> None:
    patient.files = QUIET | {"sys/fs/cgroup/cpu.stat": "nr_throttled 1\n"}
    patient.after = {"sys/fs/cgroup/cpu.stat": "nr_throttled 3\n"}
    found = patient.finding("CPU quota")
    assert (found.state, found.value, found.command) == ("disturbs", "none", "")
    assert "ask" in found.advice


def test_libraries_do_not_know_of_quotas(patient: Patient) -> None:
    patient.files = {**QUIET, "sys/fs/cgroup/cpu.max": "150000 100000"}
    patient.environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "many", "OPENBLAS_NUM_THREADS": "0"}
    found = patient.finding("threads")
    assert found.state == "disturbs"
    assert found.command == "export MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1"


def test_a_path_that_a_shell_would_change_is_quoted(patient: Patient) -> None:
    patient.files = QUIET | {
        "proc/self/cgroup": "0::/app-a\\x2db.scope\n",
        "sys/fs/cgroup/app-a\\x2db.scope/cpu.max": "50000 100000",
    }
    command = patient.finding("CPU quota").command
    assert command == "echo max | sudo tee '/sys/fs/cgroup/app-a\\x2db.scope/cpu.max'"


def test_heat_is_what_happened_now(patient: Patient) -> None:
    count = f"{CPU}/cpu0/thermal_throttle/core_throttle_count"
    patient.files = {**QUIET, count: "12"}
    found = patient.finding("thermal throttling")
    assert (found.state, found.value, found.detail) == ("fine", 0, f"12 {MOST}")
    patient.after = {count: "15"}
    found = patient.finding("thermal throttling")
    assert (found.state, found.value, found.detail) == ("disturbs", 3, f"15 {MOST}")


def test_heat_is_counted_once_for_all_cpus_that_tell_of_it(patient: Patient) -> None:
    folders = [f"{CPU}/cpu{i}/thermal_throttle" for i in range(8)]
    packages = [f"{folder}/package_throttle_count" for folder in folders]
    cores = [f"{folder}/core_throttle_count" for folder in folders]
    patient.files = {**QUIET, **dict.fromkeys(packages, "40"), **dict.fromkeys(cores, "7")}
    patient.after = {**dict.fromkeys(packages, "42"), cores[3]: "8"}
    found = patient.finding("thermal throttling")
    assert (found.state, found.value, found.detail) == ("disturbs", 2, f"42 {MOST}")


def test_memory_is_what_the_container_may_have(patient: Patient) -> None:
    patient.files = QUIET | {
        "proc/meminfo": f"MemTotal: {256 * 2**20} kB\nMemAvailable: {200 * 2**20} kB\n",
        "sys/fs/cgroup/memory.max": str(4 * 2**30),
        "sys/fs/cgroup/memory.current": str(2**29),
    }
    found = patient.finding("free memory")
    assert (found.state, found.value, found.detail) == ("fine", 7 * 2**29, "88 % of all")
    patient.files |= {"sys/fs/cgroup/memory.current": str(15 * 2**28)}
    found = patient.finding("free memory")
    assert (found.state, found.value, found.detail) == ("disturbs", 2**28, "6.2 % of all")


def swapping(patient: Patient, free: int) -> None:
    """Of 900 kB of swap so many are free, 200 of memory are, and 3 pages move."""
    memory = f"MemTotal: 900 kB\nMemAvailable: 200 kB\nSwapTotal: 900 kB\nSwapFree: {free} kB\n"
    patient.files = {**QUIET, "proc/meminfo": memory, "proc/vmstat": "pswpin 10\npswpout 20\n"}
    patient.after = {"proc/vmstat": "pswpin 12\npswpout 21\n"}


def test_swap_disturbs_where_pages_move(patient: Patient) -> None:
    swapping(patient, free=800)
    found = patient.finding("swap")
    assert (found.state, found.value, found.detail) == ("disturbs", 100 * 1024, "3 pages moved")
    assert found.command == "sudo swapoff --all && sudo swapon --all"
    patient.after = {}
    system(patient.root, {"proc/vmstat": "pswpin 10\npswpout 20\n"})
    found = patient.finding("swap")
    assert (found.state, found.value, found.detail) == ("fine", 100 * 1024, "0 pages moved")
    assert (found.command, found.advice) == ("", "")


def test_swap_that_does_not_fit_into_memory_is_not_emptied(patient: Patient) -> None:
    swapping(patient, free=0)
    found = patient.finding("swap")
    assert (found.state, found.command) == ("disturbs", "")
    assert found.advice


def test_swap_within_memory_is_not_emptied(patient: Patient) -> None:
    swapping(patient, free=800)
    table = "Filename Type Size Used Priority\n/dev/zram0 partition 900 100 100\n"
    patient.files = {**patient.files, "proc/swaps": table}
    found = patient.finding("swap")
    assert (found.state, found.command) == ("disturbs", "")
    assert "zram" in found.advice
    assert "disk" not in found.effect


@pytest.mark.parametrize(
    ("enabled", "defrag", "environment", "command"),
    [
        ("[always] madvise never", "[madvise] never", {}, ""),
        ("always [madvise] never", "[madvise] never", {"NUMPY_MADVISE_HUGEPAGE": "1"}, ""),
        (
            "always [madvise] never",
            "[madvise] never",
            {"NUMPY_MADVISE_HUGEPAGE": "0"},
            "unset NUMPY_MADVISE_HUGEPAGE",
        ),
        ("[always] madvise never", "[madvise] never", {"NUMPY_MADVISE_HUGEPAGE": "0"}, ""),
        ("[always] madvise never", "[always] never", {}, f"echo madvise | sudo tee /{PAGES}/defrag"),
    ],
    ids=["always", "asked for", "not asked for", "not asked for, but given", "with a wait"],
)
def test_huge_pages(
    patient: Patient, enabled: str, defrag: str, environment: dict[str, str], command: str
) -> None:
    patient.files = QUIET | {f"{PAGES}/enabled": enabled, f"{PAGES}/defrag": defrag}
    patient.environment = environment
    found = patient.finding("huge pages")
    assert (found.state, found.command) == ("disturbs" if command else "fine", command)
    assert ("beside peers malloc asks for all" in found.detail) is ("[madvise]" in enabled)


def test_a_timer_that_is_a_system_call(patient: Patient) -> None:
    patient.cost = 900
    found = patient.finding("timer")
    assert found.state == "disturbs"
    assert found.value == 900
    assert found.command == ""  # it is the fastest that is offered
    assert "--slice" in found.advice
    assert "tsc" not in found.advice


@pytest.mark.parametrize(
    ("cpuinfo", "source", "offered", "command", "advice"),
    [
        ("flags : fpu tsc", "tsc", "tsc kvm-clock hpet", "", "--slice"),
        (
            "flags : fpu tsc",
            "kvm-clock",
            "kvm-clock tsc",
            f"echo tsc | sudo tee /{CLOCKS}/current_clocksource",
            "",
        ),
        ("flags : fpu tsc nonstop_tsc", "hpet", "hpet acpi_pm", "", "tsc=reliable"),
        ("Features : fp asimd", "arch_sys_counter", "arch_sys_counter", "", "--slice"),
        ("Features : fp asimd", "jiffies", "jiffies arch_sys_counter", "", "--slice"),
        ("flags : fpu", "pit", "pit", "", "--slice"),
        ("flags : fpu tsc", None, None, "", "--slice"),
    ],
    ids=["counter", "another", "refused", "ARM", "ARM, another", "no counter", "not told"],
)
def test_a_slow_timer_is_mended_where_x86_does_not_use_its_counter(
    patient: Patient, cpuinfo: str, source: str | None, offered: str | None, command: str, advice: str
) -> None:
    told = {f"{CLOCKS}/current_clocksource": source, f"{CLOCKS}/available_clocksource": offered}
    patient.files = {k: v for k, v in QUIET.items() if k not in told} | {"proc/cpuinfo": cpuinfo}
    patient.files |= {path: text for path, text in told.items() if text}
    patient.cost = 900
    found = patient.finding("timer")
    assert (found.state, found.command) == ("disturbs", command)
    assert advice in found.advice
    assert bool(found.advice) == (command == "")


@pytest.mark.parametrize("flushed", [Flushing(True, False), Flushing(False, True), Flushing(True, True)])
def test_flushed_subnormals_are_told(patient: Patient, flushed: Flushing) -> None:
    patient.flushing = flushed
    found = patient.finding("subnormals")
    assert found.state == "disturbs"
    assert ("operands" in found.detail) == flushed.operands
    assert ("results" in found.detail) == flushed.results
    assert found.command == ""
    patient.environment = {"LD_PRELOAD": "fast.so"}
    assert patient.finding("subnormals").command == "unset LD_PRELOAD"


@contextmanager
def control(bits: int) -> Iterator[None]:
    """These bits of MXCSR set, by way of the floating-point environment of the C library."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    state = (ctypes.c_uint32 * 8)()
    library.fegetenv(state)
    before = state[7]  # behind the seven words of the x87 unit
    state[7] = before | bits
    library.fesetenv(state)
    try:
        yield
    finally:
        state[7] = before
        library.fesetenv(state)


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the mode is set as glibc keeps it for x86-64",
)
@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0, Flushing(False, False)),
        (0x40, Flushing(True, False)),
        (0x8000, Flushing(False, True)),
        (0x8040, Flushing(True, True)),
    ],
    ids=["kept", "operands", "results", "both"],
)
def test_the_mode_of_the_processor_is_found_by_arithmetic(bits: int, expected: Flushing) -> None:
    with control(bits):
        found = doctor.flushing()
    assert found == expected


def test_noise_is_told_with_the_rounds_that_would_do(patient: Patient) -> None:
    spread = iter(range(10**9))
    # Slices of ten calls whose times follow a sawtooth with a period that no round knows of.
    patient.times = lambda: 1e5 * (1 + 0.2 * (next(spread) // 10 % 7) / 7)
    diagnosis = patient.examine()
    found = named(diagnosis, "noise of arithmetic")
    least = diagnosis.noise[0].smallest_difference
    assert least is not None
    assert found.state == "disturbs"
    assert found.value == pytest.approx(100 * least, abs=0.01)
    name, _, rounds = found.command.removeprefix("export ").partition("=")
    assert name == "ACTBENCH_ROUNDS"
    assert int(rounds) == pytest.approx(12 * (least / 0.03) ** 2, abs=1)


def test_a_drift_is_told_where_nothing_else_varies(patient: Patient) -> None:
    calls = iter(range(10**9))
    patient.times = lambda: 1e5 if next(calls) < 10_000 else 1.1e5
    found = patient.finding("noise of arithmetic")
    assert found.state == "disturbs"
    assert "drift" in found.effect
    assert found.detail == "drift +10 %"
    assert found.command == ""  # more rounds do not help
