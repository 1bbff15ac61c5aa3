"""PyTorch, compiled: torch.compile over what eager PyTorch calls, the backward pass by torch.func."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, ClassVar

from actbench.peers.base import Prepared, Request, Tables
from actbench.peers.torch_eager import NOTES, Torch, array, forward, tensor

_NOT_COMPILED = ("ctc", "ctc_with_logits")  # one operator, which the compiler calls as eager code does


class TorchCompile(Torch):
    """PyTorch with its default compiler, for the shape at hand."""

    name = "torch.compile"
    notes: ClassVar = {name: NOTES[name] for name in ("identity", "swish", "rrelu", "bce")}

    def _tables(self) -> Tables:
        from torch._inductor import config

        config.compile_threads = 1  # no pool of compilers beside what is measured
        bodies = {name: body for name, body in forward().items() if name not in _NOT_COMPILED}
        # torch.heaviside has no derivative.
        return Tables(bodies, {name: body for name, body in bodies.items() if name != "step"})

    def _bind(self, request: Request, body: Any) -> Prepared:
        import torch

        operands = [tensor(a) for a in request.operands]
        if request.pass_ == "backward" and request.function == "identity":
            body = _copy  # the compiled product is the tensor that it is given, and takes no time
        elif request.pass_ == "backward":
            body = _product(body) if "x" in request.arrays else _gradient(body)
        compiled, seconds = self._once(request, partial(_compiled, body, operands), torch.get_num_threads())
        call = partial(compiled, *operands)
        note = self.note(request)
        return Prepared(call, lambda: array(call(), request.dtype), note=note, compile_s=seconds)


def _compiled(body: Any, operands: list[Any]) -> tuple[Any, float]:
    """The compiled function and the seconds it took."""
    import torch

    # Else Dynamo would make the second shape it sees a variable, and give up at the eighth.
    torch._dynamo.reset()
    compiled = torch.compile(body, fullgraph=True, dynamic=False)
    start = time.perf_counter()
    compiled(*operands)
    return compiled, time.perf_counter() - start


def _copy(g: Any, x: Any) -> Any:
    return g.clone()


def _product(body: Any) -> Any:
    from torch.func import vjp

    return lambda g, x: vjp(body, x)[1](g)[0]


def _gradient(body: Any) -> Any:
    from torch.func import grad

    return grad(body)
