"""The order of things in a gate: scripted process pairs, no process and no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from random import Random

import numpy as np
import pytest

from actbench.bench.gating.decision import Rule
from actbench.bench.gating.gate import Gate, Key, Options
from actbench.bench.gating.pairing import (
    AbsentError,
    ClockError,
    Injection,
    Loaded,
    NoValuesError,
    Pair,
)
from actbench.bench.gating.process import LostSideError, RefusedError, SideError
from actbench.bench.plan import Cell

NAMES = ("relu", "silu", "tanh", "mse")
KEYS = tuple(Key(Cell(name, "forward", "float32", 1000)) for name in NAMES)
OF = dict(zip(NAMES, KEYS, strict=True))


@dataclass
class Script:
    """What the processes of a cell do."""

    shift: float = 0.0
    noise: float = 0.005
    same_code: bool = False
    difference: float = 0.0
    raises: list[Exception] = field(default_factory=list)  # at one load each, and then no more
    slow: list[float] = field(default_factory=list)  # by how much more one pair's head is slower each


class ScriptedPair(Pair):
    def __init__(self, scripts, random, log_of_pairs):
        self._scripts, self._random, self._log = scripts, random, log_of_pairs
        self._bias = {name: random.gauss(0, 0.005) for name in scripts}
        self.closed = False
        log_of_pairs.append([])

    def compile(self, function, pass_, dtype): ...

    def close(self):
        self.closed = True

    def load(self, cell, peer, slice_ns, injection, *, compare):
        assert not self.closed
        script = self._scripts[cell.function]
        if script.raises:
            raise script.raises.pop(0)
        self._log[-1].append(cell.function)
        self._cell = cell
        return Loaded((10, 10), script.same_code and compare, script.difference if compare else 0.0)

    def rounds(self, loaded, count):
        script, name = self._scripts[self._cell.function], self._cell.function
        shift = script.shift + self._bias[name] + (script.slow.pop(0) if script.slow else 0.0)
        return [shift + self._random.gauss(0, script.noise) for _ in range(count)]


class ScriptedGate(Gate):
    def __init__(self, options=None, seed=1, **scripts):
        super().__init__(None, None, options or Options(seed=seed), timer=lambda: 0)
        self.scripts = {name: Script() for name in NAMES} | scripts
        self.log: list[list[str]] = []

    def start(self):
        self._pairs += 1
        return ScriptedPair(self.scripts, self._random, self.log)

    def outcomes(self, families=lambda key: key.cell.function):
        found = self.run(KEYS, lambda key: Rule(), families)
        return {j.cell.function if j.cell else f"@{j.family}": j for j in found.judgements}, found


def test_nothing_changed_but_the_noise():
    found, whole = ScriptedGate().outcomes()
    assert {j.outcome for j in found.values()} == {"same"}
    assert whole.drift == ""
    for j in found.values():
        assert len(j.screened) == 2
        assert all(len(rounds) == 12 for rounds in j.screened)
        assert 0.985 < j.ratio.value < 1.015
        assert 0.03 <= j.detectable < 0.05


def test_the_slow_cell_alone_is_called_slower():
    gate = ScriptedGate(silu=Script(shift=log(1.05)))
    found, whole = gate.outcomes()
    assert {name: j.outcome for name, j in found.items()} == {
        "relu": "same",
        "silu": "slower",
        "tanh": "same",
        "mse": "same",
    }
    j = found["silu"]
    assert len(j.confirmed) == 16
    assert j.ratio.value == pytest.approx(1.05, abs=0.005)
    assert j.reason == "16 of 16 pairs slower by over 1 %"
    # Fresh pairs hold nothing but the suspect: one to compile, two to screen, sixteen to confirm.
    assert gate.log[3:] == [["silu"]] * 16
    assert whole.pairs == 19


def test_a_faster_cell_is_told_and_is_no_fault():
    found, _ = ScriptedGate(tanh=Script(shift=-log(1.08))).outcomes()
    assert found["tanh"].outcome == "faster"
    assert found["tanh"].ratio.value == pytest.approx(1 / 1.08, abs=0.005)


def test_what_the_screening_missed_is_not_confirmed():
    gate = ScriptedGate(silu=Script(shift=log(1.012)))
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "same"
    assert found["silu"].confirmed == ()


def test_a_pair_that_hides_a_slowdown_is_outvoted():
    gate = ScriptedGate(silu=Script(shift=log(1.1), slow=[-0.28]))
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "slower"
    assert [len(rounds) for rounds in found["silu"].screened] == [12] * 4
    assert gate.log[3:5] == [["silu"]] * 2  # the cells whose pairs agree are not measured again
    assert all(len(found[name].screened) == 2 for name in NAMES if name != "silu")


def test_pairs_that_disagree_make_no_suspect_by_themselves():
    found, whole = ScriptedGate(silu=Script(slow=[0.2, 0.01])).outcomes()
    assert found["silu"].outcome == "same"
    assert found["silu"].confirmed == ()
    assert whole.pairs == 5


@pytest.mark.parametrize(("lost", "outcome"), [(1, "same"), (2, "inconclusive")])
def test_pairs_that_are_lost_where_the_first_disagree(lost, outcome):
    gate = ScriptedGate(silu=Script(slow=[0.2, 0.01]))
    loads, load = [], ScriptedPair.load

    class Dying(ScriptedPair):
        def load(self, cell, *given, **more):
            loads.append(cell.function)
            if loads.count("silu") in range(3, 3 + lost):
                raise LostSideError("head ended by SIGKILL")
            return load(self, cell, *given, **more)

    gate.start = lambda: Dying(gate.scripts, gate._random, gate.log)
    found, _ = gate.outcomes()
    assert found["silu"].outcome == outcome
    assert ("SIGKILL" in found["silu"].reason) is (outcome == "inconclusive")


def test_a_suspect_that_is_not_sure_gets_the_second_look():
    gate = ScriptedGate(silu=Script(shift=log(1.024), noise=0.03))
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "same"  # it is slower, surely, but by less than matters
    assert len(found["silu"].confirmed) == 32


def test_the_same_code_is_not_measured():
    gate = ScriptedGate(**{name: Script(same_code=True) for name in NAMES})
    found, whole = gate.outcomes()
    assert {j.outcome for j in found.values()} == {"unchanged"}
    assert whole.pairs == 2  # one to compile, one to see


def test_unless_it_is_asked_for():
    gate = ScriptedGate(Options(everything=True), **{name: Script(same_code=True) for name in NAMES})
    found, _ = gate.outcomes()
    assert {j.outcome for j in found.values()} == {"same"}


def test_controls_that_move_are_told():
    """Unchanged code that is slower in head's processes: whatever it is, it is not the code."""
    moved = {name: Script(shift=log(1.06), same_code=True) for name in ("relu", "tanh", "mse")}
    found, whole = ScriptedGate(silu=Script(shift=log(1.06)), **moved).outcomes()
    assert found["silu"].outcome == "slower"  # which the report does not believe
    assert found["relu"].outcome == "unchanged"
    assert whole.drift.startswith("code that is the same on both sides ran 6")
    still = {name: Script(same_code=True) for name in ("relu", "tanh", "mse")}
    _, whole = ScriptedGate(silu=Script(shift=log(1.06)), **still).outcomes()
    assert whole.drift == ""


