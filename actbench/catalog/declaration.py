"""What a function is: one frozen, self-validating record from which everything else is derived."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from actbench.catalog import numeric, primitives
from actbench.catalog.domain import EXTENDED_REALS, REALS, Domain, Range
from actbench.catalog.errors import DeclarationError, ParameterError
from actbench.catalog.formula import Formula
from actbench.wording import in_one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Body: TypeAlias = Callable[..., Any]
Kind = Literal["activation", "loss"]
Template = Literal["elementwise", "rowwise", "pairwise", "classification", "sequence"]
Derivation = Literal["symbolic", "numerical"]
Reduction = Literal["mean", "sum", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("mean", "sum", "none")
KINDS: tuple[Kind, ...] = ("activation", "loss")
_OPERANDS: Mapping[Template, tuple[str, ...]] = {
    "elementwise": ("x",),
    "rowwise": ("x", "out"),
    "pairwise": ("pred", "target"),
    "classification": ("pred", "target", "weight"),
    "sequence": ("scores", "labels"),
}


@dataclass(frozen=True)
class Param:
    """A parameter: its valid values, meaning, and what other frameworks default to."""

    valid: Domain | tuple[Any, ...] | None = REALS
    """None where only ``prepare`` can tell."""
    meaning: str = ""
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    array: bool = False
    """Whether an array that broadcasts against the input is accepted too."""
    shown: tuple[float, ...] = ()
    """Values that a plot of the family and the derivative check use, beside the default."""

    def check(self, function: str, name: str, value: Any, *, whole: bool = False) -> Any:
        """The value as a kernel takes it: a choice, a number (an integer if it must be ``whole``), or an array.

        Raises ParameterError unless it is valid, TypeError that names the dtype of an array without real numbers.
        """
        if self.valid is None:
            return value
        if isinstance(self.valid, tuple):
            if not _is_among(self.valid, value):
                choices = ", ".join(repr(choice) for choice in self.valid)
                raise _refused(function, name, value, f"is not one of {choices}")
            return value
        number = numeric.whole(value) if whole else numeric.real(value)
        if number is None and self.array and not isinstance(value, str | bytes):
            return numeric.real_array(f"{function}: {name}", value)
        if number is None:
            kind = "an integer" if whole else "a number"
            raise _refused(function, name, value, f"is not {kind} in {self.valid}")
        if number not in self.valid:
            raise _refused(function, name, value, f"is outside its valid range {self.valid}")
        if whole and abs(number) >= 2**63:
            raise _refused(function, name, value, "is no integer of 64 bits")
        return number


def _refused(function: str, name: str, value: Any, why: str) -> ParameterError:
    return ParameterError(f"{function}: {name}={in_one_line(repr(value))} {why}")


def _is_among(choices: tuple[Any, ...], value: Any) -> bool:
    # 0 and 1 equal False and True, but are no flags.
    if isinstance(choices[0], bool) and not numeric.is_truth_value(value):
        return False
    try:
        return value in choices
    except ValueError:  # an array is equal to none
        return False


_KEYWORDS = frozenset(
    ("self", "x", "grad_output", "pred", "target", "out", "threads", "axis", "wrt", "reduction")
)
"""The arguments of calls beside parameters."""
_LENGTHS = Param(meaning="integers of shape (N,)", array=True)
_OPTIONS: Mapping[Template, Mapping[str, tuple[Any, Param]]] = {
    "classification": {
        "weight": (None, Param(meaning="a weight for each class, of shape (C,)", array=True)),
        "ignore_index": (
            -100,
            Param(meaning="index targets of this value count nothing", elsewhere={"torch": -100}),
        ),
    },
    "sequence": {
        "input_lengths": (None, _LENGTHS),
        "target_lengths": (None, _LENGTHS),
        "zero_infinity": (
            False,
            Param((False, True), "0 in the place of an infinite loss and its gradient", {"torch": False}),
        ),
        "mean_by": (
            "target_lengths",
            Param(
                ("target_lengths", "batch"),
                "what the mean divides by",
                {"torch": "target_lengths", "optax": "batch", "keras": "batch"},
            ),
        ),
    },
}
"""Parameters that a template's calls take beside those of the bodies, with their defaults."""


@dataclass(frozen=True)
class Kink:
    """A place where the function has no derivative, and what is returned there.

    Places and slopes are formulas in the parameters (and, for losses, the target).
    """

    at: str
    left: str
    right: str
    value: str
    jump: bool = False

    def evaluate(self, values: Mapping[str, Any]) -> tuple[float, float, float, float]:
        """The place, the left and right slopes and the convention, for given parameter values."""
        names = {"inf": math.inf, **values}
        at, left, right, value = (
            float(Formula(text).evaluate(names, NUMERIC))
            for text in (self.at, self.left, self.right, self.value)
        )
        return at, left, right, value


