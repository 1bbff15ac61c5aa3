"""Functions that only kernels call: compiled to LLVM's intermediate code, which is then linked into the kernel.

Numba makes a library of every function: all that it calls is linked into it, optimised in full and turned into machine
code. Code at depth n is so compiled n times, although only the kernel is ever run. Here that happens once, in the
kernel: softmax compiles in 0.6 s, not 1.2, the gradient of ctc in 2.0 s, not 4.9, to the same speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import InlineOverloads, NativeLowering, NopythonRewrites
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FindLiterallyCalls,
    InlineClosureLikes,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    MakeFunctionToJitFunction,
    RewriteDynamicRaises,
    WithLifting,
)
from numba.extending import register_jitable

Function = TypeVar("Function", bound=Callable[..., Any])
_SPARED = {
    DeadBranchPrune, FindLiterallyCalls, InlineClosureLikes, InlineInlinables, InlineOverloads, LiteralUnroll,
    LiteralPropagationSubPipelinePass, MakeFunctionToJitFunction, NopythonRewrites, RewriteDynamicRaises, WithLifting,
}  # fmt: skip
"""Passes for what the functions of this layer do not have, and a declaration's may: a tenth of the time."""


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function, linked with what it calls, for a kernel to be linked with."""

    def _optimize_final_module(self) -> None: ...

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):  # type: ignore[misc]
    """Numba's lowering, which ends at the intermediate code."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        state.library.finalize()
        described = state.cr.fndesc
        # What callers know the function by. It has no address: Python never sees it.
        name = _dynfunc.make_function(
            described.lookup_module(), described.qualname, "", 0, state.cr.env, (state.library,)
        )
        state.targetctx.insert_user_function(name, described, [state.library])
        state.cr = state.cr._replace(cfunc=name)
        return True


def _is_own(module: str) -> bool:
    """Whether a function was written here, not declared and then specialised."""
    return module.startswith(f"{__package__}.") and module != f"{__package__}.specialize"


class _PartCompiler(CompilerBase):  # type: ignore[misc]
    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        spared = _SPARED if _is_own(self.state.func_id.modname) else set()
        pipeline.passes = [
            (_PartLowering if step is NativeLowering else step, purpose)
            for step, purpose in pipeline.passes
            if step not in spared
        ]
        pipeline.finalize()
        return [pipeline]


PART = {"no_cfunc_wrapper": True, "pipeline_class": _PartCompiler}
"""Options of a function that only kernels call."""
INLINE = {"forceinline": True, **PART}
jitable: Callable[[Function], Function] = register_jitable(**PART)
inline: Callable[[Function], Function] = register_jitable(**INLINE)