def test_controls_are_held_against_what_made_something_slower():
    """Where 0.6 % matters, unchanged code that moved by 0.7 % explains it."""
    rule = Rule(0.006)
    quiet = {"noise": 0.0005}
    moved = {name: Script(shift=log(1.007), same_code=True, **quiet) for name in ("relu", "tanh", "mse")}
    gate = ScriptedGate(silu=Script(shift=log(1.02), **quiet), **moved)
    whole = gate.run(KEYS, lambda key: rule, lambda key: key.cell.function)
    assert "slower" in {j.outcome for j in whole.judgements}
    assert whole.drift.startswith("code that is the same on both sides ran")


def test_other_values_are_incorrect_and_not_timed():
    found, _ = ScriptedGate(mse=Script(difference=0.01)).outcomes()
    assert found["mse"].outcome == "incorrect"
    assert found["mse"].reason == "head's values differ from base's by 0.01 of the largest"
    assert found["mse"].screened == ()
    assert found["relu"].outcome == "same"


def test_another_rounding_is_not_incorrect():
    found, _ = ScriptedGate(mse=Script(difference=1e-6)).outcomes()
    assert found["mse"].outcome == "same"


def test_a_changed_signature_is_no_regression():
    refused = RefusedError("head", "TypeError: relu() got an unexpected keyword argument 'threads'")
    found, _ = ScriptedGate(relu=Script(raises=[refused])).outcomes()
    assert found["relu"].outcome == "inconclusive"
    assert found["relu"].reason == str(refused)
    assert found["silu"].outcome == "same"


