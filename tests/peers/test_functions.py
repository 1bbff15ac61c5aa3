"""Every function that a peer is asked for is ours: the same values, forward and backward, in float64."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from actbench.bench.agreement import difference
from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.kernels.base import Function
from actbench.peers import peers
from actbench.peers.base import PASSES, DifferentFunctionError, Peer, Request

SIZES = 1, 3000  # a single element or row, and three rows of a row-wise function
# Both sides are float64 and err by a few units; sums of 3000 elements by a few more.
CLOSE = 1e-12
COARSE = {
    ("torch", "hardsigmoid", "backward"): 1e-7,  # its 1/6 is a float32
    ("onnxruntime", "gelu_tanh", "forward"): 1e-8,  # the constants of its Gelu are float32
    # TensorFlow holds these functions' constants in float32.
    **{
        (peer, name, pass_): 1e-8
        for peer in ("tensorflow", "tf.function")
        for name in ("gelu", "gelu_tanh", "leaky_relu", "rrelu")
        for pass_ in PASSES
    },
}
ALL = "*"
# What a library has not, or not as ours, in float64; every other call it has, and is compared.
LACKS = {
    "torch": {"forward": "", "backward": "step ctc"},
    "jax": {"forward": "ctc", "backward": "ctc"},
    "onnxruntime": {
        "forward": "mish gelu hardswish step leaky_relu prelu rrelu elu celu selu maxout softplus logsigmoid softsign "
        "hardsigmoid bce bce_with_logits hinge mse half_squared_error quadratic_cost mae mape huber quantile ctc "
        "ctc_with_logits",
        "backward": ALL,
    },
    "tensorflow": {"forward": "ctc ctc_with_logits", "backward": "step ctc ctc_with_logits"},
    "tf.function": {"forward": "ctc ctc_with_logits", "backward": "step ctc ctc_with_logits"},
    "numpy": {"forward": "gelu ctc ctc_with_logits", "backward": ALL},
    "scipy": {
        "forward": "mish gelu_tanh hardswish identity step relu leaky_relu prelu rrelu elu celu selu hardtanh relu6 "
        "maxout tanh softsign hardsigmoid hinge mse half_squared_error quadratic_cost mae mape quantile ctc "
        "ctc_with_logits",
        "backward": ALL,
    },
    "numexpr": {
        "forward": "gelu softmax log_softmax maxout cross_entropy mape huber ctc ctc_with_logits",
        "backward": ALL,
    },
}
COMPILED = ("torch.compile",)  # takes 3 s for each: a function of every kind is enough
SAMPLE = ("tanh", "elu", "softmax", "huber", "cross_entropy")


def compared(peer: Peer, f: Function, size: int) -> list[str]:
    """The passes and kinds of call that the peer has, each found to be ours."""
    found = []
    assert peer.set_threads(1) == 1
    for pass_ in PASSES:
        arrays = f.workload(pass_, "float64", size).arrays
        request = Request(f.name, pass_, f.declaration.defaults, arrays)
        ours = np.asarray((f if pass_ == "forward" else f.backward)(*request.operands))
        for out in (False, True):
            try:
                prepared = peer.prepare(Request(f.name, pass_, f.declaration.defaults, arrays, out))
            except DifferentFunctionError:
                continue
            if prepared is None:
                continue
            assert prepared.allocates is not out
            prepared.call()
            theirs = np.asarray(prepared.result())
            assert theirs.dtype == np.float64
            bound = COARSE.get((peer.name, f.name, pass_), CLOSE)
            assert difference(theirs, ours) <= bound, f"{peer.name} {pass_}{' out=' * out}"
            found.append(pass_ + " out=" * out)
    return found


@pytest.mark.parametrize("name", [name for name in peers() if name not in COMPILED])
def test_a_peers_function_is_ours(name: str, declaration: Declaration) -> None:
    peer = peers()[name]
    if not peer.available():
        pytest.skip(peer.missing())
    for size in SIZES:
        calls = compared(peer, bind(declaration), size)
    for pass_ in PASSES:
        lacks = LACKS[name][pass_]
        has = lacks != ALL and declaration.name not in lacks.split()
        assert any(call.startswith(pass_) for call in calls) == has, f"{name} {pass_}"


@pytest.mark.parametrize("function", ["silu", "cross_entropy", "ctc_with_logits"])
@pytest.mark.parametrize("name", [name for name in peers() if name not in COMPILED])
def test_float32_stays_float32(name: str, function: str) -> None:
    from actbench import get

    peer, f = peers()[name], get(function)
    if not peer.available():
        pytest.skip(peer.missing())
    peer.set_threads(1)
    for pass_, out in product(PASSES, (False, True)):
        request = Request(function, pass_, f.declaration.defaults, f.workload(pass_, "float32", 3000).arrays)
        prepared = peer.prepare(replace(request, out=out))
        if prepared is None:
            continue
        theirs = prepared.result()
        assert theirs.dtype == np.float32
        ours = (f if pass_ == "forward" else f.backward)(*request.operands)
        # Sums of logarithms in float32 over the 93 steps of a sequence err by some hundred units.
        assert difference(theirs, np.asarray(ours)) <= 1e-4


@pytest.mark.filterwarnings("ignore")  # the compiler of torch 2.13 uses what its own parts deprecate
@pytest.mark.parametrize("name", SAMPLE)
def test_a_compiled_function_is_ours(name: str) -> None:
    peer = peers()["torch.compile"]
    if not peer.available():
        pytest.skip(peer.missing())
    if not shutil.which("g++"):
        pytest.skip("torch compiles for the CPU with g++, which is not installed")
    from actbench import get

    assert compared(peer, get(name), SIZES[-1]) == list(PASSES)
