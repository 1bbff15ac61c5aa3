"""The resolved configuration of a run.

A flag precedes ACTBENCH_*, then --config FILE, [tool.actbench] in ./pyproject.toml, the preset and
the defaults.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from actbench.bench.plan import PASSES, Pass, parse_size
from actbench.bench.statistics import MINIMUM_ROUNDS
from actbench.catalog.errors import UsageError
from actbench.wording import suggestion

THRESHOLD = 0.03
"""The slowdown that matters where nothing else is said, as a part."""
_PREFIX = "ACTBENCH_"
_OTHERS = ("cache_dir", "debug", "padding")
"""Of the compiler, of the command line and of a gate's processes: variables that are no keys."""
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_Label = Callable[[str], str]  # where a key of a source stands, for a message
_DURATION = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ns|us|ms|s|m|h)?", re.A)


def parse_duration(value: object) -> float:
    """The seconds that `value` means: a number of them, or text such as 2ms, 60s, 5m or 1h."""
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise UsageError(f"{value!r} is not a duration: write 60s, 5m, 1h or 2ms")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


def _sizes(value: object) -> list[int]:
    return [parse_size(str(item)) for item in _items(value)]


def _part(value: object) -> float:
    """The part that a percentage means: 5% is 0.05. A bare number would be read as one or the other."""
    number, sign, rest = str(value).strip().partition("%")
    try:
        if sign and not rest:
            return float(number) / 100
    except ValueError:
        pass
    raise UsageError(f"{value!r} is not a percentage: write 5%")


def _thresholds(value: object) -> dict[str, object]:
    """A threshold for all functions, or one for each glob or @family."""
    return dict(value) if isinstance(value, Mapping) else {"*": value}


Part = Annotated[float, BeforeValidator(_part), Field(gt=0, lt=10, allow_inf_nan=False)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False)]


