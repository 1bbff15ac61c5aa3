"""A diagnosis at 80 columns: what disturbs with its remedy, the rest in lists."""

from __future__ import annotations

import shlex

import pytest

from actbench.bench.disturbances.evidence import Finding
from actbench.bench.doctor import Diagnosis
from actbench.bench.noise import Noise
from actbench.present import diagnosis, output
from actbench.present.table import WIDTH
from tests.present.conftest import MACHINE

LONG = "echo performance | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"
ASK = "only the host knows"
FINDINGS = (
    Finding("CPU governor", "disturbs", "powersave", "", "driver x", "The clock follows.", LONG),
    Finding("hypervisor", "disturbs", "KVM", effect="Neighbours take caches.", advice="ask the host"),
    Finding("turbo", "unknown", None, effect="It depends.", advice=ASK),
    Finding("SMT", "unknown", None, effect="They share.", advice=ASK),
    Finding("load", "unknown", None, effect="It waits."),
    Finding("timer", "fine", 52.4, "ns", "clock source tsc", "It is coarse."),
    Finding("free memory", "fine", 3 * 2**30, "B", "", "It swaps."),
    Finding("affinity", "fine", 2, "of 2 CPUs", "", "It moves."),
)
NOISE = (
    Noise("arithmetic", 738, 1034.5, 0.0123, 0.0042, 0.4567, 0.031, 0.0187),
    Noise("memory traffic", 738, 1e6, 0.05, -0.02, 52.0, 0.2, None),
)


def shown(findings: tuple[Finding, ...] = FINDINGS, noise: tuple[Noise, ...] = NOISE) -> str:
    return output.plain_text(diagnosis.terminal(Diagnosis(MACHINE, noise, findings)))


def test_it_fits_80_columns_and_counts_what_it_found() -> None:
    text = shown()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("2 of 8 findings disturb timing here, 3 are unknown, 3 fine\n")


def test_what_disturbs_stands_with_effect_and_remedy() -> None:
    lines = shown().splitlines()
    at = lines.index("disturbs CPU governor: powersave (driver x)")
    assert lines[at + 1 : at + 3] == ["  The clock follows.", "  Mend it:"]
    at = lines.index("disturbs hypervisor: KVM")
    assert lines[at + 1 : at + 4] == ["  Neighbours take caches.", "  Mend it: ask the host.", ""]


def test_a_command_that_is_broken_into_lines_is_the_same_to_a_shell() -> None:
    lines = shown().splitlines()
    at = lines.index("  Mend it:")
    assert lines[at + 1].endswith("\\")
    joined = "\n".join(lines[at + 1 : at + 3]).replace("\\\n", "")  # as POSIX has it
    assert shlex.split(joined) == shlex.split(LONG)


def test_what_is_unknown_for_one_reason_is_one_line() -> None:
    (line,) = (line for line in shown().splitlines() if ASK in line)
    assert line.split("  ")[0] == "turbo, SMT"
    assert any(line.split() == ["load", "not", "told", "here"] for line in shown().splitlines())


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        ("none", "", "none"),
        (0, "times", "0 times"),
        (2, "of 2 CPUs", "2 of 2 CPUs"),
        (52.4, "ns", "52.4 ns"),
        (1000.0, "ns", "1.00 us"),
        (0, "B", "0 B"),
        (3 * 2**30, "B", "3.00 GiB"),
        (12.96, "%", "13 %"),
        (648.33, "%", "648 %"),
        (6400.0, "% of a CPU", "6400 % of a CPU"),
        (0.5, "CPUs", "0.5 CPUs"),
    ],
)
def test_values_have_their_units(value: str | float, unit: str, text: str) -> None:
    assert diagnosis.value(Finding("f", "fine", value, unit)) == text


def test_noise_is_in_per_cent_of_the_median() -> None:
    lines = [line.split() for line in shown().splitlines()]
    assert ["arithmetic", "738", "1.2", "+0.42", "46", "3.1", "1.9"] in lines
    assert ["memory", "traffic", "738", "5.0", "-2.0", "5200", "20", "-"] in lines


def test_what_there_is_nothing_of_is_left_out() -> None:
    text = shown(FINDINGS[-1:], ())
    assert "unknown  " not in text
    assert "slices" not in text
    assert text.startswith("0 of 1 findings disturb timing here")
