"""Sides in real processes: what they answer, and what becomes of those that die. Nothing here is judged by time."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import actbench
from actbench.bench.gating.pairing import Injection, NoValuesError, Pair, differs
from actbench.bench.gating.process import LostSideError, Process, RefusedError, SideError, describe, started
from actbench.bench.gating.side import Side
from actbench.bench.plan import Cell
from actbench.bench.system import usable_cpus

PACKAGE = Path(actbench.__file__).parent
CACHE = Path(os.environ["ACTBENCH_CACHE_DIR"])
CPUS = sorted(usable_cpus())[-1:]
NOTHING = Injection()

MINE = """
    import math
    from decimal import Decimal
    import actbench

    @actbench.activation(formula="exp(-x*x)", derivative=lambda x: -2 * x * math.exp(-x * x))
    def mine(x):
        return {body}
"""


def side(name: str, *, paths: tuple[str, ...] = (), files: tuple[str, ...] = (), cache: Path = CACHE) -> Side:
    return Side(name, name, sys.executable, paths or (str(PACKAGE.parent),), files, cache)


@contextmanager
def pair(base: Side | None = None, head: Side | None = None, cpus: list[int] = CPUS) -> Iterator[Pair]:
    with started(side("head"), cpus, Random(0), 120) as maker:
        sides = base or side("base"), head or side("head")
        with Pair(*sides, maker, cpus, Random(1), 120, time.perf_counter_ns) as found:
            yield found


def load(pair: Pair, cell: Cell):
    return pair.load(cell, None, 1e4, NOTHING, compare=True)


@pytest.fixture(scope="module")
def same():
    with pair() as found:
        yield found


def test_both_sides_tell_what_they_are(same):
    base, head = (describe([side(name)], CPUS, 120)[name] for name in ("base", "head"))
    assert base == head
    assert set(base["versions"]) >= {"python", "numba", "llvmlite", "numpy"}
    assert base["functions"]["silu"] == {
        "family": "gated",
        "passes": ["forward", "derivative", "backward"],
        "aliases": [],
        "declared": False,
        "signature": "activation silu(x)",
        "origin": actbench.get("silu").declaration.origin,
    }
    assert {name for name in base["functions"] if name != "mine"} == {f.name for f in actbench.functions()}


def test_one_version_has_the_same_values_and_code(declaration, same):
    for pass_ in actbench.get(declaration.name).passes:
        loaded = load(same, Cell(declaration.name, pass_, "float32", 300))
        assert (loaded.difference, loaded.same_code) == (0, True), pass_


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_every_dtype_gets_to_both_sides(dtype, same):
    loaded = load(same, Cell("gelu", "backward", dtype, 300))
    assert (loaded.difference, loaded.same_code) == (0, True)


def test_data_are_fresh_and_of_the_size(same):
    asked = {"function": "mse", "pass": "forward", "dtype": "float32", "size": 300, "threads": 1}
    hashes = []
    for seed in (1, 2, 2):
        made = same.head.ask("make", cell=asked, seed=seed, folder=str(same._folder), offset=100)
        assert [file["shape"] for file in made["operands"]] == [[300], [300]]
        assert made["out"] == []  # a mean is a number
        assert [file["offset"] for file in made["operands"]] == [64, 64]  # whole cache lines
        same.base.ask("load", cell=asked, peer=None, made=made)
        hashes.append(same.base.ask("digest")["hash"])
        same.base.ask("drop")
    assert hashes[0] != hashes[1] == hashes[2]


def test_both_sides_have_the_arrays_on_the_same_pages(same):
    asked = {"function": "relu", "pass": "forward", "dtype": "float32", "size": 300, "threads": 1}
    made = same.head.ask("make", cell=asked, seed=1, folder=str(same._folder), offset=0)
    for process in (same.base, same.head):
        process.ask("load", cell=asked, peer=None, made=made)
    seen = []
    for process in (same.base, same.head):
        mapped = Path(f"/proc/{process._process.pid}/maps").read_text().splitlines()
        inodes = {line.split()[4] for line in mapped if str(same._folder) in line}
        seen.append(inodes)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2  # x and out


def test_a_slice_is_so_many_calls(same):
    loaded = load(same, Cell("relu", "forward", "float32", 300))
    assert all(same._slice(process, loaded.loops[0]) > 0 for process in (same.base, same.head))
    found = same.rounds(loaded, 4)
    assert len(found) == 4


@pytest.fixture
def tree(tmp_path):
    """A copy of the package, to be changed."""
    copied = tmp_path / "tree"
    shutil.copytree(PACKAGE, copied / "actbench", ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def edit(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / "actbench" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def scale(tree: Path, function: str, factor: float) -> None:
    """Multiply what a function of the catalogue returns."""
    files = (tree / "actbench" / "catalog").rglob("*.py")
    file = next(path for path in files if f"def {function}" in path.read_text("utf-8"))
    before, name, body = file.read_text("utf-8").partition(f"def {function}")
    file.write_text(before + name + body.replace("return ", f"return {factor} * ", 1), "utf-8")


def test_a_changed_kernel_is_seen_and_the_others_are_not(tree, tmp_path):
    scale(tree, "hardtanh", 1.0)
    with pair(head=side("head", paths=(str(tree),), cache=tmp_path / "cache")) as both:
        changed = load(both, Cell("hardtanh", "forward", "float32", 300))
        assert changed.difference == 0  # times one
        other = load(both, Cell("relu", "forward", "float32", 300))
        assert other.same_code


def test_other_values_are_seen(tree, tmp_path):
    scale(tree, "softsign", 1.01)
    with pair(head=side("head", paths=(str(tree),), cache=tmp_path / "cache")) as both:
        cell = Cell("softsign", "forward", "float32", 300)
        found = load(both, cell)
        assert found.difference == pytest.approx(0.01, rel=0.01)
        assert differs(cell, None, found.difference)
        assert not found.same_code


def seen(tree, tmp_path, cell, cpus=CPUS):
    """Whether a changed tree's call is seen to run other code."""
    with pair(head=side("head", paths=(str(tree),), cache=tmp_path / "cache"), cpus=cpus) as both:
        return not load(both, cell).same_code


