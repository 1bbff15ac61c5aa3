"""ONNX Runtime: a graph of one node, its buffers bound before."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np

from actbench.peers.base import (
    Description,
    DifferentFunctionError,
    Peer,
    Prepared,
    Request,
    Table,
    Tables,
    version,
)
from actbench.peers.threads import started

# From this one on there are Gelu, Mish, HardSwish and Swish; onnxruntime 1.24 is the first to have it.
_OPSET, _IR = 24, 10
# How long an idle thread looks out for work. By default it makes 2^20 pauses, for 40 ms after the last call, on the
# core that the next arm needs. Bounded so, it is awake from call to call just as well: over float32 in two threads relu
# of 2^20 took 185 us (192 by default), gelu 535 (552), softmax 285 (288), and of 2^15 9.5 (9.5), 23 (24), 14.0 (14.0).
# Where it sleeps after every call, as session.force_spinning_stop has it, they took 316, 692, 393, and 9.6, 41, 24.
_SPIN_US = 1000
FORWARD: Table = {
    "identity": lambda p: ("Identity", {}),
    "relu": lambda p: ("Relu", {}),
    "relu6": lambda p: ("Clip", {}, 0.0, 6.0),
    "hardtanh": lambda p: ("Clip", {}, p["min_val"], p["max_val"]),
    "hardsigmoid": lambda p: ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hardswish": lambda p: ("HardSwish", {}),
    "leaky_relu": lambda p: ("LeakyRelu", {"alpha": p["negative_slope"]}),
    "rrelu": lambda p: ("LeakyRelu", {"alpha": (p["lower"] + p["upper"]) / 2}),
    "prelu": lambda p: ("PRelu", {}, p["weight"]),
    "elu": lambda p: ("Elu", {"alpha": p["alpha"]}),
    "selu": lambda p: ("Selu", {}),
    "celu": lambda p: ("Celu", {"alpha": p["alpha"]}),
    "sigmoid": lambda p: ("Sigmoid", {}),
    "silu": lambda p: ("Swish", {}),
    "swish": lambda p: ("Swish", {"alpha": p["beta"]}),
    "tanh": lambda p: ("Tanh", {}),
    "softsign": lambda p: ("Softsign", {}),
    "softplus": lambda p: ("Softplus", {}) if p["beta"] == 1 else _refuse("Softplus has no beta"),
    "mish": lambda p: ("Mish", {}),
    "gelu": lambda p: ("Gelu", {"approximate": "none"}),
    "gelu_tanh": lambda p: ("Gelu", {"approximate": "tanh"}),
    "softmax": lambda p: ("Softmax", {"axis": -1}),
    "log_softmax": lambda p: ("LogSoftmax", {"axis": -1}),
    "cross_entropy": lambda p: ("SoftmaxCrossEntropyLoss", {"reduction": "mean"}),
}


def _refuse(reason: str) -> Any:
    raise DifferentFunctionError(f"onnxruntime: {reason}")


class OnnxRuntime(Peer):
    """ONNX Runtime's CPU provider, forward only."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    extra = "onnx"
    notes: ClassVar = {"rrelu": "LeakyRelu with the mean slope"}
    coarse: ClassVar = {("gelu_tanh", "float64"): "holds the constants of Gelu in float32"}
    # ONNX Runtime turns its 1000 us into a number of pauses: they took 2.2 ms of CPU time after a call, 2.7 at most.
    settles_s = 0.005

    def __init__(self) -> None:
        self._threads = 1
        self._found: dict[int, int] = {}

    def _describe(self) -> Description:
        import onnxruntime

        build = onnxruntime.get_build_info().removeprefix("ORT Build Info: ")
        return Description(
            version("onnxruntime"),
            build,
            f"intra_op_num_threads, spin_duration_us {_SPIN_US}",
            "chosen at run time",
        )

    def set_threads(self, count: int) -> int:
        """Let sessions from now on have ``count`` threads; how many one has, the caller's with them."""
        self._threads = count
        if count not in self._found:
            import onnxruntime  # noqa: F401  (it starts a thread when it is imported, which is no pool's)

            made = started(partial(self._session, "Relu", {}, [np.zeros(1, np.float32)], "float32"))
            self._found[count] = count if made is None else 1 + len(made)
        return self._found[count]

    def _tables(self) -> Tables:
        return Tables(forward={}, forward_out=FORWARD)

    def _bind(self, request: Request, body: Any) -> Prepared:
        node, attributes, *constants = body
        given = [*request.operands, *(np.full(_shape(node), c, request.dtype) for c in constants)]
        operands = [np.ascontiguousarray(a) for a in given]
        make = partial(self._session, node, attributes, operands, request.dtype.name)
        session = self._once(request, make, self._threads)
        binding = session.io_binding()
        for i, operand in enumerate(operands):
            binding.bind_cpu_input(f"x{i}", operand)
        shape = () if "pred" in request.arrays else request.operands[0].shape
        out = np.empty(shape, request.dtype)
        binding.bind_output("y", "cpu", 0, request.dtype, shape, out.ctypes.data)
        buffers = *operands, out  # the binding knows only where they are: the call must keep them

        def call() -> Any:
            session.run_with_iobinding(binding)
            return buffers[-1]

        return Prepared(call, call, allocates=False, note=self.note(request))

    def _session(self, node: str, attributes: Any, operands: Any, dtype: str) -> Any:
        import onnxruntime
        from onnx import helper

        if dtype not in ("float64", "float32", "float16"):
            raise DifferentFunctionError(f"onnxruntime: no {dtype} from NumPy's buffers")
        names = [f"x{i}" for i in range(len(operands))]
        kinds = [helper.np_dtype_to_tensor_dtype(o.dtype) for o in operands]
        graph = helper.make_graph(
            [helper.make_node(node, names, ["y"], **attributes)],
            "one",
            [
                helper.make_tensor_value_info(n, k, o.shape)
                for n, k, o in zip(names, kinds, operands, strict=True)
            ],
            [helper.make_tensor_value_info("y", kinds[0], None)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            if "NOT_IMPLEMENTED" in str(error) or "Type Error" in str(error):
                raise DifferentFunctionError(f"onnxruntime has no {node} of {dtype}") from error
            raise


def _shape(node: str) -> tuple[int, ...]:
    return () if node == "Clip" else (1,)
