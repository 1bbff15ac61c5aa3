"""Which peers there are, and what a user is told of one that is not."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np
import pytest

from actbench import peers as registry
from actbench.catalog.errors import UsageError
from actbench.cli.audit import audit
from actbench.cli.bench import bench
from actbench.peers import jax_jit, onnx_runtime
from actbench.peers import threads as tasks
from actbench.peers.base import Description, Peer, Prepared, Request, Tables
from actbench.peers.threads import started

NAMES = (
    "torch",
    "torch.compile",
    "jax",
    "onnxruntime",
    "tensorflow",
    "tf.function",
    "numpy",
    "scipy",
    "numexpr",
)
PACKAGES = {"torch", "jax", "onnxruntime", "onnx", "tensorflow", "keras", "scipy", "numexpr", "numba"}
ONE_THREAD = (
    "numpy",
    "scipy",
    "tensorflow",
    "tf.function",
)  # TensorFlow: because its first operation here had one


class Doubler(Peer):
    """A third party's peer."""

    name = "doubler"
    packages = ("numpy",)
    extra = "doubler"

    def _describe(self) -> Description:
        return Description("1", "", "", "")

    def set_threads(self, count: int) -> int:
        return 1

    def _tables(self) -> Tables:
        return Tables(forward={"relu": lambda p: lambda x: 2 * x})

    def _bind(self, request: Request, body: object) -> Prepared:
        return Prepared(lambda: None, lambda: body(request.arrays["x"]))  # type: ignore[operator]


class Absent(Doubler):
    name = "absent"
    packages = ("a_package_that_nobody_has",)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(kind.__name__, f"{__name__}:{kind.__name__}", registry.ENTRY_POINTS)
        for kind in (Doubler, Absent)
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: points if group == registry.ENTRY_POINTS else []
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    registry.peers.cache_clear()
    yield
    registry.peers.cache_clear()


def test_all_peers_are_known_installed_or_not() -> None:
    assert tuple(registry.peers()) == NAMES


@pytest.mark.parametrize("command", [audit, bench])
def test_the_help_of_against_names_them(command: Callable[..., int]) -> None:
    (option,) = get_type_hints(command, include_extras=True)["against"].__metadata__
    assert f" {', '.join(NAMES)}, or auto" in option.help


