"""Waiting for another thread in machine code, where the GIL is free for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from actbench.kernels.headers import x86

SETTLED = 600
"""Looks after the change, 8 us: whoever made it needs the GIL that long to enter machine code itself, and who asks for
the GIL in vain sleeps, and takes 30 us to wake."""


@intrinsic  # type: ignore[untyped-decorator]
def look(typingctx: Any, array: Any) -> Any:
    """Return the first element as it is in memory now, after a pause that leaves the core to its other thread."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x86(builder, "sse2.pause")
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(array), codegen


def watch() -> Callable[..., Any]:
    """Whether the first element is another number than the one given within so many looks."""

    def kernel(array: Any, seen: int, looks: int) -> bool:
        for _ in range(looks):
            if look(array) != seen:
                for _ in range(SETTLED):
                    look(array)
                return True
        return False

    return kernel
