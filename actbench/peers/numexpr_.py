"""numexpr: one string, evaluated block by block in its own virtual machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from actbench.peers.base import (
    Description,
    DifferentFunctionError,
    Params,
    Peer,
    Prepared,
    Request,
    Table,
    Tables,
    version,
)

# Numbers that are no integers are variables: a literal 0.5 would make all of it float64.
_LEAKY = "where(x > 0, x, a * x)"
ELEMENTWISE: Table = {
    "identity": lambda p: ("x", {}),
    "step": lambda p: ("where(x > 0, 1, where(x < 0, 0, a))", {"a": p["values"]}),
    "relu": lambda p: ("where(x > 0, x, 0)", {}),
    "relu6": lambda p: ("where(x > 6, 6, where(x > 0, x, 0))", {}),
    "hardtanh": lambda p: ("where(x > b, b, where(x > a, x, a))", {"a": p["min_val"], "b": p["max_val"]}),
    "hardsigmoid": lambda p: ("where(x > 3, 1, where(x > -3, x / 6 + a, 0))", {"a": 0.5}),
    "hardswish": lambda p: ("where(x > 3, x, where(x > -3, x * (x + 3) / 6, 0))", {}),
    "leaky_relu": lambda p: (_LEAKY, {"a": p["negative_slope"]}),
    "prelu": lambda p: (_LEAKY, {"a": p["weight"]}),
    "rrelu": lambda p: (_LEAKY, {"a": (p["lower"] + p["upper"]) / 2}),
    "elu": lambda p: ("where(x > 0, x, a * expm1(x))", {"a": p["alpha"]}),
    "selu": lambda p: (
        "b * where(x > 0, x, a * expm1(x))",
        {"a": 1.6732632423543772, "b": 1.0507009873554805},
    ),
    "celu": lambda p: ("where(x > 0, x, a * expm1(x / a))", {"a": p["alpha"]}),
    "sigmoid": lambda p: ("1 / (1 + exp(-x))", {}),
    "silu": lambda p: ("x / (1 + exp(-x))", {}),
    "swish": lambda p: ("x / (1 + exp(-b * x))", {"b": p["beta"]}),
    "tanh": lambda p: ("tanh(x)", {}),
    "softsign": lambda p: ("x / (1 + abs(x))", {}),
    "softplus": lambda p: ("log1p(exp(b * x)) / b", {"b": p["beta"]}),
    "logsigmoid": lambda p: ("-log1p(exp(-x))", {}),
    "mish": lambda p: ("x * tanh(log1p(exp(x)))", {}),
    "gelu_tanh": lambda p: (
        "x / 2 * (1 + tanh(a * (x + b * x * x * x)))",
        {"a": 0.7978845608028654, "b": 0.044715},
    ),
}
LOSSES: Table = {
    "mse": lambda p: ("sum((y - t) ** 2)", {}, np.size),
    "half_squared_error": lambda p: ("sum((y - t) ** 2)", {}, lambda y: 2),
    "quadratic_cost": lambda p: ("sum((y - t) ** 2)", {}, lambda y: 2 * y.shape[0]),
    "mae": lambda p: ("sum(abs(y - t))", {}, np.size),
    "hinge": lambda p: ("sum(where(t * y < 1, 1 - t * y, 0))", {}, np.size),
    "quantile": lambda p: ("sum(where(t > y, q * (t - y), (q - 1) * (t - y)))", {"q": p["q"]}, np.size),
    "bce": lambda p: ("sum(-t * log(y) - (1 - t) * log1p(-y))", {}, np.size),
    "bce_with_logits": lambda p: ("sum(log1p(exp(y)) - t * y)", {}, np.size),
}


class NumExpr(Peer):
    """numexpr's evaluate, forward only."""

    name = "numexpr"
    packages = ("numexpr",)
    extra = "numexpr"

    def _describe(self) -> Description:
        import numexpr

        return Description(
            version("numexpr"),
            "VML" if numexpr.use_vml else "without VML",
            "set_num_threads",
            "the compiler's choice",
        )

    def set_threads(self, count: int) -> int:
        import numexpr

        numexpr.set_num_threads(count)
        return int(numexpr.get_num_threads())

    def _tables(self) -> Tables:
        return Tables(forward={**ELEMENTWISE, **LOSSES}, forward_out=ELEMENTWISE)

    def _bind(self, request: Request, body: Any) -> Prepared:
        import numexpr
        from numexpr.necompiler import getContext, getExprNames, getType

        if request.dtype.name not in ("float32", "float64"):
            raise DifferentFunctionError(f"numexpr has no {request.dtype.name}")
        expression, given, *divisor = body
        variables: Params = {
            **dict(zip("x" if len(request.operands) == 1 else "yt", request.operands, strict=True)),
            **{name: request.dtype.type(value) for name, value in given.items()},
        }
        # The compiled expression, as other peers' calls are prepared: over 64 elements it takes 1.1 us, re_evaluate
        # 3.6, and evaluate, which looks it up by its text and its variables, 10.
        used, vml = getExprNames(expression, getContext({}), sanitize=True)
        compiled = numexpr.NumExpr(expression, [(name, getType(variables[name])) for name in used])
        call = partial(compiled, *(variables[name] for name in compiled.input_names))
        if request.out:
            call = partial(call, out=np.empty_like(request.operands[0]), ex_uses_vml=vml)
        elif vml:
            call = partial(call, ex_uses_vml=vml)
        if divisor:
            call = partial(_quotient, call, divisor[0](request.operands[0]))
        # A sum runs in one thread, whatever there are: of 2^24 with two of them it took 1.00 s of CPU time a second.
        return Prepared(call, lambda: np.asarray(call()), not request.out, threads=1 if divisor else None)


def _quotient(total: Any, count: int) -> Any:
    return total() / count
