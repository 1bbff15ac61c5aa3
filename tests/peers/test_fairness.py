"""Each library is called as one would who knows it well, and where its call does more than ours, that is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from actbench import get
from actbench.bench.agreement import difference
from actbench.bench.contenders import enter
from actbench.bench.plan import Cell
from actbench.bench.session import no_watch
from actbench.kernels import function
from actbench.peers import peers
from actbench.peers.base import Peer, Prepared, Request


def installed(name: str) -> Peer:
    peer = peers()[name]
    if not peer.available():
        pytest.skip(peer.missing())
    peer.set_threads(1)
    return peer


def prepared(
    peer: Peer, name: str, pass_: str = "forward", out: bool = False, **params: Any
) -> tuple[Request, Prepared | None]:
    f = get(name)
    arrays = f.workload(pass_, "float32", 3000).arrays
    request = Request(name, pass_, {**f.declaration.defaults, **params}, arrays, out)
    return request, peer.prepare(request)


def refuse(*given: object, **more: object) -> None:
    raise AssertionError("what belongs before the call is done in it")


def numpys(name: str, x: Any, **params: float) -> Prepared:
    request = Request(name, "forward", {**get(name).declaration.defaults, **params}, {"x": x})
    call = peers()["numpy"].prepare(request)
    assert call is not None
    return call


class Recorded(np.ndarray[Any, Any]):
    """An array that notes which of NumPy's operations it takes part in."""

    operations: ClassVar[set[str]] = set()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        self.operations.add(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")
        plain = (np.asarray(i) if isinstance(i, Recorded) else i for i in inputs)
        return np.asarray(getattr(ufunc, method)(*plain, **kwargs)).view(Recorded)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self.operations.add(func.__name__)
        return super().__array_function__(func, types, args, kwargs)


@pytest.mark.parametrize(
    ("name", "slow", "naive"),
    [
        ("gelu_tanh", "power", lambda x: x**3),
        ("leaky_relu", "where", lambda x: np.where(x > 0, x, 0.01 * x)),
        ("prelu", "where", lambda x: np.where(x > 0, x, 0.25 * x)),
        ("rrelu", "where", lambda x: np.where(x > 0, x, 0.25 * x)),
        ("maxout", "maximum.reduce", lambda x: x.reshape(-1, 2).max(-1)),
    ],
)
def test_numpy_is_not_slowed_by_the_wrong_operation(
    name: str, slow: str, naive: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What those operations cost stands beside the calls that do without them: 20 to 230 times as much."""
    x = np.random.default_rng(1).standard_normal(64).view(Recorded)
    for call, has in ((lambda: naive(x), True), (numpys(name, x).call, False)):
        monkeypatch.setattr(Recorded, "operations", set())
        call()
        assert Recorded.operations
        assert (slow in Recorded.operations) is has


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *(("leaky_relu", {"negative_slope": slope}) for slope in (-0.5, 0.0, 0.3, 1.0, 2.0)),
        *(("maxout", {"k": k}) for k in (1, 2, 3, 5)),
    ],
)
def test_numpy_has_every_slope_and_group(name: str, params: dict[str, float]) -> None:
    x = np.random.default_rng(1).standard_normal((4, 30))
    assert difference(numpys(name, x, **params).result(), get(name)(x, **params)) <= 1e-15


@pytest.mark.parametrize(
    ("pass_", "names"),
    [
        ("forward", ("step", "swish", "maxout")),
        (
            "backward",
            (
                *("identity", "sigmoid", "tanh", "logsigmoid", "hardswish", "swish"),
                *("softmax", "log_softmax", "mse", "bce", "huber"),
            ),
        ),
    ],
)
def test_torch_writes_to_a_given_buffer_where_it_can(pass_: str, names: tuple[str, ...]) -> None:
    torch = installed("torch")
    for name in names:
        request, call = prepared(torch, name, pass_, out=True)
        assert call is not None, name
        places = {call.call().data_ptr() for _ in range(3)}  # type: ignore[attr-defined]
        assert len(places) == 1, name
        ours = (get(name) if pass_ == "forward" else get(name).backward)(*request.operands)
        assert difference(call.result(), np.asarray(ours)) <= 1e-6, name


@pytest.mark.parametrize(
    ("name", "pass_"),
    [("prelu", "forward"), ("prelu", "backward"), ("step", "forward"), ("mse", "backward")],
)
def test_torch_makes_no_constants_while_it_is_timed(
    name: str, pass_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torch = installed("torch")
    _, call = prepared(import_torch, name, pass_)
    assert call is not None
    import torch

    for place, made in ((torch.Tensor, "new_full"), (torch.Tensor, "to"), (torch, "full"), (torch, "ones")):
        monkeypatch.setattr(place, made, refuse)
    call.call()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *(
            (name, "forward pass again")
            for name in ("sigmoid", "tanh", "softmax", "log_softmax", "logsigmoid")
        ),
        *((name, "forward pass again") for name in ("softsign", "maxout")),
        *((name, "computes the loss too") for name in ("mae", "hinge", "cross_entropy")),
        ("prelu", "the weight's gradient"),
    ],
)
def test_what_torchs_backward_does_beyond_ours_is_told_of_that_pass_alone(name: str, told: str) -> None:
    torch = installed("torch")
    for pass_ in ("forward", "backward"):
        _, call = prepared(torch, name, pass_)
        assert call is not None
        assert (told in call.note) is (pass_ == "backward")


@pytest.mark.filterwarnings("ignore")  # the compiler of torch 2.13 uses what its own parts deprecate
def test_a_compiled_identity_copies_in_both_passes() -> None:
    peer = installed("torch.compile")
    for pass_ in ("forward", "backward"):
        request, call = prepared(peer, "identity", pass_)
        assert call is not None
        assert not any(np.shares_memory(call.result(), operand) for operand in request.operands)


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("8", 2), ("", 2), ("no", 2)])
def test_torch_has_no_more_threads_than_openmp_may_start(
    limit: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = installed("torch")
    monkeypatch.setenv("OMP_THREAD_LIMIT", limit)
    assert torch.set_threads(2) == count
    torch.set_threads(1)


def test_numexpr_does_not_look_its_expression_up_in_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = installed("numexpr")
    import numexpr

    x = np.random.default_rng(1).standard_normal(64, np.float32)
    call = peer.prepare(Request("relu", "forward", {}, {"x": x}))
    assert call is not None
    for place, names in (
        (numexpr, ("evaluate", "re_evaluate", "validate", "NumExpr")),
        (numexpr.necompiler, ("validate", "NumExpr", "getExprNames", "getArguments")),
    ):
        for name in names:
            monkeypatch.setattr(place, name, refuse)
    assert np.array_equal(call.result(), np.maximum(x, 0))


@pytest.mark.parametrize(("name", "timed"), [("mse", False), ("relu", True)])
def test_numexprs_sums_are_not_ranked_among_two_threads(name: str, timed: bool) -> None:
    f = function(name)
    cell = Cell(name, "forward", "float32", 3000, threads=2)
    workload = f.workload("forward", "float32", 3000, threads=2)
    found = enter(f, cell, [workload], [installed("numexpr")], {}, no_watch)
    theirs = [e for e in found if e.contender.provider == "numexpr"]
    assert theirs
    assert all((e.arm is not None) is timed for e in theirs)
    assert timed or {e.contender.note for e in theirs} == {"uses 1 thread"}