def test_knowing_them_imports_none_of_their_packages() -> None:
    code = (
        "import sys; from actbench.peers import peers\n"
        "[peer.available() or peer.missing() for peer in peers().values()]\n"
        f"print(*{PACKAGES} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.usefixtures("plugged")
def test_a_plug_ins_peer_is_one_of_them() -> None:
    (peer,) = registry.chosen(["doubler"])
    x = np.ones(3)
    prepared = peer.prepare(Request("relu", "forward", {}, {"x": x}))
    assert prepared is not None
    assert np.array_equal(prepared.result(), 2 * x)
    assert peer.prepare(Request("relu", "backward", {}, {"x": x})) is None
    assert peer.prepare(Request("relu", "derivative", {}, {"x": x})) is None


@pytest.mark.usefixtures("plugged")
def test_auto_takes_what_is_installed() -> None:
    found = [peer.name for peer in registry.chosen(["auto", "numpy"])]
    assert {"numpy", "doubler"} <= set(found)
    assert "absent" not in found
    assert len(found) == len(set(found))


@pytest.mark.usefixtures("plugged")
def test_a_named_peer_that_is_missing_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^absent is not installed: pip install 'actbench\[doubler\]'$"):
        registry.chosen(["numpy", "absent"])


@pytest.mark.usefixtures("plugged")
def test_a_named_peer_that_is_missing_is_left_out_where_another_is_there() -> None:
    told: list[str] = []
    assert [p.name for p in registry.chosen(["absent", "numpy"], told.append)] == ["numpy"]
    assert told == ["absent is not installed: pip install 'actbench[doubler]'"]
    with pytest.raises(UsageError, match=r"^absent is not installed: pip install 'actbench\[doubler\]'$"):
        registry.chosen(["absent"], told.append)
    with pytest.raises(UsageError, match="unknown peer"):
        registry.chosen(["numpy", "nobody"], told.append)


PLUG_INS = {
    "raising": "raise ZeroDivisionError('by\\nzero')",
    "leaving": "print('on my way'); import sys; sys.exit(3)",
    "abstract": "from actbench.peers.base import Peer as P\nclass Mine(P): name = 'abstract'",
    "failing": "from {here} import Doubler\nclass Mine(Doubler):\n def __init__(self): raise OSError('no room')",
    "foreign": "class Mine: name = 'foreign'",
    "nameless": "from {here} import Doubler\nclass Mine(Doubler): name = None",
    "torch": "raise RuntimeError('is never loaded')",
    "other": "from {here} import Doubler\nclass Mine(Doubler): name = 'numpy'",
    "loud": (
        "import os; print('loud'); os.write(1, b'louder')\n"
        "from {here} import Doubler\nclass Mine(Doubler): name = 'loud'"
    ),
}
FAULTS = {
    "raising": "ZeroDivisionError: by zero",
    "leaving": "SystemExit: 3",
    "abstract": "TypeError: Can't instantiate abstract class",
    "failing": "OSError: no room",
    "foreign": "it is not derived from actbench.peers.base.Peer",
    "nameless": "it has no name",
    "torch": "'torch' is a name of actbench's own: give it another",
    "other": "'numpy' is a name of actbench's own: give it another",
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution of plug-ins of which all but one are broken."""
    for name, text in PLUG_INS.items():
        (tmp_path / f"plug_in_{name}.py").write_text(text.format(here=__name__))
    points = [EntryPoint(n, f"plug_in_{n}:Mine", registry.ENTRY_POINTS) for n in PLUG_INS]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.syspath_prepend(tmp_path)
    clear = registry.peers.cache_clear, registry._plug_in.cache_clear
    for each in clear:
        each()
    yield
    for each in clear:
        each()
    for name in PLUG_INS:
        sys.modules.pop(f"plug_in_{name}", None)


@pytest.mark.usefixtures("broken")
def test_what_is_not_asked_for_is_not_loaded() -> None:
    assert [p.name for p in registry.chosen(["torch", "numpy"], [].append)][-1] == "numpy"
    assert not any(f"plug_in_{name}" in sys.modules for name in PLUG_INS)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", [name for name in FAULTS if name != "torch"])
def test_a_broken_plug_in_is_one_line_and_the_others_go_on(name: str) -> None:
    told: list[str] = []
    assert [p.name for p in registry.chosen([name, "numpy"], told.append)] == ["numpy"]
    (line,) = told
    assert line.startswith(f"the peer {name!r} (plug_in_{name}:Mine) cannot be loaded: {FAULTS[name]}")
    assert "\n" not in line
    with pytest.raises(UsageError, match="cannot be loaded"):
        registry.chosen([name], told.append)


@pytest.mark.usefixtures("broken")
def test_auto_leaves_broken_plug_ins_out_with_a_line_each(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    found = [p.name for p in registry.chosen(["auto"], told.append)]
    assert {"numpy", "loud"} <= set(found)
    assert len(told) == len(FAULTS)
    assert all(any(fault in line for line in told) for fault in FAULTS.values())
    printed = capfd.readouterr()
    assert printed.out == "", "stdout is for data"
    assert all(word in printed.err for word in ("on my way", "loud", "louder"))
    assert registry.peers()["numpy"] is registry.chosen(["numpy"])[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pytorch", r"unknown peer 'pytorch': did you mean 'torch'\?"),
        ("zzz", "choose from torch, torch.compile"),
    ],
)
def test_an_unknown_peer_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.chosen([name])


@pytest.mark.filterwarnings("ignore")  # the compiler of torch 2.13 uses what its own parts deprecate
@pytest.mark.parametrize("name", NAMES)
def test_a_peer_says_what_it_is_and_how_many_threads_it_has(name: str) -> None:
    peer = registry.peers()[name]
    if not peer.available():
        pytest.skip(peer.missing())
    described = peer.describe()
    assert all(value for key, value in vars(described).items() if key != "fault")
    assert not described.fault
    if name != "torch.compile" or shutil.which("g++"):
        flushed = name in ("jax", "tensorflow", "tf.function")
        assert described.subnormals == ("flushed to zero" if flushed else "kept")
    counts = [peer.set_threads(n) for n in (2, 1)]
    assert counts == ([1, 1] if name in ONE_THREAD else [2, 1])


@pytest.mark.parametrize("error", [ImportError("no"), StopIteration])
def test_a_peer_that_cannot_tell_of_subnormals_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Peer, request: Request) -> None:
        raise error

    assert Doubler().describe().subnormals == "unknown"  # it has no silu
    monkeypatch.setattr(Doubler, "prepare", fail)
    assert Doubler().describe().subnormals == "unknown"


def test_what_is_compiled_is_kept_for_buffers_of_the_same_shape() -> None:
    peer, made = Doubler(), []

    def make() -> int:
        made.append(1)
        return len(made)

    request = Request("relu", "forward", {"alpha": 1.0}, {"x": np.ones(3)})
    same = replace(request, arrays={"x": np.zeros(3)})
    assert [peer._once(r, make, 1) for r in (request, same, request)] == [1, 1, 1]
    others = (
        replace(request, arrays={"x": np.ones(4)}),
        replace(request, arrays={"x": np.ones(3, np.float32)}),
        replace(request, params={"alpha": 2.0}),
        replace(request, pass_="backward"),
        replace(request, function="elu"),
    )
    assert [peer._once(r, make, 1) for r in others] == [2, 3, 4, 5, 6]
    assert peer._once(others[-1], make, 2) == 7


@pytest.mark.parametrize(
    ("name", "module", "threads", "count"),
    [
        ("jax", jax_jit, ("tf_XLAEigen", "python", "tf_XLAEigen", "tf_XLAEigen"), 3),
        ("jax", jax_jit, None, 2),
        ("onnxruntime", onnx_runtime, ("python",) * 4, 5),
        ("onnxruntime", onnx_runtime, None, 2),
    ],
)
def test_the_threads_of_a_pool_are_counted(
    name: str,
    module: ModuleType,
    threads: tuple[str, ...] | None,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = type(registry.peers()[name])()
    if not peer.available():
        pytest.skip(peer.missing())
    monkeypatch.setattr(module, "started", lambda work: threads)
    assert peer.set_threads(2) == count


def test_onnx_runtimes_threads_spin_from_call_to_call_and_not_beyond_the_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = type(registry.peers()["onnxruntime"])()
    if not peer.available():
        pytest.skip(peer.missing())
    import onnxruntime

    sessions, create = [], onnxruntime.InferenceSession

    def keep(*args: Any, **kwargs: Any) -> Any:
        sessions.append(create(*args, **kwargs))
        return sessions[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", keep)
    peer.set_threads(2)
    assert peer.prepare(Request("relu", "forward", {}, {"x": np.ones(1 << 16, np.float32)}, out=True))
    options = sessions[-1].get_session_options()
    assert options.intra_op_num_threads == 2
    bound_us = int(options.get_session_config_entry("session.intra_op.spin_duration_us"))
    assert 0 < 2.7e-6 * bound_us < peer.settles_s  # 2.7 times the bound was the longest that was seen
    for name in ("session.force_spinning_stop", "session.intra_op.allow_spinning"):
        with pytest.raises(RuntimeError):  # is not set
            options.get_session_config_entry(name)


class Pool:
    """Threads that end with it."""

    def __init__(self, size: int) -> None:
        self.leave = threading.Event()
        self.threads = [threading.Thread(target=self.leave.wait) for _ in range(size)]
        for thread in self.threads:
            thread.start()

    def __del__(self) -> None:
        self.leave.set()
        for thread in self.threads:
            thread.join()


def test_threads_that_started_are_told_from_those_before() -> None:
    before = Pool(2)
    names = started(lambda: Pool(3))
    del before
    if names is None:
        pytest.skip("the system does not list a process's threads")
    assert len(names) == 3


def test_a_thread_is_known_by_the_name_that_it_gives_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(task: str, text: str) -> None:
        (tmp_path / task).mkdir(exist_ok=True)
        (tmp_path / task / "comm").write_text(f"{text}\n")

    def work() -> None:
        for task in ("2", "3"):
            name(task, "python")

    later = iter([partial(name, "2", "pool"), partial(name, "3", "clock")])
    monkeypatch.setattr(tasks, "_TASKS", tmp_path)
    monkeypatch.setattr(tasks.time, "sleep", lambda seconds: next(later, object)())
    name("1", "python")
    assert sorted(started(work) or ()) == ["clock", "pool"]


def test_threads_that_never_settle_are_read_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(tasks, "_TASKS", tmp_path)
    monkeypatch.setattr(tasks.time, "sleep", lambda seconds: (tmp_path / str(next(numbers))).mkdir())
    assert len(started(lambda: None) or ()) == next(numbers) < 100


def test_tensorflow_keeps_its_threads_and_its_peace_and_changes_no_settings() -> None:
    peer = registry.peers()["tensorflow"]
    if not peer.available():
        pytest.skip(peer.missing())
    code = (
        "import os; from actbench.peers import peers\n"
        "before, peer = dict(os.environ), peers()['tensorflow']\n"
        "described = peer.describe(threads=3)\n"
        "import keras\n"
        "print(described.subnormals, peer.set_threads(3), peer.set_threads(1), keras.backend.backend())\n"
        "assert {name: os.environ.get(name) for name in before} == before\n"
        "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    )
    settings = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**settings, "KERAS_BACKEND": "jax"},
    )
    assert done.stdout.split("\n") == ["flushed to zero 3 3 tensorflow", ""]
    assert done.stderr == ""


def test_the_buffers_of_a_call_live_as_long_as_the_call() -> None:
    peer = registry.peers()["onnxruntime"]
    if not peer.available():
        pytest.skip(peer.missing())
    prepared = peer.prepare(Request("relu", "forward", {}, {"x": np.full(1 << 16, -1.0)}, out=True))
    assert prepared is not None
    call = prepared.call
    del prepared
    scribble = [np.full(1 << 16, 3.0) for _ in range(8)]  # would be given the memory that was free
    assert np.array_equal(call(), np.zeros(1 << 16))
    assert all((array == 3).all() for array in scribble)