def test_what_head_alone_cannot_compute_is_incorrect():
    raised = NoValuesError("head raises TypingError: no such name, where base gives values")
    gate = ScriptedGate(relu=Script(raises=[raised]))
    found, whole = gate.outcomes()
    assert (found["relu"].outcome, found["relu"].reason) == ("incorrect", str(raised))
    assert found["silu"].outcome == "same"
    assert whole.pairs == 3  # it is not tried again


@pytest.mark.parametrize(
    "error",
    [
        LostSideError("head was killed by SIGKILL"),
        ClockError("the clock stepped while base was timed"),
    ],
)
def test_what_happens_once_is_tried_again(error):
    gate = ScriptedGate(silu=Script(raises=[error]))
    found, whole = gate.outcomes()
    assert {j.outcome for j in found.values()} == {"same"}
    assert whole.pairs == 4  # a fresh one in the place of the lost one
    gate = ScriptedGate(silu=Script(raises=[error, error]))
    found, whole = gate.outcomes()
    assert found["silu"].outcome == "inconclusive"
    assert found["silu"].reason == str(error)
    assert found["tanh"].outcome == "same"


@pytest.mark.parametrize("error", [LostSideError("head was killed by SIGSEGV"), NoValuesError("head raises")])
def test_a_suspect_whose_processes_die_is_inconclusive(error):
    died = [error] * 100
    gate = ScriptedGate(silu=Script(shift=log(1.10)))
    screening = gate.start

    def start():
        if gate._pairs == 3:
            gate.scripts["silu"].raises = list(died)
        return screening()

    gate.start = start
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "inconclusive"
    assert found["silu"].reason == str(error)


def test_a_family_shows_what_none_of_its_cells_does():
    """Two per cent everywhere: too little for any cell, and yet a change."""
    shifted = {name: Script(shift=log(1.02), noise=0.002) for name in NAMES}
    found, _ = ScriptedGate(seed=3, **shifted).outcomes(lambda key: "all")
    assert {j.outcome for name, j in found.items() if name != "@all"} == {"same"}
    assert found["@all"].outcome == "slower"
    assert found["@all"].ratio.value == pytest.approx(1.02, abs=0.004)
    found, _ = ScriptedGate().outcomes(lambda key: "all")
    assert "@all" not in found
    found, _ = ScriptedGate(silu=Script(shift=log(1.15))).outcomes(lambda key: "all")
    assert found["silu"].outcome == "slower"
    assert "@all" not in found  # its mean of 4 % is silu's