RELU = Cell("relu", "forward", "float32", 300)


def test_what_documents_code_is_no_code(tree, tmp_path):
    edit(tree, "kernels/elementwise.py", '"""', '""" ')
    edit(tree, "kernels/base.py", '"""', '""" # ')
    assert not seen(tree, tmp_path, RELU)


@pytest.mark.skipif(len(usable_cpus()) < 2, reason="two threads need two CPUs")
@pytest.mark.parametrize(("old", "new"), [("PARTS = 4", "PARTS = 16"), ("LINGER = 40_000", "LINGER = 0")])
def test_how_a_team_works_is_part_of_its_code(tree, tmp_path, old, new):
    edit(tree, "kernels/threads.py", old, new)
    cpus = sorted(usable_cpus())[-2:]
    cell = Cell("relu", "forward", "float32", 1 << 16, 2)
    assert seen(tree, tmp_path, cell, cpus)
    with pair(cpus=cpus) as both:
        assert load(both, cell).same_code


def test_parameters_are_part_of_the_code(tree, tmp_path):
    """Which are arguments of the kernel: the module is the same, and here the values are, too."""
    edit(
        tree, "catalog/activations/sigmoids.py", 'threshold: float = float("inf")', "threshold: float = 1e30"
    )
    assert seen(tree, tmp_path, Cell("softplus", "forward", "float32", 300))


def test_python_code_on_the_way_is_part_of_the_code(tree, tmp_path):
    edit(
        tree, "kernels/base.py", "if len(ready) > 256:", "if len(ready) > 255:"
    )  # not on the way of a warm call
    edit(
        tree,
        "kernels/base.py",
        "target = empty(x) if out is None else out",
        "target = out if out is not None else empty(x)",
    )
    with pair(head=side("head", paths=(str(tree),), cache=tmp_path / "cache")) as both:
        assert not load(both, Cell("relu", "forward", "float32", 300)).same_code


