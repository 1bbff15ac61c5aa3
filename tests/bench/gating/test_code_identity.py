"""What tells one version's code from another's, and what does not."""

from __future__ import annotations

import sys
import types

import pytest

from actbench.bench.gating import arm

MODULE = """\
; ModuleID = 'one'
source_filename = "one.py"
@text = internal constant [3 x i8] c"ab\\00"
@env = internal constant [9 x i8] c"missing Environment: {unique}\\00"
define float @"kernel{unique}"(float %x) #0 {{
  %y = call float @{called}(float %x, float {constant})
  ret float %y
}}
declare float @{called}(float, float) #1
attributes #0 = {{ "target-cpu"="{cpu}" }}
"""


def module(unique="1", called="llvm.maximum.f32", constant="0.0", cpu="znver3"):
    return arm._normal(MODULE.format(unique=unique, called=called, constant=constant, cpu=cpu))


def test_names_that_numba_gives_tell_nothing():
    assert module(unique="1") == module(unique="B15v90319956818711")


@pytest.mark.parametrize(
    "change", [{"called": "llvm.maxnum.f32"}, {"called": "expf"}, {"constant": "1.0"}, {"cpu": "x86-64"}]
)
def test_what_a_kernel_calls_and_holds_tells(change):
    assert module() != module(**change)


def code_of(source: str) -> str:
    space: dict[str, object] = {}
    exec(source, space)
    return arm._python(space["f"].__code__)


BODY = "def f(x):\n    'What it does.'\n    return x in {'a', 'b'} or (lambda: 3)() + x\n"


def test_where_code_stands_and_what_documents_it_tell_nothing():
    assert code_of(BODY) == code_of("\n\n# a comment\n" + BODY.replace("What it does", "What else it does"))


@pytest.mark.parametrize(("old", "new"), [("3", "4"), ("'b'", "'c'"), ("+ x", "- x"), ("(x)", "(x, y=1)")])
def test_what_code_does_tells(old, new):
    assert code_of(BODY) != code_of(BODY.replace(old, new))


def seen(f, *args):
    """What is noted of a call."""
    told = []

    def note(frame, event, what):
        if event == "call" and frame.f_code is f.__code__:
            told.append(arm._values(frame))

    sys.setprofile(note)
    try:
        f(*args)
    finally:
        sys.setprofile(None)
    return told[0]


def test_values_that_code_finds_are_part_of_it():
    pool = types.ModuleType("pool")

    def space(grain, limit, default):
        pool.GRAIN = grain
        found = {"pool": pool, "LIMIT": limit, "unused": object()}
        exec(f"def f(x, n={default}):\n    return x + pool.GRAIN + LIMIT[0] + n\n", found)
        return seen(found["f"], 1)

    assert space(4, (1, 2.5), 7) == space(4, (1, 2.5), 7)
    assert len({space(4, (1, 2), 7), space(5, (1, 2), 7), space(4, (1, 3), 7), space(4, (1, 2), 8)}) == 4


@pytest.mark.parametrize(
    "where", ["attribute", "class attribute", "slot", "container", "attribute of an attribute"]
)
def test_what_objects_hold_is_part_of_the_code_that_reads_it(where):
    def told(number):
        class Plain:
            spin = number if where == "class attribute" else 0

        class Slotted:
            __slots__ = ("other", "spin")

        held = Slotted() if where == "slot" else Plain()
        if where in ("attribute", "slot"):
            held.spin = number
        if where == "attribute of an attribute":
            held.inner = Plain()
            held.inner.spin = number
        table = {"n": [number if where == "container" else 0]}

        space = {"TABLE": table}
        exec("def f(x):\n    return x.spin, hasattr(x, 'inner') and x.inner.spin, TABLE['n']\n", space)
        return seen(space["f"], held)

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_an_address_is_no_value():
    assert arm._plain(4096)
    assert arm._plain(("a", None, 2.5))
    assert not arm._plain(0x7F00_0000_0000)
    assert not arm._plain(("a", 0x7F00_0000_0000))
    assert arm._plain({"a": [1, {2.5}]})
    assert not arm._plain([object()])
    assert not arm._plain({"a": 0x7F00_0000_0000})


def test_a_call_of_nothing_compiled_is_not_known():
    """Else a compiled function that is reached in another way would count as unchanged."""
    assert arm._code_of(lambda: sum(range(3)), arm.Compiled()) == []


def test_compiled_functions_are_known_also_where_they_are_made_later():
    from numba import njit

    @njit
    def first(x):
        return x + 1.0

    @njit
    def second(x):
        return x * 3.0

    def entry(dispatcher):
        dispatcher(1.0)
        (made,) = dispatcher.overloads.values()
        return made.entry_point

    compiled, one = arm.Compiled(), entry(first)
    before = arm._code_of(lambda: one(1.0), compiled)
    assert "fadd" in before[-1]
    other = entry(second)
    both = arm._code_of(lambda: (one(1.0), other(1.0)), compiled)
    assert ["fadd" in both[-2], "fmul" in both[-1]] == [True, True]
    assert both[-2] == before[-1]


def test_what_python_code_finds_on_the_way_to_compiled_code_tells():
    from numba import njit

    @njit
    def kernel(x):
        return x + 1.0

    kernel(1.0)
    (made,) = kernel.overloads.values()
    compiled = arm.Compiled()

    def with_grain(grain):
        space = {"GRAIN": grain, "entry": made.entry_point}
        exec("def f(x):\n    return entry(x) + GRAIN\n", space)
        return arm._code_of(lambda: space["f"](1.0), compiled)

    assert with_grain(4) == with_grain(4)
    assert with_grain(4) != with_grain(5)
