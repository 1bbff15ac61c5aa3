"""What a gate measures of two sides, and what it holds against the machine."""

from __future__ import annotations

import pytest

from actbench.bench.config import Config
from actbench.bench.gating.gate import Key
from actbench.bench.gating.job import Known, _plan, _stolen, _stopped
from actbench.bench.watch import Interval, Moment
from actbench.catalog.errors import UsageError

CONFIG = Config(**{"pass": "forward,backward", "dtype": "float32", "size": "4Ki"})


def known(*names, passes=("forward", "derivative", "backward")):
    return {name: Known(name, "all", passes) for name in names}


def test_only_what_both_sides_have_is_measured():
    keys, alone = _plan(known("relu", "old"), known("relu", "new"), CONFIG, (), ())
    assert [str(key) for key in keys] == [f"relu/{p}/float32/4096/1t/warm" for p in ("forward", "backward")]
    assert {(j.outcome, j.cell.function, j.reason) for j in alone} == {
        ("added", "new", "only head has it"),
        ("removed", "old", "only base has it"),
    }


def test_a_pass_of_one_side_alone():
    keys, alone = _plan(known("relu", passes=("forward",)), known("relu"), CONFIG, (), ())
    assert [key.cell.pass_ for key in keys] == ["forward"]
    assert [(j.outcome, j.cell.pass_) for j in alone] == [("added", "backward")]


def test_peers_are_compared_where_they_can_be():
    config = CONFIG.model_copy(update={"passes": ("forward", "derivative")})
    keys, _ = _plan(known("relu"), known("relu"), config, (), ("torch", "jax"))
    assert [(key.peer, key.cell.pass_) for key in keys] == [("torch", "forward"), ("jax", "forward")]
    assert all(isinstance(key, Key) for key in keys)
    with pytest.raises(UsageError, match="no cell is left: derivative of relu"):
        _plan(
            known("relu"), known("relu"), config.model_copy(update={"passes": ("derivative",)}), (), ("jax",)
        )


def test_what_cannot_be_asked():
    with pytest.raises(UsageError, match="neither side has a function 'relu7'"):
        _plan(known("relu"), known("relu"), CONFIG, ("relu7",), ())
    with pytest.raises(UsageError, match="a gate measures warm caches alone"):
        _plan(known("relu"), known("relu"), CONFIG.model_copy(update={"caches": ("cold",)}), (), ())


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