def test_a_familys_threshold_is_that_of_its_cells():
    """Who minds no 10 % in a cell minds no 4 % in a family; who minds one in a cell minds half of it there."""
    shifted = {name: Script(shift=log(1.04), noise=0.002) for name in NAMES}
    gate = ScriptedGate(seed=3, **shifted)
    found = gate.run(KEYS, lambda key: Rule(0.10), lambda key: "all")
    assert {j.outcome for j in found.judgements} == {"same"}
    gate = ScriptedGate(seed=3, **shifted)
    rules = {OF["mse"]: Rule(0.06)}
    found = gate.run(KEYS, lambda key: rules.get(key, Rule(0.10)), lambda key: "all")
    assert [j.outcome for j in found.judgements if j.cell is None] == ["slower"]


def test_a_family_is_of_one_library():
    """A slow cell of one library hides no family of another."""
    shifted = {name: Script(shift=log(1.02), noise=0.002) for name in NAMES}
    keys = [*KEYS, Key(OF["relu"].cell, "torch"), Key(OF["silu"].cell, "torch")]
    gate = ScriptedGate(seed=3, **shifted)
    load = ScriptedPair.load

    def slow_torch(self, cell, peer, *more, compare):
        loaded = load(self, cell, peer, *more, compare=compare)
        self._extra = log(1.1) if peer else 0.0
        return loaded

    rounds = ScriptedPair.rounds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedPair, "load", slow_torch)
        patch.setattr(ScriptedPair, "rounds", lambda self, *a: [r + self._extra for r in rounds(self, *a)])
        found = gate.run(keys, lambda key: Rule(), lambda key: "all").judgements
    assert [(j.peer, j.outcome) for j in found if j.cell is None] == [(None, "slower")]
    assert {j.outcome for j in found if j.peer} == {"slower"}


def test_a_few_lost_pairs_are_no_matter():
    died = LostSideError("head was killed by SIGSEGV")
    gate = ScriptedGate(silu=Script(shift=log(1.10)))
    start = gate.start

    def unlucky():
        if gate._pairs in (5, 6):
            gate.scripts["silu"].raises = [died, died]
        return start()

    gate.start = unlucky
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "slower"
    assert len(found["silu"].confirmed) in (14, 15)


def test_what_no_process_can_be_started_for_is_inconclusive_and_the_rest_is_kept():
    gate = ScriptedGate(silu=Script(shift=log(1.10)))
    start = gate.start

    def full():
        if gate._pairs >= 3:
            raise SideError("no processes can be started: Cannot allocate memory")
        return start()

    gate.start = full
    found, _ = gate.outcomes()
    assert found["silu"].outcome == "inconclusive"
    assert found["silu"].reason == "no processes can be started: Cannot allocate memory"
    assert found["relu"].outcome == "same"


def test_a_sample_that_the_machine_disturbed_is_taken_again():
    told = iter(["", "", "a CPU quota stopped the processes while they were timed"])
    gate = ScriptedGate()
    gate._watch = lambda: lambda: next(told, "")
    found, whole = gate.outcomes()
    assert {j.outcome for j in found.values()} == {"same"}
    assert whole.pairs == 3  # by the same processes
    gate = ScriptedGate()
    gate._watch = lambda: lambda: "a CPU was throttled for heat while it was timed"
    found, _ = gate.outcomes()
    assert {j.outcome for j in found.values()} == {"inconclusive"}
    assert {j.reason for j in found.values()} == {"a CPU was throttled for heat while it was timed"}


def test_what_neither_sides_library_has_is_absent():
    absent = [AbsentError("on neither side: torch has no such call")] * 9
    found, _ = ScriptedGate(relu=Script(raises=absent)).outcomes()
    assert (found["relu"].outcome, found["relu"].reason) == ("absent", str(absent[0]))
    assert found["silu"].outcome == "same"


def test_a_budget_ends_a_gate_and_what_is_left_is_undecided():
    gate = ScriptedGate(Options(budget_s=10), silu=Script(shift=log(1.10)))
    now = iter([0] + [int(1e9)] * 4 + [int(11e9)] * 100)
    gate._timer = lambda: next(now)
    found, _ = gate.outcomes()
    assert found["relu"].outcome == "inconclusive"
    assert found["relu"].reason == "the time that --budget gives, 10 s, is over"


