"""SciPy: the functions of scipy.special, and what they make of a formula."""

from __future__ import annotations

import numpy as np

from actbench.peers.base import Description, Tables, version
from actbench.peers.numpy_ import OneThread, compiler


class SciPy(OneThread):
    """scipy.special over NumPy arrays, forward only."""

    name = "scipy"
    packages = ("scipy",)
    extra = "scipy"

    def _describe(self) -> Description:
        import scipy

        return Description(
            version("scipy"), compiler(scipy.show_config(mode="dicts")), "1, always", "the compiler's choice"
        )

    def _tables(self) -> Tables:
        from scipy import special

        return Tables(
            forward={
                "sigmoid": lambda p: special.expit,
                "silu": lambda p: lambda x: x * special.expit(x),
                "swish": lambda p: lambda x: x * special.expit(p["beta"] * x),
                "logsigmoid": lambda p: special.log_expit,
                "softplus": lambda p: lambda x: -special.log_expit(-p["beta"] * x) / p["beta"],
                "gelu": lambda p: lambda x: x * special.ndtr(x),
                "softmax": lambda p: lambda x: special.softmax(x, axis=-1),
                "log_softmax": lambda p: lambda x: special.log_softmax(x, axis=-1),
                "huber": lambda p: lambda y, t: special.huber(p["delta"], y - t).mean(),
                "bce": lambda p: lambda y, t: -(special.xlogy(t, y) + special.xlog1py(1 - t, -y)).mean(),
                "bce_with_logits": lambda p: lambda y, t: -(t * y + special.log_expit(-y)).mean(),
                "cross_entropy": lambda p: (
                    lambda y, t: -special.log_softmax(y, axis=-1)[np.arange(t.size), t].mean()
                ),
            },
            forward_out={
                "sigmoid": lambda p: special.expit,
                "logsigmoid": lambda p: special.log_expit,
            },
        )
