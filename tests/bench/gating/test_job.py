"""What a gate measures of two sides, and what it holds against the machine."""

from __future__ import annotations

import pytest

from actbench.bench.config import Config
from actbench.bench.gating.gate import Key
from actbench.bench.gating.job import Known, _picked, _plan, _stolen, _stopped
from actbench.bench.watch import Interval, Moment
from actbench.catalog.errors import UnknownFunction, UsageError

CONFIG = Config(**{"pass": "forward,backward", "dtype": "float32", "size": "4Ki"})


def known(*names, passes=("forward", "derivative", "backward")):
    return {name: Known(name, "all", passes) for name in names}


def test_only_what_both_sides_have_is_measured():
    keys, alone = _plan(known("relu", "old"), known("relu", "new"), CONFIG, ("relu", "new", "old"), ())
    assert [str(key) for key in keys] == [f"relu/{p}/float32/4096/1t/warm" for p in ("forward", "backward")]
    assert {(j.outcome, j.cell.function, j.reason) for j in alone} == {
        ("added", "new", "only head has it"),
        ("removed", "old", "only base has it"),
    }


@pytest.mark.parametrize(
    ("patterns", "every", "expected"),
    [
        ([], False, ["mine", "gone"]),  # what the files declare, on either side
        ([], True, ["relu", "mine", "elu", "gone"]),
        (["gone", "relu"], False, ["gone", "relu"]),
        (["*elu"], False, ["relu", "elu"]),
        (["@smooth", "elu"], False, ["elu", "gone"]),
        (["rectifier_alias"], False, ["relu"]),
    ],
)
def test_names_are_those_of_either_side(patterns, every, expected):
    relu = Known("relu", "rectifier", ("forward",), ("rectifier_alias",))
    head = {"relu": relu, "mine": Known("mine", "own", ("forward",), declared=True)}
    base = {
        "relu": relu,
        "elu": Known("elu", "smooth", ("forward",)),
        "gone": Known("gone", "smooth", ("forward",), declared=True),
    }
    assert _picked(head, base, patterns, every) == expected


def test_a_changed_signature_is_named_and_not_measured():
    was, is_now = "activation relu(x, k=1.0)", "activation relu(x, k=2.0)"
    base, head = ({"relu": Known("relu", "all", ("forward",), signature=s)} for s in (was, is_now))
    keys, (alone,) = _plan(base, head, CONFIG, ("relu",), ())
    assert not keys
    assert (alone.outcome, alone.reason) == (
        "inconclusive",
        f"its signature changed: {was} is now {is_now}",
    )


def test_a_pass_of_one_side_alone():
    keys, alone = _plan(known("relu", passes=("forward",)), known("relu"), CONFIG, ("relu",), ())
    assert [key.cell.pass_ for key in keys] == ["forward"]
    assert [(j.outcome, j.cell.pass_) for j in alone] == [("added", "backward")]


def test_peers_are_compared_where_they_can_be():
    config = CONFIG.model_copy(update={"passes": ("forward", "derivative")})
    keys, _ = _plan(known("relu"), known("relu"), config, ("relu",), ("torch", "jax"))
    assert [(key.peer, key.cell.pass_) for key in keys] == [("torch", "forward"), ("jax", "forward")]
    assert all(isinstance(key, Key) for key in keys)
    with pytest.raises(UsageError, match="no cell is left: derivative of relu"):
        _plan(
            known("relu"),
            known("relu"),
            config.model_copy(update={"passes": ("derivative",)}),
            ("relu",),
            ("jax",),
        )


def test_what_cannot_be_asked():
    with pytest.raises(UnknownFunction, match="neither side has a function 'relu7': did you mean 'relu'"):
        _picked(known("relu"), known("relu"), ["relu7"], every=False)
    with pytest.raises(UsageError, match="a gate measures warm caches alone"):
        _plan(known("relu"), known("relu"), CONFIG.model_copy(update={"caches": ("cold",)}), ("relu",), ())


def test_a_threshold_of_nothing_is_a_slip():
    families = {"relu": "rectifier"}
    for pattern in ("*", "relu", "re*", "@rectifier"):
        CONFIG.model_copy(update={"threshold": {pattern: 0.1}}).check_thresholds(families)
    for pattern in ("@rectifiers", "elu"):
        with pytest.raises(UsageError, match=f"no function of '{pattern}'; families are @rectifier"):
            CONFIG.model_copy(update={"threshold": {pattern: 0.1}}).check_thresholds(families)


def moment(steal=0, idle=1000, throttled=0, hot=0):
    return Moment(0, 0, {0: (0, 0, 0, idle, 0, 0, 0, steal)}, 0, throttled, {"core": hot}, 0)


def test_stolen_time_is_held_against_all():
    assert _stolen(Interval(moment(), moment(steal=10, idle=2000), (0,))) == ""
    found = _stolen(Interval(moment(), moment(steal=50, idle=1950), (0,)))
    assert found == "the hypervisor gave 5.0 % of the CPUs' time to others"


def test_a_quota_and_heat_are_held_against_a_sample():
    assert _stopped(Interval(moment(throttled=7, hot=3), moment(throttled=7, hot=3), (0,))) == ""
    assert "a CPU quota stopped" in _stopped(Interval(moment(), moment(throttled=1), (0,)))
    assert "throttled for heat" in _stopped(Interval(moment(), moment(hot=1), (0,)))
