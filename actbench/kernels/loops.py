"""What a kernel that works on NumPy's arrays in their place is made of, and the kernels that can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from actbench.kernels.linking import jitable
from actbench.kernels.team import lead
from actbench.kernels.vecmath.intrinsics import wide_vectors

Kernel = Callable[..., Any]


class Loop(NamedTuple):
    """A loop over units (elements, rows, spans), any range of which can be run by itself."""

    measure: Callable[..., Any]
    """How many units (out, params, inputs) have; -1 where the loop cannot work on them in their place."""
    gather: Callable[..., Any]
    """All that it works with, as a tuple, from (out, params, inputs, units)."""
    run: Callable[..., Any]
    """The loop itself, over (that tuple, the first unit, the unit to stop at)."""


def alone(template: Callable[..., Loop]) -> Callable[..., Kernel]:
    """The template of a kernel for one thread: (out, params, inputs), False where it declines them."""

    def make(*arguments: Any) -> Kernel:
        measure, gather, run = template(*arguments)

        def kernel(out: Any, params: Any, inputs: Any) -> Any:
            wide_vectors()
            units = measure(out, params, inputs)
            if units > 0:
                run(gather(out, params, inputs, units), 0, units)
            return units >= 0

        return kernel

    make.__qualname__ = template.__qualname__
    return make


def together(template: Callable[..., Loop]) -> Callable[..., Kernel]:
    """The template of the same kernel for a team: also its mailbox, how many may join in, and units a part."""

    def make(*arguments: Any) -> Kernel:
        measure, gather, run = template(*arguments)

        @jitable
        def run_part(work: Any, part: Any) -> int:
            what, units, length = work
            run(what, part * length, min((part + 1) * length, units))
            return 0

        def kernel(out: Any, params: Any, inputs: Any, mailbox: Any, seats: Any, length: Any) -> Any:
            wide_vectors()
            units = measure(out, params, inputs)
            if units > 0:
                work = gather(out, params, inputs, units), units, length
                lead(mailbox, run_part, work, (units + length - 1) // length, seats)
            return units >= 0

        return kernel

    make.__qualname__ = f"{template.__qualname__} together"
    return make