def test_a_family_of_which_too_little_was_seen_is_not_called_the_same():
    found, _ = ScriptedGate(**{name: Script(shift=log(1.015)) for name in NAMES}).outcomes(lambda key: "all")
    assert found["@all"].outcome in ("slower", "same")
    gate = ScriptedGate(Options(budget_s=10), **{name: Script(shift=log(1.015)) for name in NAMES})
    asked = iter([0] + [int(1e9)] * 16 + [int(11e9)] * 1000)
    gate._timer = lambda: next(asked)
    found, _ = gate.outcomes(lambda key: "all")
    assert found["@all"].outcome == "inconclusive"
    assert found["@all"].reason == "the time that --budget gives, 10 s, is over"


def test_controls_are_counted():
    assert ScriptedGate(silu=Script(shift=log(1.06))).outcomes()[1].controls == 0
    assert ScriptedGate().outcomes()[1].controls is None  # nothing is suspected
    same = {name: Script(same_code=True) for name in ("relu", "tanh", "mse")}
    assert ScriptedGate(silu=Script(shift=log(1.06)), **same).outcomes()[1].controls == 3


@pytest.mark.parametrize(("part", "loops"), [(0.05, 10), (0.05, 1000), (0.03, 1), (0.1, 33)])
def test_an_injected_slowdown_is_whole_calls(part, loops):
    cell = KEYS[0].cell
    base, head = Injection(part, frozenset([cell.key])).loops(cell, loops)
    assert base >= loops
    assert head / base - 1 == pytest.approx(part, rel=0.02)
    assert Injection(part, frozenset()).loops(cell, loops) == (loops, loops)


class FakeSide:
    """A process that counts its calls; every slice takes a microsecond a call."""

    def __init__(self, name, clock, ns=1000):
        self.name, self.clock, self.ns, self.told = name, clock, ns, []
        self.side = self

    def ask(self, do, **what):
        self.told.append(what["loops"])
        self.clock.now += self.ns * what["loops"]
        return {"ns": self.ns * what["loops"]}


class Clock:
    now = 0

    def __call__(self):
        return self.now


def paired(base_ns=1000, head_ns=1000):
    pair = Pair.__new__(Pair)
    clock = Clock()
    pair._random, pair._timer, order = Random(5), clock, []
    pair.base, pair.head = FakeSide("base", clock, base_ns), FakeSide("head", clock, head_ns)
    for process in (pair.base, pair.head):
        ask = process.ask
        process.ask = lambda do, ask=ask, name=process.name, **w: (order.append(name), ask(do, **w))[1]
    return pair, clock, order


def test_sides_take_turns_and_each_begins_as_often():
    pair, _, order = paired()
    found = pair.rounds(Loaded((10, 10), False, 0.0), 40)
    assert found == [0.0] * 40
    rounds = [tuple(order[i : i + 4]) for i in range(0, len(order), 4)]
    assert set(rounds) == {("base", "head", "head", "base"), ("head", "base", "base", "head")}


def test_a_round_is_heads_time_by_bases():
    pair, _, _ = paired(head_ns=1100)
    assert pair.rounds(Loaded((10, 10), False, 0.0), 3) == pytest.approx([log(1.1)] * 3)
    pair, _, _ = paired()
    assert pair.rounds(Loaded((20, 21), False, 0.0), 3) == pytest.approx([log(1.05)] * 3)


