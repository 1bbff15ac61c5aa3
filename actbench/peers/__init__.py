"""WHO ELSE: the libraries that a run is measured against, one file each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from actbench.catalog.errors import UsageError, told
from actbench.peers.base import Peer
from actbench.wording import suggestion

ENTRY_POINTS = "actbench.peers"
AUTO = "auto"
Note = Callable[[str], None]
"""Is told, in a line, who is left out and why."""
_OURS = {
    "torch": ("torch_eager", "TorchEager"),
    "torch.compile": ("torch_compile", "TorchCompile"),
    "jax": ("jax_jit", "JaxJit"),
    "onnxruntime": ("onnx_runtime", "OnnxRuntime"),
    "tensorflow": ("tensorflow_", "TensorFlow"),
    "tf.function": ("tensorflow_function", "TensorFlowFunction"),
    "numpy": ("numpy_", "NumPy"),
    "scipy": ("scipy_", "SciPy"),
    "numexpr": ("numexpr_", "NumExpr"),
}
_TAKEN = (*_OURS, AUTO)


@cache
def peers() -> Mapping[str, Peer]:
    """Every peer by its name, installed or not: those of this package, and those of plug-ins that can be loaded."""
    return {name: _ours(name) for name in _OURS} | _plug_ins()[0]


def chosen(names: Iterable[str], note: Note | None = None) -> tuple[Peer, ...]:
    """The peers of those names, of which nothing else is loaded; ``auto`` stands for all that are installed.

    One that is not installed, and a plug-in that cannot be loaded, is left out where ``note`` is told why. Raises
    UsageError for an unknown name, which suggests the nearest, where nobody is told, and where nobody is left.
    """
    found, left = dict[str, Peer](), list[str]()
    for name in names:
        if name == AUTO:
            found |= {peer.name: peer for peer in peers().values() if peer.available()}
            if note:
                left += _plug_ins()[1].values()
            continue
        peer = _named(name)
        if isinstance(peer, Peer) and peer.available():
            found[name] = peer
        else:
            left.append(peer.missing() if isinstance(peer, Peer) else peer)
    left = list(dict.fromkeys(left))
    if left and (note is None or not found):
        raise UsageError("; ".join(left))
    for line in left:
        assert note is not None
        note(line)
    return tuple(found.values())


def _named(name: str) -> Peer | str:
    """The peer of a name, or why it cannot be loaded; raises UsageError for an unknown one."""
    if name in _OURS:
        return _ours(name)
    # A plug-in's entry point is best named as its peer is; where it is not, only loading tells.
    for point in _points():
        if point.name == name:
            peer = _plug_in(point)
            if isinstance(peer, str) or peer.name == name:
                return peer
    known, faults = _plug_ins()
    if name in faults:
        return faults[name]
    if name not in known:
        raise UsageError(f"unknown peer {name!r}{suggestion(name, [*_OURS, *known])}")
    return known[name]


@cache
def _ours(name: str) -> Peer:
    module, kind = _OURS[name]
    peer: Peer = getattr(import_module(f"{__name__}.{module}"), kind)()
    return peer


def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINTS))


def _plug_ins() -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers of plug-ins by their names, and by their entry points' names why others are left out."""
    found, faults = dict[str, Peer](), dict[str, str]()
    for point in _points():
        peer = _plug_in(point)
        if isinstance(peer, str):
            faults[point.name] = peer
        elif peer.name in found:
            faults[point.name] = _fault(point, f"another plug-in is named {peer.name!r}, too")
        else:
            found[peer.name] = peer
    return found, faults


@cache
def _plug_in(point: EntryPoint) -> Peer | str:
    """The peer of an entry point, or why it is left out."""
    if point.name in _TAKEN:
        return _fault(point, _taken(point.name))
    try:
        with _stdout_to_stderr():
            peer = point.load()()
            if not isinstance(peer, Peer):
                return _fault(point, "it is not derived from actbench.peers.base.Peer")
            if not isinstance(peer.name, str) or not peer.name:
                return _fault(point, "it has no name")
            peer.available()
            peer.missing()
    except (Exception, SystemExit) as error:  # not Ctrl-C, which is the user's
        return _fault(point, told(error))
    return _fault(point, _taken(peer.name)) if peer.name in _TAKEN else peer


def _taken(name: str) -> str:
    return f"{name!r} is a name of actbench's own: give it another"


def _fault(point: EntryPoint, reason: str) -> str:
    return f"the peer {point.name!r} ({point.value}) cannot be loaded: {reason}"


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What is printed meanwhile goes to stderr, also where it is not Python that writes: stdout is for data."""
    with redirect_stdout(sys.stderr):
        try:
            kept = os.dup(1)
        except OSError:  # it is closed
            yield
            return
        try:
            with suppress(OSError):
                os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