NUMERIC: Mapping[str, Callable[..., Any]] = {
    name: getattr(primitives, name)
    for name in [
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "sin",
        "cos",
        "tanh",
        "erf",
        "erfc",
        "sign",
        "sigmoid",
        "softplus",
    ]
} | {"max": max, "min": min, "abs": abs}
"""The functions a formula may call, in float64."""


@dataclass(frozen=True)
class Declaration:
    """One activation or loss: its mathematics and what a reader should know about it."""

    name: str
    kind: Kind
    template: Template
    family: str
    summary: str
    forward: Body
    formula: Formula
    derivative: Body | Derivation
    derivative_formula: Formula | None = None
    gradients: Mapping[str, Body] = field(default_factory=dict)
    params: Mapping[str, Param] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    domain: Domain = EXTENDED_REALS
    range: Range = Range(str(REALS))  # noqa: RUF009  (it is frozen)
    target: Domain = REALS
    kinks: tuple[Kink, ...] = ()
    exact: Body | None = None
    prepare: Callable[..., Mapping[str, Any]] | None = None
    row_output: Callable[..., int] | None = None
    """The length of an output row from that of x's and the first parameters; 0 where they do not divide it."""
    row_kinks: Callable[..., NDArray[np.bool_]] | None = None
    """Where in x, of rows along its last axis, slopes are a convention; it takes x and the first parameters."""
    default_reduction: Reduction = "mean"
    mean_over: Literal["elements", "samples"] = "elements"
    error_bounds: tuple[float, float] | None = None
    """ULP by which forward and derivative (or gradient) err at most in float64 and float32, as audits have proven."""
    reference: str = ""
    pitfalls: tuple[str, ...] = ()
    origin: str = ""

    def __call__(self, *arguments: Any) -> Any:
        """The forward body as plain Python, so that declarations can be built of one another."""
        return self.forward(*arguments)

    def __post_init__(self) -> None:
        for check in (
            self._check_choices,
            self._check_signatures,
            self._check_formulas,
            self._check_range,
            self._check_kinks,
            self._check_call,
        ):
            check()

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """The names of the array arguments of the forward body."""
        return _OPERANDS[self.template]

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The parameters' default values, in the order of the call's signature."""
        source = self.prepare or self.forward
        skip = 1 if self.prepare else len(self.operands)
        declared = list(inspect.signature(source).parameters.values())[skip:]
        options = _OPTIONS.get(self.template, {})
        return {p.name: p.default for p in declared} | {name: o[0] for name, o in options.items()}

    @cached_property
    def body_params(self) -> tuple[str, ...]:
        """The parameters that the bodies take, after ``prepare`` has turned the public ones into them."""
        return tuple(inspect.signature(self.forward).parameters)[len(self.operands) :]

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with the given ones checked and the others at their defaults.

        Raises ParameterError that names the parameter and its valid range, TypeError for an array parameter without
        real numbers.
        """
        values = dict(self.defaults)
        for name, value in given.items():
            if name not in values:
                known = ", ".join(values) or "none"
                raise ParameterError(f"{self.name} has no parameter {name!r} (its parameters: {known})")
            if value is not self.defaults[name]:
                value = self.describe(name).check(self.name, name, value, whole=self._counts(name))
            values[name] = value
        return values

    def _counts(self, name: str) -> bool:
        """Whether a parameter is a count or an index: the integers among those of bodies with loops."""
        default = self.defaults[name]
        return self.template not in ("elementwise", "pairwise") and type(default) is int

    def range_at(self, given: Mapping[str, Any]) -> Domain:
        """The values that it takes at the given parameters."""
        return self.range.at(self.resolve(given), NUMERIC)

    def describe(self, name: str) -> Param:
        """What is known of a parameter; an undescribed one takes any real number."""
        option = _OPTIONS.get(self.template, {}).get(name)
        return self.params.get(name, option[1] if option else Param())

    def _fault(self, text: str) -> DeclarationError:
        return DeclarationError(f"{self.name}: {text}")

    def _check_choices(self) -> None:
        for name, known in {
            "template": tuple(_OPERANDS),
            "default_reduction": REDUCTIONS,
            "mean_over": ("elements", "samples"),
        }.items():
            if getattr(self, name) not in known:
                raise self._fault(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}")
        if self.template == "pairwise" and len(self.target.members) not in (0, 2):
            raise self._fault(f"its labels {self.target} are not two: give an interval of numbers")

    def _check_signatures(self) -> None:
        starred = [
            p.name
            for p in inspect.signature(self.forward).parameters.values()
            if p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        if starred:
            raise self._fault(f"{starred[0]!r} must be a plain argument, without a star or a slash")
        forward = list(inspect.signature(self.forward).parameters)
        if tuple(forward[: len(self.operands)]) != self.operands:
            raise self._fault(
                f"a body of this kind begins with ({', '.join(self.operands)}), not ({', '.join(forward)})"
            )
        hiding = [n for n in self.defaults if n in _KEYWORDS]
        if hiding:
            raise self._fault(
                f"a parameter {hiding[0]!r} would hide the argument of calls: choose another name"
            )
        missing = [n for n, default in self.defaults.items() if default is inspect.Parameter.empty]
        if missing:
            raise self._fault(f"parameter {missing[0]!r} needs a default value")
        unknown = set(self.params) - set(self.defaults)
        if unknown:
            raise self._fault(f"params describes {unknown.pop()!r}, which the function does not take")
        for name, first in {"row_output": "the length of a row", "row_kinks": "x"}.items():
            rule = getattr(self, name)
            taken = tuple(inspect.signature(rule).parameters)[1:] if rule else ()
            if taken != self.body_params[: len(taken)]:
                raise self._fault(f"{name} takes {first}, then the first of the parameters")
        if self.template == "sequence" and self.body_params[:1] != ("blank",):
            raise self._fault("the first parameter of a sequence loss is blank, the class that no label is")
        bodies = dict(self.gradients)
        if callable(self.derivative):
            bodies["derivative"] = self.derivative
        extra = {"rowwise": 1, "classification": 1, "sequence": 1}.get(self.template, 0)
        for name, body in bodies.items():
            count = len(inspect.signature(body).parameters)
            wanted = len(forward) + extra
            if count != wanted:
                raise self._fault(
                    f"the body of {name} takes {count} arguments, but needs {wanted}: those of the "
                    f"function{' and the array to fill' if extra else ''}"
                )
        for name in self.gradients:
            if name not in self.defaults and name not in self.operands:
                raise self._fault(f"gradients names {name!r}, which the function does not take")

    def _check_formulas(self) -> None:
        if not callable(self.derivative) and self.derivative not in ("symbolic", "numerical"):
            raise self._fault(
                "it has no derivative: write derivative=lambda "
                f"{', '.join(inspect.signature(self.forward).parameters)}: ..., or ask for "
                "derivative='symbolic' (from the formula) or derivative='numerical'"
            )
        if self.template in ("elementwise", "pairwise"):
            known = {*self.operands, *self.defaults, *self.body_params, "pi", "inf"}
            for formula in (self.formula, self.derivative_formula):
                strangers = formula.names - known if formula else frozenset()
                if strangers:
                    raise self._fault(f"the formula names {sorted(strangers)[0]!r}, which is no parameter")

    def _check_range(self) -> None:
        strangers = self.range.names - set(self.defaults)
        if strangers:
            raise self._fault(f"its range names {sorted(strangers)[0]!r}, which is no parameter")
        try:
            self.range_at({})
        except Exception as error:
            raise self._fault(f"its range {self.range} cannot be evaluated: {error}") from None

    def _check_kinks(self) -> None:
        if self.prepare is not None:
            return
        values = {name: value for name, value in self.defaults.items() if not isinstance(value, str)}
        if self.template == "pairwise":
            values["target"] = self.target.high if self.target.members else 1.0
        for kink in self.kinks:
            try:
                kink.evaluate(values)
            except Exception as error:
                raise self._fault(f"the kink at {kink.at!r} cannot be evaluated: {error}") from None

    def _check_call(self) -> None:
        """Call the scalar bodies once as plain Python: what raises here would fail in every kernel."""
        if self.template not in ("elementwise", "pairwise") or self.prepare is not None:
            return
        point = [0.25] * len(self.operands)
        if self.target.members and self.template == "pairwise":
            point[1] = self.target.members[-1]
        bodies = {"forward": self.forward, **self.gradients}
        if callable(self.derivative):
            bodies["derivative"] = self.derivative
        for name, body in bodies.items():
            try:
                value = body(*point, *self.numbers(self.defaults).values())
            except Exception as error:
                raise self._fault(f"its {name} fails at {point}: {type(error).__name__}: {error}") from None
            if not isinstance(value, (int, float)):
                raise self._fault(
                    f"its {name} returns {type(value).__name__} at {point}; a scalar body returns one number"
                )

    def numbers(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameter values as the bodies take them: a choice becomes its index."""
        return {name: self._number(name, value) for name, value in values.items()}

    def _number(self, name: str, value: Any) -> Any:
        valid = self.describe(name).valid
        return valid.index(value) if isinstance(valid, tuple) else value