def test_a_changed_signature_is_refused(tree, tmp_path):
    file = next((tree / "actbench" / "kernels").rglob("elementwise.py"))
    text = file.read_text().replace("out, threads, params", "out, workers, params")
    file.write_text(text.replace("threads: int | None = None", "workers: int | None = None"))
    head = side("head", paths=(str(tree),), cache=tmp_path / "cache")
    with pair(head=head) as both, pytest.raises(RefusedError, match=r"head: \w+Error: .*threads"):
        load(both, Cell("relu", "forward", "float32", 300))


def test_what_does_not_compile_on_head_alone_is_heads_fault(tmp_path):
    bodies = {"base": "math.exp(-x * x)", "head": "math.exp(-x * x) + float(Decimal(0))"}
    sides = []
    for name, body in bodies.items():
        file = tmp_path / name / "mine.py"
        file.parent.mkdir()
        file.write_text(textwrap.dedent(MINE.format(body=body)))
        sides.append(side(name, files=(str(file),), cache=tmp_path / name / "cache"))
    cell = Cell("mine", "forward", "float64", 300)
    with (
        started(sides[1], CPUS, Random(0), 120) as maker,
        Pair(*sides, maker, CPUS, Random(1), 120, time.perf_counter_ns) as both,
        pytest.raises(NoValuesError, match=r"^head raises \w+: .*, where base gives values$"),
    ):
        load(both, cell)


def test_a_side_that_cannot_be_imported_says_why(tree):
    (tree / "actbench" / "__init__.py").write_text("def broken(:\n")
    with pytest.raises(SideError, match=r"head \(head\) cannot be imported: SyntaxError"):
        describe([side("head", paths=(str(tree),))], CPUS, 120)
    broken = [side(name, paths=(str(tree),)) for name in ("base", "head")]
    with pytest.raises(SideError, match=r"head .* cannot be imported") as both:
        describe(broken, CPUS, 120)
    assert both.value.exit_code == 2, "head is to be mended, whatever base is"
    with pytest.raises(SideError, match=r"base .* cannot be imported") as one:
        describe([broken[0], side("head")], CPUS, 120)
    assert one.value.exit_code == 3


def test_no_interpreter():
    missing = Side("base", "base", "/no/such/python", (), (), CACHE)
    with pytest.raises(SideError, match="base: cannot run /no/such/python: No such file"):
        describe([missing], CPUS, 120)


def hello(process: Process):
    process.begin()
    return process.begun()


def process(tmp_path: Path, code: str, timeout_s: float = 60) -> Process:
    """A side whose actbench does something else on import."""
    (tmp_path / "actbench").mkdir()
    (tmp_path / "actbench" / "__init__.py").write_text(textwrap.dedent(code))
    return Process(side("head", paths=(str(tmp_path),)), CPUS, Random(2), timeout_s)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "^head was killed by SIGKILL$"),
        (
            "import os, sys; print('bad luck', file=sys.stderr, flush=True); os._exit(3)",
            "^head ended with exit code 3: bad luck$",
        ),
    ],
)
def test_a_process_that_dies_is_named_with_its_last_words(tmp_path, code, message):
    with process(tmp_path, code) as side_process, pytest.raises(LostSideError, match=message):
        hello(side_process)


def test_a_process_that_hangs_is_given_up(tmp_path):
    hung = process(tmp_path, "import time; time.sleep(60)", timeout_s=0.5)
    with hung, pytest.raises(LostSideError, match=r"head gave no answer in 0\.5 s"):
        hello(hung)


def test_what_a_library_prints_is_no_answer(tmp_path):
    code = """
        import os
        print("hello from a library")
        os.write(1, b"and from C\\n")
        __version__ = "1"
        def functions(): return ()
    """
    with process(tmp_path, code) as chatty:
        assert hello(chatty)["functions"] == {}
