"""Numbers kept as an unevaluated sum (high, low): what a format needs to err by little more than half a last bit.

Inside a pair |low| is at most an ULP or so of high; the last operation of a function adds the two.
"""

from __future__ import annotations

from typing import Any

from actbench.kernels.linking import inline

from .intrinsics import fma


@inline
def fast_two_sum(a: Any, b: Any) -> Any:
    """Return (s, e) with s = fl(a + b) and s + e = a + b, given |a| >= |b| or a = 0."""
    s = a + b
    return s, b - (s - a)


@inline
def two_sum(a: Any, b: Any) -> Any:
    """Return (s, e) with s = fl(a + b) and s + e = a + b."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inline
def two_product(a: Any, b: Any) -> Any:
    """Return (p, e) with p = fl(a * b) and p + e = a * b."""
    p = a * b
    return p, fma(a, b, -p)


@inline
def fma_pair(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c as a pair, given |c| >= |a * b| or c = 0."""
    s = fma(a, b, c)
    return s, fma(a, b, c - s)


@inline
def multiply(a: Any, a_low: Any, b: Any, b_low: Any) -> Any:
    """Return (a + a_low) * (b + b_low) as a pair."""
    p = a * b
    return p, fma(a, b, -p) + fma(a, b_low, a_low * b)


@inline
def add(a: Any, a_low: Any, b: Any, b_low: Any) -> Any:
    """Return (a + a_low) + (b + b_low) as a pair."""
    s, e = two_sum(a, b)
    return fast_two_sum(s, e + (a_low + b_low))
