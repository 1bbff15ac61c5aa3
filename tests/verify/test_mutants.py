"""Faults planted into the real declarations and kernels: each must be found, and by whom it should be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import actbench

SOURCE = Path(actbench.__file__).parent


class Mutant(NamedTuple):
    """A text in a file of the package, what is put in its place, a command, and the check and the judge it names."""

    file: str
    old: str
    new: str
    command: str
    found: str


GATED, RECTIFIERS, SIGMOIDS = (
    f"catalog/activations/{name}.py" for name in ("gated", "rectifiers", "sigmoids")
)
CLASSES, REGRESSION, SEQUENCE = (
    f"catalog/losses/{n}.py" for n in ("classification", "regression", "sequence")
)
MUTANTS = {
    "swish' without beta": Mutant(
        GATED, "primitives.silu_slope(beta * x, product_tail(beta, x))", "primitives.silu_slope(x, 0.0)",
        "check swish", r"swish: derivative is wrong, says the judge \(differences\)",
    ),
    "sigmoid' as s(1 - s)": Mutant(
        SIGMOIDS, "derivative=primitives.sigmoid_slope",
        "derivative=lambda x: primitives.sigmoid(x) * (1.0 - primitives.sigmoid(x))",
        "check sigmoid", r"sigmoid: derivative is wrong, says the judge \(formula\)",
    ),
    "tanh' as 1 - tanh^2": Mutant(
        SIGMOIDS, "derivative=primitives.tanh_slope",
        "derivative=lambda x: 1.0 - primitives.tanh(x) * primitives.tanh(x)",
        "check tanh", r"tanh: derivative is wrong, says the judge \(formula\)",
    ),
    "relu'(0) is not its parameter": Mutant(
        RECTIFIERS, "(0.0 if x < 0 else slope_at_zero)", "0.0", "check relu", r"relu: kinks is wrong",
    ),
    "relu'(NaN) is a number": Mutant(
        "kernels/scalar.py", "return value if _carries_nan(body, operands) else _guarded(value, operands)", "return value",
        "check relu", r"relu: special values is wrong, says the judge \(limits\)",
    ),
    "celu for alpha = 1 only": Mutant(
        RECTIFIERS, "    u = x / alpha\n    # The curve", "    u = x\n    # The curve", "check celu", r"celu: value is wrong",
    ),
    "selu by exp(x) - 1": Mutant(
        RECTIFIERS, "return primitives.selu(x)",
        "return 1.0507009873554805 * x if x > 0.0 else 1.7580993408473769 * (primitives.exp(x) - 1.0)",
        "check selu", r"selu: value, float32 is wrong, says the judge \(float64 kernel\)",
    ),
    "hardtanh' at the kinks is 1": Mutant(
        RECTIFIERS, "1.0 if min_val < x < max_val else 0.0", "1.0 if min_val <= x <= max_val else 0.0",
        "check hardtanh", r"hardtanh: kinks is wrong",
    ),
    "hardswish overflows": Mutant(
        GATED, "return x if x >= 3.0 else copysign(sixth(y, s, y - (s - 3.0)), x)",
        "return copysign(x * (y + 3.0) / 6.0, x) if x < 3.0 else x * (x + 3.0) / (x + 3.0)",
        "check hardswish", r"hardswish: special values is wrong",
    ),
    "gelu by 1 + erf": Mutant(
        GATED, "return primitives.gelu(x)", "return 0.5 * x * (1.0 + primitives.erf(x * 0.7071067811865476))",
        "check gelu", r"gelu: value, float32 is wrong",
    ),
    "mse' without its 2": Mutant(
        REGRESSION, "derivative=lambda pred, target: 2.0 * (pred - target)", "derivative=lambda pred, target: pred - target",
        "check mse", r"mse: derivative is wrong, says the judge \(differences\)",
    ),
    "mae' at the target": Mutant(
        REGRESSION, "derivative=lambda pred, target: sign(pred - target)",
        "derivative=lambda pred, target: 1.0 if pred >= target else -1.0", "check mae", r"mae: kinks is wrong",
    ),
    "huber' for delta = 1 only": Mutant(
        REGRESSION, "derivative=lambda pred, target, delta: maximum(-delta, minimum(pred - target, delta))",
        "derivative=lambda pred, target, delta: maximum(-1.0, minimum(pred - target, 1.0))",
        "check huber", r"huber: derivative is wrong.*\n.*delta=",
    ),
    "bce by log(1 - p)": Mutant(
        CLASSES, "_weighted_log(1.0 - target, log1p(-p), clamp)", "_weighted_log(1.0 - target, log(1.0 - p), clamp)",
        "check bce", r"bce: .* is wrong",
    ),
    "bce_with_logits overflows": Mutant(
        CLASSES, "return linear + log1p(exp(-fabs(pred)))", "return linear + log1p(exp(pred)) - maximum(pred, 0.0)",
        "check bce_with_logits", r"bce_with_logits: value, float32 is wrong",
    ),
    "log_softmax counts its largest": Mutant(
        "kernels/row_exponentials.py", "- lone(x, splat(np.float64(1.0)))", "- lone(x, splat(np.float64(0.0)))",
        "check log_softmax", r"log_softmax: backward is wrong, says the judge \(differences\)",
    ),
    "log(NaN) is a number": Mutant(
        "kernels/vecmath/elementary.py", "return x if x != x else y", "return y",
        "check bce", r"bce: special values is wrong",
    ),
    "the tail of the vector loop": Mutant(
        "kernels/templates.py", "range((count + LANES - 1) & -LANES)", "range(count & -LANES)",
        "check relu --bitwise", r"relu: bits: (sizes|offsets) is wrong",
    ),
    "the last unit of a thread's part": Mutant(
        "kernels/loops.py", "min((part + 1) * length, units)", "min((part + 1) * length - 1, units)",
        "check relu --bitwise", r"relu: bits: threads is wrong",
    ),
    "strides are not looked at": Mutant(
        "kernels/operands.py", "                is_contiguous(builder, flags),\n", "",
        "check relu --bitwise", r"relu: bits: strides is wrong",
    ),
    "an output that overlaps": Mutant(
        "kernels/operands.py", "                *(_apart(builder, x, written, nbytes) for x in read),\n", "",
        "check relu --bitwise", r"relu: bits: in place is wrong",
    ),
    "the last rows of 16": Mutant(
        "kernels/row_templates.py", "for start in range(first, stop, COUNT):\n            _gather(x, start, x_block)\n            body(xs",
        "for start in range(first, stop - COUNT + 1, COUNT):\n            _gather(x, start, x_block)\n            body(xs",
        "check softmax --bitwise", r"softmax: bits: sizes is wrong",
    ),
    "ln 2 in one part": Mutant(
        "kernels/vecmath/elementary.py", "return t, fma(-n, LN2, x), fma(-n, LN2_LOW, low)", "return t, fma(-n, LN2, x), low",
        "audit softplus --dtype float64 --pass forward", r"forward +float64 .*beyond",
    ),
    "silu's root in one part": Mutant(
        "kernels/vecmath/smooth.py", "d_low -= SILU_ROOT_LOW - low", "d_low += low",
        "audit silu --dtype float64 --pass derivative", r"derivative +float64 .*beyond",
    ),
    "a sixth in one part": Mutant(
        "kernels/vecmath/elementary.py", "fma(low, SIXTH, fma(y, SIXTH_LOW, fma(y, SIXTH, -q)))", "fma(low, SIXTH, fma(y, SIXTH, -q))",
        "audit hardswish --dtype float32 --pass forward", r"forward +float32 .*beyond",
    ),
    "bfloat16 by cutting bits off": Mutant(
        "kernels/formats.py", "rounded = builder.add(bits, builder.add(odd, INT(0x7FFF)))", "rounded = bits",
        "audit sigmoid --dtype bfloat16 --pass forward", r"forward +bfloat16 .*beyond",
    ),
    "ctc goes from a label to its repeat": Mutant(
        SEQUENCE, "if labels[j] != labels[j - 1]:", "if True:",
        "check ctc", r"ctc: value is wrong, says the judge \(formula\)",
    ),
    "celu's gradient in alpha near 0": Mutant(
        RECTIFIERS, "-u * u * series if u > -0.125 else ", "",
        "check celu", r"celu: gradient wrt alpha is wrong, says the judge \(formula\)",
    ),
    "float32's infinity is a number": Mutant(
        "kernels/vecmath/brief.py", "return RESULT(fma(u, horner(u, LOG1P), ZERO if y < ZERO else y))",
        "return RESULT(fma(u, horner(u, LOG1P), ZERO if y < ZERO else T(1e30 if y > 1e30 else y)))",
        "check softplus", r"softplus: (value|special values) is wrong, says the judge \(formula\)",
    ),
    "tanh is not odd": Mutant(
        SIGMOIDS, "return primitives.tanh(x)", "return 1.0 - 2.0 * primitives.sigmoid(-2.0 * x)",
        "check tanh", r"tanh: symmetry: forward odd is wrong, says the judge \(law of the formula\)",
    ),
}  # fmt: skip


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actbench", *command.split(), "--quiet"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "ACTBENCH_CACHE_DIR": str(folder / "cache"),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    shutil.copytree(SOURCE, tmp_path / "actbench", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "actbench" / mutant.file
    text = path.read_text()
    assert mutant.old in text, "the text is no more"
    path.write_text(text.replace(mutant.old, mutant.new, 1))
    result = run(tmp_path, mutant.command)
    assert result.returncode == 1, result.stderr
    assert re.search(mutant.found, result.stdout), result.stdout
