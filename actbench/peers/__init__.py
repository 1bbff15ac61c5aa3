"""WHO ELSE: the libraries that a run is measured against, one file each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from actbench.catalog.errors import UsageError
from actbench.peers.base import Peer
from actbench.wording import suggestion

ENTRY_POINTS = "actbench.peers"
AUTO = "auto"
_OURS = (
    ("torch_eager", "TorchEager"),
    ("torch_compile", "TorchCompile"),
    ("jax_jit", "JaxJit"),
    ("onnx_runtime", "OnnxRuntime"),
    ("tensorflow_", "TensorFlow"),
    ("tensorflow_function", "TensorFlowFunction"),
    ("numpy_", "NumPy"),
    ("scipy_", "SciPy"),
    ("numexpr_", "NumExpr"),
)


@cache
def peers() -> Mapping[str, Peer]:
    """Every peer by its name, installed or not: those of this package and those of plug-ins.

    Raises UsageError for a plug-in that cannot be loaded.
    """
    kinds = [getattr(import_module(f"{__name__}.{module}"), kind) for module, kind in _OURS]
    for point in entry_points(group=ENTRY_POINTS):
        try:
            kinds.append(point.load())
        except Exception as error:
            raise UsageError(f"the peer {point.name!r} ({point.value}) cannot be loaded: {error}") from error
    return {kind.name: kind() for kind in kinds}


def chosen(names: Iterable[str]) -> tuple[Peer, ...]:
    """The peers of those names; ``auto`` stands for all that are installed.

    Raises UsageError for an unknown name, which suggests the nearest, and for one that is not installed.
    """
    known, found = peers(), dict[str, Peer]()
    for name in names:
        if name == AUTO:
            found |= {peer.name: peer for peer in known.values() if peer.available()}
            continue
        if name not in known:
            raise UsageError(f"unknown peer {name!r}{suggestion(name, known)}")
        if not known[name].available():
            raise UsageError(known[name].missing())
        found[name] = known[name]
    return tuple(found.values())
