"""What memory costs: its room, swap and pages."""

from __future__ import annotations

import re

from actbench.bench.disturbances.evidence import Check, Evidence, Finding
from actbench.bench.system import HUGE_PAGES
from actbench.bench.watch import grown

LITTLE_MEMORY = 0.1


def _memory(e: Evidence) -> Finding:
    effect = "Buffers that do not fit push others out, to be read again while a slice is timed."
    free, total = e.system.available_memory(), e.system.total_memory()
    if free is None or not total:
        return Finding("free memory", "unknown", None, effect=effect)
    share = free / total
    little = share < LITTLE_MEMORY
    return Finding(
        "free memory",
        "disturbs" if little else "fine",
        free,
        "B",
        f"{100 * share:.2g} % of all",
        effect,
        advice="close programs, or choose smaller sizes (--size)" if little else "",
    )


def _swap(e: Evidence) -> Finding:
    effect = (
        "What was swapped out is read from disk where it is touched first: a slice waits for milliseconds."
    )
    total, free = (e.system.field("proc/meminfo", name) for name in ("SwapTotal", "SwapFree"))
    if total is None or free is None:
        return Finding("swap", "unknown", None, effect=effect)
    used, pages = 1024 * (total - free), grown(e.during.before.swapped, e.during.after.swapped) or 0
    # What lies there and is not asked for, such as a service that sleeps, disturbs nobody.
    detail = f"{pages} pages moved" if total else "there is none"
    if not pages:
        return Finding("swap", "fine", used, "B", detail, effect)
    command, advice = "sudo swapoff --all && sudo swapon --all", ""
    if re.search(r"^/dev/zram\d", e.system.read("proc/swaps") or "", re.M):
        effect = "What was swapped out is unpacked where it is touched first, while a slice is timed."
        # Emptied, it would take more memory than it does, and swapon finds again only what /etc/fstab names.
        command, advice = "", "close programs: this swap is memory itself, compressed (zram)"
    elif used >= (e.system.available_memory() or 0):
        command, advice = "", "close programs first: what is swapped out does not fit into memory"
    return Finding("swap", "disturbs", used, "B", detail, effect, command, advice)


def _pages(e: Evidence) -> Finding:
    effect = (
        "With small pages a copy of 64 MiB to a new array took 38 ms, with huge ones 18, and to one that is there "
        "already 11 and 10."
    )
    enabled, defrag = e.system.huge_pages(), e.system.huge_pages_wait()
    if enabled is None:
        return Finding("huge pages", "unknown", None, effect=effect)
    refused = e.environment.get("NUMPY_MADVISE_HUGEPAGE") == "0" and enabled == "madvise"
    if enabled == "never":
        command = f"echo madvise | sudo tee /{HUGE_PAGES}/enabled"
    elif refused:
        command = "unset NUMPY_MADVISE_HUGEPAGE"
    elif defrag == "always":
        command = f"echo madvise | sudo tee /{HUGE_PAGES}/defrag"
        effect = "An allocation waits until memory is put in order for a huge page, which takes any time."
    else:
        command = ""
    asked = ""
    if enabled == "madvise":
        asked = f", NumPy {'is not to ask' if refused else 'asks for them'}; beside peers malloc asks for all"
    return Finding(
        "huge pages",
        "disturbs" if command else "fine",
        enabled,
        detail=f"defrag {defrag or 'unknown'}{asked}",
        effect=effect,
        command=command,
    )


CHECKS: tuple[Check, ...] = (_memory, _swap, _pages)
