"""A kernel that one thread runs alone, or that several share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from actbench.kernels import threads as pool

if TYPE_CHECKING:
    from actbench.kernels.compiler import Kernel

Pieces = Callable[[Any, tuple[Any, ...]], tuple[int, int]]
"""How many units (out, inputs) have, and of how many a part is a multiple."""


def elements(out: Any, inputs: tuple[Any, ...]) -> tuple[int, int]:
    """The pieces of an elementwise pass."""
    return out.size, pool.GRAIN


class Sharable:
    """A kernel in both its forms, each of which is compiled when it is first asked for.

    What they return is False where the kernel declines its operands.
    """

    def __init__(self, kernel: Callable[[bool], Kernel], pieces: Pieces) -> None:
        self.kernel = cache(kernel)
        """The kernel for a team (True), or the one for a single thread."""
        self._pieces = pieces

    @cached_property
    def alone(self) -> Callable[..., bool]:
        """Run it in this thread, over (out, params, inputs)."""
        return self.kernel(False).entry

    @cached_property
    def _together(self) -> Callable[..., bool]:
        return self.kernel(True).entry

    def shared(self, out: Any, params: tuple[Any, ...], inputs: tuple[Any, ...], threads: int) -> bool:
        """Run it in so many threads; UsageError for a number of them that cannot be."""
        return pool.together(self._together, out, params, inputs, *self._pieces(out, inputs), threads)

    def run(
        self, out: Any, params: tuple[Any, ...], inputs: tuple[Any, ...], threads: int | None, size: int
    ) -> bool:
        """Run it in so many threads where the elements that it works on are enough for that."""
        count = pool.default if threads is None else pool.checked(threads)
        if count == 1 or size < pool.SHARED:
            return self.alone(out, params, inputs)
        return self.shared(out, params, inputs, count)

    def apply(
        self, out: Any, params: tuple[Any, ...], inputs: tuple[Any, ...], threads: int | None, size: int
    ) -> None:
        """The same over operands that were made for it: to decline them is a fault of our own."""
        if not self.run(out, params, inputs, threads, size):
            raise RuntimeError("a kernel declined the arrays that were made for it")
