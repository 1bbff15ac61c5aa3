"""Compiled kernels on disk: found again, never stale, never confused, safe when two processes start cold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.kernels.arrays import dtype_named
from actbench.kernels.vecmath import float32

SOURCE = '''
import actbench

def helper(x):
    return {factor} * x

@actbench.activation(formula="{factor}*x", derivative=lambda x: {factor}, name="{name}")
def f(x):
    """A line."""
    return helper(x)
'''
PROBE = """
import sys, json, numpy as np
from actbench.catalog.registry import load_file
from actbench.kernels import bind
d, = load_file(sys.argv[1])
f = bind(d)
c = [f.compile(p, t) for p in f.passes for t in ("float64", "float32")]
print(json.dumps([all(k.cached for k in c), f(2.0), f.derivative(2.0), float(f(np.float32(2))), d.name]))
"""


def _probe(path: Path, cache: Path, **env: str) -> subprocess.Popen[str]:
    # Python's own bytecode on disk is left on, as users have it.
    environment = os.environ | {"ACTBENCH_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": ""} | env
    return subprocess.Popen(
        [sys.executable, "-c", PROBE, str(path)], env=environment, text=True, stdout=subprocess.PIPE
    )


def _answer(process: subprocess.Popen[str]) -> list[object]:
    import json

    out, _ = process.communicate()
    assert process.returncode == 0
    return list(json.loads(out))


def test_a_second_process_finds_the_kernels(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(factor="3.0", name="triple"))
    cold = _answer(_probe(file, tmp_path / "cache"))
    warm = _answer(_probe(file, tmp_path / "cache"))
    assert cold == [False, 6, 3, 6, "triple"]
    assert warm == [True, 6, 3, 6, "triple"]


def test_a_changed_scalar_is_compiled_anew(tmp_path):
    """Also where only a function that the body calls has changed, within the same second, at the same length."""
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(factor="3.0", name="triple"))
    stamp = file.stat()
    _answer(_probe(file, tmp_path / "cache"))
    file.write_text(SOURCE.format(factor="5.0", name="triple"))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert _answer(_probe(file, tmp_path / "cache")) == [
        False,
        10,
        5,
        10,
        "triple",
    ]


def test_two_cold_processes_at_once_are_both_right(tmp_path):
    files = []
    for name, factor in (("three", "3.0"), ("five", "5.0")):
        files.append(tmp_path / f"{name}.py")
        files[-1].write_text(SOURCE.format(factor=factor, name=name))
    running = [_probe(file, tmp_path / "cache") for file in files * 2]
    answers = [_answer(process)[1:] for process in running]
    assert answers == [[6, 3, 6, "three"], [10, 5, 10, "five"]] * 2
    again = [_answer(_probe(file, tmp_path / "cache")) for file in files]
    assert again == [[True, 6, 3, 6, "three"], [True, 10, 5, 10, "five"]]


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b[:-1] + b"x"])
def test_a_damaged_entry_is_compiled_anew(tmp_path, damage):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(factor="3.0", name="triple"))
    _answer(_probe(file, tmp_path / "cache"))
    for entry in (tmp_path / "cache").glob("*.kernel"):
        entry.write_bytes(damage(entry.read_bytes()))
    assert _answer(_probe(file, tmp_path / "cache")) == [False, 6, 3, 6, "triple"]
    assert _answer(_probe(file, tmp_path / "cache"))[0] is True


def test_an_unwritable_cache_costs_time_only(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(factor="3.0", name="triple"))
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert _answer(_probe(file, tmp_path / "cache")) == [False, 6, 3, 6, "triple"]


def test_another_processor_has_other_kernels(tmp_path):
    """A cache shared by machines: code for AVX-512 must not be loaded where there is none."""
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(factor="3.0", name="triple"))
    _answer(_probe(file, tmp_path / "cache"))
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert _answer(_probe(file, tmp_path / "cache", **generic)) == [False, 6, 3, 6, "triple"]


def test_float32_kernels_compute_in_float32(elementwise: Declaration, tmp_path, monkeypatch):
    """A literal that stayed float64 would halve the speed: no double in a float32 kernel."""
    monkeypatch.setenv("ACTBENCH_CACHE_DIR", str(tmp_path))
    f = type(bind(elementwise))(elementwise)
    for pass_ in f.passes:
        body = f._pass(pass_)[1]
        named = {body.__name__, *body.__code__.co_names}
        if named & set(float32.WIDE):
            continue  # these work in float64
        kernel = f._pass_kernel(pass_, dtype_named("float32")).kernel(False)
        (text,) = kernel.dispatcher.inspect_llvm().values()
        body = text[text.index("define") :]
        loops = [line for line in body.splitlines() if re.search(r"\b(fmul|fadd|fsub|fdiv|fcmp)\b", line)]
        assert not [line for line in loops if "double" in line]


def test_numba_settings_of_the_user_are_left_alone():
    code = (
        "import numba, os; before = (dict(vars(numba.config)), dict(os.environ));"
        "import actbench; actbench.get('relu')([1.0]);"
        "assert before == (dict(vars(numba.config)), dict(os.environ))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_calls_from_many_threads_compile_once_and_agree():
    from concurrent.futures import ThreadPoolExecutor

    from actbench.catalog.registry import find

    f = type(bind(find("mish")))(find("mish"))
    x = np.linspace(-5, 5, 100_000)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: f(x, threads=1 + i % 3), range(32)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_kernels_compiled_in_two_processes_do_not_answer_for_one_another_in_a_third(tmp_path: Path) -> None:
    """One template, one signature: their symbols differ by a number that Numba restarts in every process."""

    def answer(*pairs: tuple[str, str]) -> list[str]:
        calls = (f"print(get({n!r}).backward(np.ones(1), np.array([0.5]), wrt={w!r}))" for n, w in pairs)
        code = "\n".join(["import numpy as np", "from actbench import get", *calls])
        env = {**os.environ, "ACTBENCH_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    swish, elu = ("swish", "beta"), ("elu", "alpha")
    apart = answer(swish) + answer(elu)
    assert apart[0] != apart[1]
    assert answer(swish, elu) == apart
    assert answer(elu, swish) == apart[::-1]
