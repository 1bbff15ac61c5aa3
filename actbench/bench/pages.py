"""The pages of memory that calls allocate: beside peers, huge ones for every library or for none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from actbench.bench.system import SYSTEM, System

# Where the kernel gives huge pages to those that ask (madvise), NumPy asks and others do not: relu of 2^24 float32
# took torch 59 ms in pages of 4 KiB and 14 in huge ones, for a kernel that needs 10. glibc asks for all that malloc
# hands out, from 2.35 on; torch has a setting of its own.
_MALLOC = "glibc.malloc.hugetlb"
_TUNABLES, _TORCH = "GLIBC_TUNABLES", "THP_MEM_ALLOC_ENABLE"


def asking(system: System = SYSTEM, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables with which a process asks for huge pages whatever library allocates; none where that is settled.

    Only the process's start heeds them. What the user has set stays.
    """
    if system.huge_pages() != "madvise":
        return {}
    tunables = environment.get(_TUNABLES, "")
    if _MALLOC not in tunables:
        tunables = ":".join(filter(None, (tunables, f"{_MALLOC}=1")))
    return {_TUNABLES: tunables, _TORCH: environment.get(_TORCH, "1")}
