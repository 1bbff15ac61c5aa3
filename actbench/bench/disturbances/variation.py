"""How much equal work varies, and what that hides."""

from __future__ import annotations

from math import ceil

from actbench.bench import noise
from actbench.bench.disturbances.evidence import Check, Evidence, Finding

DIFFERENCE = 0.03  # kernels of two libraries are often no further apart
MOST_ROUNDS = 400


def _arithmetic(e: Evidence) -> Finding:
    return _noise(e, noise.ARITHMETIC)


def _traffic(e: Evidence) -> Finding:
    return _noise(e, noise.TRAFFIC)


def _noise(e: Evidence, kind: str) -> Finding:
    name, found = f"noise of {kind}", e.noise.get(kind)
    effect = f"Differences below that do not show in a cell of {noise.ROUNDS} rounds"
    if found is None or found.smallest_difference is None:
        missing = (
            "too little memory is free to measure it" if found is None else "too few slices were measured"
        )
        return Finding(name, "unknown", None, effect=effect, advice=missing)
    least, drift = found.smallest_difference, abs(found.drift)
    if drift > DIFFERENCE:
        effect += ", and what is measured later looks slower or faster by the drift"
    # The interval of a median shrinks with the square root of the rounds.
    rounds = min(MOST_ROUNDS, ceil(noise.ROUNDS * max(1.0, least / DIFFERENCE) ** 2))
    disturbs = max(least, drift) > DIFFERENCE
    return Finding(
        name,
        "disturbs" if disturbs else "fine",
        round(100 * least, 2),
        "%",
        f"drift {100 * found.drift:+.2g} %",
        f"{effect}.",
        f"export ACTBENCH_ROUNDS={rounds}" if disturbs and rounds > noise.ROUNDS else "",
        f"{'or ' if rounds > noise.ROUNDS else ''}remove what else disturbs, as far as it can be"
        if disturbs
        else "",
    )


CHECKS: tuple[Check, ...] = (_arithmetic, _traffic)