class Config(BaseModel):
    """How a run measures; flags, ACTBENCH_ variables and configuration files share these keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "quick"
    passes: Annotated[
        tuple[Pass, ...],
        BeforeValidator(_items),
        Field(min_length=1, alias="pass"),
    ] = PASSES
    dtypes: Annotated[
        tuple[Literal["float64", "float32", "float16", "bfloat16"], ...],
        BeforeValidator(_items),
        Field(min_length=1, alias="dtype"),
    ] = ("float32", "float64")
    sizes: Annotated[tuple[int, ...], BeforeValidator(_sizes), Field(min_length=1, alias="size")] = (
        2**12,
        2**16,
        2**20,
    )
    threads: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1024)], ...],
        BeforeValidator(_items),
        Field(min_length=1),
    ] = (1,)
    caches: Annotated[
        tuple[Literal["warm", "cold"], ...],
        BeforeValidator(_items),
        Field(min_length=1, alias="cache"),
    ] = ("warm",)
    against: Annotated[tuple[str, ...], BeforeValidator(_items)] = ()  # names of peers, or "auto"
    rounds: Annotated[int, Field(ge=MINIMUM_ROUNDS, le=100_000)] = 12
    slice: Duration = 0.001  # seconds that a sample lasts at least
    roofline: bool = False  # whether the machine's roofs are measured, and kernels' operations counted
    timeout: Duration = 120.0  # seconds that a peer may keep silent
    budget: Duration | None = None  # seconds for measuring
    threshold: Annotated[dict[str, Part], BeforeValidator(_thresholds), Field(exclude=True)] = {
        "*": THRESHOLD
    }
    """The slowdown that a gate calls one, by glob or @family: of those that hold a function, the last."""
    seed: Annotated[int, Field(ge=0)] = 0
    output: str = "results/runs"

    def threshold_of(self, function: str, families: Mapping[str, str]) -> float:
        """The slowdown that matters in a function; `families` names each function's."""
        held = [part for pattern, part in self.threshold.items() if holds(pattern, function, families)]
        return held[-1] if held else THRESHOLD

    def check_thresholds(self, families: Mapping[str, str]) -> None:
        """Raise UsageError for a threshold of no function among these: a slip of the pen would go unseen."""
        for pattern in self.threshold:
            if not any(holds(pattern, name, families) for name in families):
                known = ", ".join(sorted({f"@{family}" for family in families.values()}))
                raise UsageError(f"threshold: there is no function of {pattern!r}; families are {known}")

    def record(self) -> dict[str, Any]:
        """The configuration by its keys, as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


def holds(pattern: str, function: str, families: Mapping[str, str]) -> bool:
    """Whether a glob, or an @family, holds a function."""
    if pattern.startswith("@"):
        return families.get(function) == pattern[1:]
    return fnmatchcase(function, pattern)


KEYS = tuple(field.alias or name for name, field in Config.model_fields.items())


def resolve(
    flags: Mapping[str, object],
    *,
    file: str | os.PathLike[str] | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    flag: _Label = "--{}".format,
    environment: Mapping[str, str] = os.environ,
    folder: str | os.PathLike[str] = ".",
) -> Config:
    """The configuration that all sources together give; `flags` that are None were not given.

    `defaults` are a command's own, in the place of those of all; `flag` writes a key as the command's flag.

    Raises UsageError, in one line that names the source, for an unknown key, a wrong value, an
    unknown preset and a file that cannot be read.
    """
    sources: list[tuple[_Label, Mapping[str, Any]]] = [
        (flag, {key: value for key, value in flags.items() if value is not None}),
        (lambda key: _PREFIX + key.upper(), _variables(environment)),
        (lambda key: f"{file}: {key}", _toml(Path(file)) if file is not None else {}),
        ("pyproject.toml [tool.actbench]: {}".format, _project(Path(folder) / "pyproject.toml")),
    ]
    for label, values in sources:
        _check(label, values)
    usual = {"preset": Config.model_fields["preset"].default, **defaults}
    chosen = next((values["preset"] for _, values in sources if "preset" in values), usual["preset"])
    merged = usual | _preset(str(chosen))
    for _, values in reversed(sources):
        merged |= values
    return Config.model_validate(merged)


def presets() -> tuple[str, ...]:
    """The names of the presets."""
    return tuple(sorted(f.name[:-5] for f in _configs().iterdir() if f.name.endswith(".toml")))


def _configs() -> Traversable:
    """The folder of presets: inside the wheel, or beside the package in its repository."""
    package = resources.files("actbench")
    shipped = package / "configs"
    return shipped if shipped.is_dir() else Path(str(package)).parent / "configs"


def _preset(name: str) -> dict[str, Any]:
    if name not in presets():
        raise UsageError(f"unknown preset {name!r}{suggestion(name, presets())}")
    values = _toml(_configs() / f"{name}.toml")
    _check(lambda key: f"preset {name}: {key}", values)
    return {**values, "preset": name}


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The ACTBENCH_ variables that are keys; raises UsageError for one that means nothing."""
    found = {k[len(_PREFIX) :].lower(): v for k, v in environment.items() if k.startswith(_PREFIX)}
    known = (*KEYS, *_OTHERS)
    for key in found:
        if key not in known:
            raise UsageError(f"{_PREFIX}{key.upper()}: unknown variable{suggestion(key, known)}")
    return {k: v for k, v in found.items() if k in KEYS}


def _project(path: Path) -> dict[str, Any]:
    table = _toml(path).get("tool", {}) if path.is_file() else {}
    values = table.get("actbench", {}) if isinstance(table, dict) else {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: [tool.actbench] is not a table")
    return values


def _toml(path: Path | Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _check(label: _Label, values: Mapping[str, Any]) -> None:
    """Raise UsageError for the first key or value of a source that Config does not take."""
    for key in values:
        if key not in KEYS:
            raise UsageError(f"{label(key)}: unknown key{suggestion(key, KEYS)}")
    try:
        Config.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        message = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
        if first["type"] != "value_error":  # ours quote the input themselves
            message += f", not {first['input']!r}"
        raise UsageError(f"{label(str(first['loc'][0]))}: {message}") from error