def test_a_call_that_takes_many_times_as_long_is_made_fewer_times(tmp_path):
    """Else head's slices would take as many times longer, and use the time up before there is a verdict."""

    def loops(base, head):
        known = ({"digest": {"hash": "a"}, "calibrate": {"loops": n}} for n in (base, head))
        found = loaded_from(tmp_path, *known)
        return found.loops, found.work

    assert loops(40, 10) == ((40, 40), (1, 1))
    assert loops(1000, 10) == ((1000, 10), (1000, 10))
    assert loops(10, 1000) == ((10, 1000), (10, 1000))
    pair, clock, _ = paired(head_ns=100_000)
    assert pair.rounds(Loaded((1000, 10), False, 0.0, (1000, 10)), 3) == pytest.approx([log(100)] * 3)
    assert clock.now == 3 * 4 * 1_000_000
    pair, _, _ = paired(head_ns=10**9)
    assert pair.rounds(Loaded((1000, 1), False, 0.0, (1000, 1)), 12) == pytest.approx([log(10**6)] * 3)


class Answering(FakeSide):
    """A process with answers of its own."""

    def __init__(self, name, **answers):
        super().__init__(name, Clock())
        self.answers = {"load": {}, "calibrate": {"loops": 3}, "code": {"code": "one"}, **answers}

    def ask(self, do, **what):
        if do == "values":
            np.save(what["path"], self.answers["values"])
        answer = self.answers.get(do, {})
        if isinstance(answer, Exception):
            raise answer
        return answer


def loaded_from(tmp_path, base, head, peer=None):
    pair = Pair.__new__(Pair)
    pair._random, pair._folder, pair._maker = Random(5), tmp_path, Answering("maker")
    pair.base, pair.head = Answering("base", **base), Answering("head", **head)
    pair.described = {name: {"versions": {"numba": "0.62"}} for name in ("base", "head")}
    return pair.load(KEYS[0].cell, peer, 1e4, Injection(), compare=True)


def test_other_bits_of_the_same_code_are_not_of_the_same_code(tmp_path):
    """Something that the hash of the code does not see must have changed."""
    one = {"digest": {"hash": "a"}, "values": np.array([1.0, 2.0])}
    other = {"digest": {"hash": "b"}, "values": np.array([1.0, 2.0 + 1e-7])}
    assert loaded_from(tmp_path, one, one).same_code
    found = loaded_from(tmp_path, one, other)
    assert not found.same_code
    assert found.difference == pytest.approx(5e-8, rel=0.01)
    unknown = {**one, "code": {"code": None}}
    assert not loaded_from(tmp_path, unknown, unknown).same_code


def test_what_a_library_lacks(tmp_path):
    lacking = {"load": {"missing": "torch has no such call"}}
    with pytest.raises(AbsentError, match="on neither side: torch has no such call"):
        loaded_from(tmp_path, lacking, lacking, "torch")
    with pytest.raises(RefusedError, match=r"^head: torch has no such call"):
        loaded_from(tmp_path, {"digest": {"hash": "a"}}, lacking, "torch")


def test_what_one_side_raises(tmp_path):
    """Head alone is at fault where base gives values, unless its call is made otherwise, or the machine is."""
    fine = {"digest": {"hash": "a"}}
    wrong, excused = (
        {"load": RefusedError(s, "E: no", excused=e)} for s, e in (("head", False), ("head", True))
    )
    with pytest.raises(NoValuesError, match="head raises E: no, where base gives values"):
        loaded_from(tmp_path, fine, wrong)
    refused = [(fine, excused), (wrong, fine), (wrong, wrong)]
    for base, head in refused:
        with pytest.raises(RefusedError, match="head: E: no"):
            loaded_from(tmp_path, base, head)
    with pytest.raises(RefusedError, match="head: E: no"):
        loaded_from(tmp_path, fine, wrong, "torch")


@pytest.mark.parametrize("ns", [0, -5, 10**12])
def test_a_clock_that_steps_is_named(ns):
    pair, clock, _ = paired()

    def ask(do, **what):
        clock.now += 100
        return {"ns": ns}

    pair.head.ask = ask
    with pytest.raises(ClockError, match="the clock stepped while head was timed"):
        pair.rounds(Loaded((10, 10), False, 0.0), 1)
