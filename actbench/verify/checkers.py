"""The checks of each kind of function, as a black box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from actbench.catalog.domain import Domain
from actbench.catalog.errors import InfeasibleError
from actbench.verify import differences, inputs
from actbench.verify.checker import Checker, Params, abscissae, on, or_zero
from actbench.verify.report import Place
from actbench.verify.section import Array, kinks_of


class ElementwiseChecker(Checker):
    """Curves, products with a gradient, and gradients of learnable parameters."""

    def _abscissae(self, given: Params) -> Array:
        places = [k[0] for k in kinks_of(self.f, given) if math.isfinite(k[0])]
        if self.points is not None:
            return self.away(places)
        return abscissae(self.f.declaration.domain, places)

    def curves(self, given: Params) -> Sequence[tuple[Array, ...]]:
        return [(self.chosen(self._abscissae(given)),)]

    def run(self, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        kinks, x = kinks_of(f, given), self._abscissae(given)
        self.curve(lambda v: f(v, **given), lambda v: f.derivative(v, **given), kinks, x, "x", (), given)
        g = self.rng.normal(size=x.size)
        for dtype in (np.float64, np.float32):
            a, b = x.astype(dtype), g.astype(dtype)
            product = b * f.derivative(a, **given)
            # Bit for bit; a derivative kept in float64 inside a float32 kernel is rounded once, after the product.
            room = np.spacing(np.abs(product)) if dtype is np.float32 else 0.0
            self.tally("backward", "g * derivative").add(
                f.backward(b, a, **given), product, room,
                lambda i: (("x", float(x[i])), ("grad_output", float(g[i]))), given, relative=False,
            )  # fmt: skip
        moderate = x[np.abs(x) < 1e30]
        self.narrow(lambda v, **p: f(v, **p), {"x": moderate}, given, "value")
        if not self.rough:
            self.narrow(lambda v, **p: f.derivative(v, **p), {"x": moderate}, given, "derivative")
        for name in declaration.gradients:
            self._learned(name, x, given)

    def _learned(self, name: str, x: Array, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        at, param = float(declaration.resolve(given)[name]), declaration.describe(name)
        assert isinstance(param.valid, Domain)
        reach = float(differences.reach_within(np.array([at]), [], param.valid.low, param.valid.high)[0])
        x = x[np.abs(x) <= 1e6]
        x = x[:: max(1, x.size // 300)]
        tally = self.tally(f"gradient wrt {name}", "differences")

        def along(t: Array) -> Array:
            # One parameter a call: displacements of one step are few, points are many.
            y = np.empty(x.size)
            for step in np.unique(t):
                mask = t == step
                y[mask] = f(x[mask], **{**given, name: at + step})
            return y

        one = np.ones(1)
        got = np.array([f.backward(one, x[i : i + 1], wrt=name, **given) for i in range(x.size)])
        if reach > 0:
            found = differences.slope(along, np.full(x.size, reach), at=at)
            far = [along(np.full(x.size, t)) for t in (-0.9 * min(reach, 1.0), 0.0, 0.9 * min(reach, 1.0))]
            idle = (got == 0) & (far[0] == far[1]) & (far[1] == far[2])
            tally.add(got, *or_zero(found, idle), lambda i: (("x", float(x[i])),), given)
        total = np.array([math.fsum(got)])
        summed = np.atleast_1d(f.backward(np.ones(x.size), x, wrt=name, **given))
        room = 1e-13 * math.fsum(np.abs(got))
        tally.add(summed, total, room, lambda i: (("sum over x from", float(x[0])),), given, relative=False)
        if param.array and x.size >= 12:
            block = x[:12].reshape(2, 3, 2)
            weights = at + np.array([0.0, 0.25, -0.5])
            parts = f.backward(np.ones(block.shape), block, wrt=name, **{**given, name: weights})
            alone = [
                f.backward(np.ones((2, 2)), block[:, c], wrt=name, **{**given, name: float(w)})
                for c, w in enumerate(weights)
            ]
            tally.add(
                parts,
                np.array(alone),
                1e-13 * np.abs(block).sum(),
                lambda i: (("channel", float(i)),),
                given,
                relative=False,
            )


class PairwiseChecker(Checker):
    """Curves at typical targets, other gradients, and reductions."""

    def _abscissae(self, given: Params, target: float) -> Array:
        places = [k[0] for k in kinks_of(self.f, given, target=target) if math.isfinite(k[0])]
        if self.points is not None:
            return self.away(places)
        domain = self.f.declaration.domain
        return abscissae(domain, places, target if domain.low == -math.inf else 0.0)

    def curves(self, given: Params) -> Sequence[tuple[Array, ...]]:
        found = []
        for target in inputs.typical_targets(self.f.declaration):
            x = self.chosen(self._abscissae(given, target))
            found.append((x, np.full_like(x, target)))
        return found

    def run(self, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        for t in inputs.typical_targets(declaration):
            kinks = kinks_of(f, given, target=t)
            x = self._abscissae(given, t)

            def value(v: Array, t: float = t) -> Array:
                return f(v, np.full_like(v, t), reduction="none", **given)  # type: ignore[no-any-return]

            def slope(v: Array, t: float = t) -> Array:
                return f.backward(v, np.full_like(v, t), reduction="none", **given)  # type: ignore[no-any-return]

            self.curve(value, slope, kinks, x, "pred", (("target", t),), given)
            moderate = x[np.abs(x) < 1e15]
            both = {"pred": moderate, "target": np.full_like(moderate, t)}
            self.narrow(lambda p, y, **q: f(p, y, reduction="none", **q), both, given, "value")
            if not self.rough:
                self.narrow(
                    lambda p, y, **q: f.backward(p, y, reduction="none", **q), both, given, "derivative"
                )
        for name in declaration.gradients:
            self._wrt(name, given)
        self._reduced(given)

    def _drawn(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Predictions and targets at random."""
        declaration = self.f.declaration
        pred, target = (inputs.drawn(d, shape, self.rng) for d in (declaration.domain, declaration.target))
        return pred, target

    def _wrt(self, name: str, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        pred, target = self._drawn((200,))
        tally = self.tally(f"gradient wrt {name}", "differences")
        place = lambda i: (("pred", float(pred[i])), ("target", float(target[i])))  # noqa: E731
        got = f.backward(pred, target, reduction="none", wrt=name, **given)
        if name == "target":
            reach = differences.reach_within(target, [], declaration.target.low, declaration.target.high)
            found = differences.slope(
                lambda t: f(pred, target + t, reduction="none", **given), reach, at=target
            )
        else:
            at = float(declaration.resolve(given)[name])
            valid = declaration.describe(name).valid
            assert isinstance(valid, Domain)
            reach = differences.reach_within(np.array([at]), [], valid.low, valid.high)
            found = differences.slope(
                lambda t: f(pred, target, reduction="none", **{**given, name: at + float(t[0])}),
                np.full(pred.shape, float(reach[0])),
                at=at,
            )
        tally.add(got, found.value, found.error, place, given)

    def _reduced(self, given: dict[str, Any]) -> None:
        """Gradients of the mean and of the sum, along random directions of a small batch."""
        f, declaration = self.f, self.f.declaration
        for reduction in ("mean", "sum"):
            tally = self.tally(f"gradient of the {reduction}", "differences")
            for _ in range(6):
                pred, target = self._drawn((3, 4))
                v = np.round(self.rng.uniform(-1, 1, pred.shape), 3)
                got = np.array([np.vdot(f.backward(pred, target, reduction=reduction, **given), v)])
                reach = differences.reach_within(
                    pred, [], declaration.domain.low, declaration.domain.high
                ).min()
                found = differences.slope(
                    lambda t: np.array([float(f(pred + t[0] * v, target, reduction=reduction, **given))]),  # noqa: B023
                    np.array([reach]),
                )
                tally.add(got, found.value, found.error, on("pred[0, 0]", pred[0, :1]), given)


class RowwiseChecker(Checker):
    """Vector-Jacobian products, also where elements are equal."""

    def run(self, given: dict[str, Any]) -> None:
        f = self.f
        for width in (1, 2, 3, 4, 6, 17):
            for scale in (0.1, 1.0, 10.0, 100.0):
                x = np.round(self.rng.normal(0, scale, (width,)), 6)
                if self.points is not None:
                    x = self.rng.choice(self.points, width)
                try:
                    y = f(x, **given)
                except InfeasibleError:
                    break
                self._jacobian(x, y.size, given)
        self._ties(given)
        for width in (8, 1000):
            try:
                x = self.rng.normal(0, 4, (16, width))
                g = self.rng.normal(size=f(x, **given).shape)
            except InfeasibleError:
                continue
            self.narrow(lambda v, **p: f(v, **p), {"x": x}, given, "value", rows=True)
            self.narrow(
                lambda u, v, **p: f.backward(u, v, **p),
                {"grad_output": g, "x": x},
                given,
                "backward",
                rows=True,
            )

    def _jacobian(self, x: Array, outputs: int, given: dict[str, Any]) -> None:
        """Vector-Jacobian products against directional differences: every entry alone, and random vectors."""
        f, width = self.f, x.size
        units = [
            (np.eye(outputs)[j], np.eye(width)[i])
            for i in range(min(width, 6))
            for j in range(min(outputs, 6))
        ]
        random = [(self.rng.normal(size=outputs), np.round(self.rng.normal(size=width), 3)) for _ in range(8)]
        g = np.array([pair[0] for pair in units + random])
        v = np.array([pair[1] for pair in units + random])
        got = np.sum(f.backward(g, np.broadcast_to(x, (len(g), width)), **given) * v, axis=1)
        size = np.sum(np.abs(g * f(x, **given)), axis=1)
        found = differences.slope(
            lambda t: np.sum(g * f(x + t[:, None] * v, **given), axis=1), np.full(len(g), np.inf),
            at=np.abs(x).max(), magnitude=size,
        )  # fmt: skip

        def place(i: int) -> Place:
            return tuple((f"x[{k}]", float(x[k])) for k in range(min(width, 6)))

        self.tally("backward", "differences").add(got, found.value, found.error, place, given)

    def _ties(self, given: dict[str, Any]) -> None:
        """Where elements are equal the product lies between the slopes of the two sides."""
        f, tally = self.f, self.tally("ties", "one-sided slopes")
        for width in (2, 3, 4, 6):
            x = np.full(width, 0.5)
            try:
                outputs = f(x, **given).size
            except InfeasibleError:
                continue
            g, v = np.eye(outputs)[np.arange(width) % outputs], np.eye(width)
            got = np.sum(f.backward(g, np.broadcast_to(x, (width, width)), **given) * v, axis=1)
            sides = [
                differences.slope(
                    lambda t: np.sum(g * f(x + t[:, None] * v, **given), axis=1),  # noqa: B023
                    np.full(width, np.inf), side=side,
                )
                for side in (-1, 1)
            ]  # fmt: skip
            low, high = np.minimum(sides[0].value, sides[1].value), np.maximum(sides[0].value, sides[1].value)
            tally.add(
                got, np.clip(got, low, high), sides[0].error + sides[1].error,
                lambda i: (("every x", 0.5), ("width", float(x.size))), given, relative=False,  # noqa: B023
            )  # fmt: skip


class ClassificationChecker(Checker):
    """Every entry of the gradient, for indices and probabilities, weighted and reduced."""

    def run(self, given: dict[str, Any]) -> None:
        f = self.f
        for classes in (2, 3, 5):
            weight = np.round(self.rng.uniform(0.25, 2, classes), 3)
            soft = self.rng.dirichlet(np.ones(classes), 4)
            index = np.array([0, classes - 1, 1, 0])
            for scale in (0.1, 1.0, 10.0, 40.0):
                pred = np.round(self.rng.normal(0, scale, (4, classes)), 6)
                if self.points is not None:
                    pred = self.rng.choice(self.points, pred.shape)
                for target in (index, np.eye(classes)[index], soft):
                    for more in ({}, {"weight": weight}):
                        self._gradient(pred, target, {**given, **more})
            for target in (index, soft):
                for options in ([], [("weight", weight)], [("ignore_index", 1)]):
                    self._reduced(self.rng.normal(size=(4, classes)), target, given | dict(options))
        pred, index = self.rng.normal(0, 4, (16, 100)), self.rng.integers(0, 100, 16)
        both = {"pred": pred, "target": index}
        self.narrow(lambda p, y, **q: f(p, y, reduction="none", **q), both, given, "value", rows=True)
        self.narrow(
            lambda p, y, **q: f.backward(p, y, reduction="none", **q), both, given, "backward", rows=True
        )

    def _gradient(self, pred: Array, target: Array, given: dict[str, Any]) -> None:
        """Every entry of the gradient against differences in that logit."""
        f, classes = self.f, pred.shape[1]
        row, column = (i.reshape(-1) for i in np.indices(pred.shape))
        got = f.backward(pred, target, reduction="none", **given)[row, column]
        unit = np.eye(classes)[column]
        found = differences.slope(
            lambda t: f(pred[row] + t[:, None] * unit, target[row], reduction="none", **given),
            np.full(row.size, np.inf), at=np.abs(pred).max(),
        )  # fmt: skip

        def place(i: int) -> Place:
            return tuple((f"pred[{c}]", float(pred[row[i], c])) for c in range(classes))

        shown = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in given.items()}
        self.tally("gradient", "differences").add(got, found.value, found.error, place, shown)

    def _reduced(self, pred: Array, target: Array, given: dict[str, Any]) -> None:
        f = self.f
        v = np.round(self.rng.normal(size=pred.shape), 3)
        for reduction in ("mean", "sum"):
            got = np.array([np.vdot(f.backward(pred, target, reduction=reduction, **given), v)])
            found = differences.slope(
                lambda t: np.array([float(f(pred + t[0] * v, target, reduction=reduction, **given))]),  # noqa: B023
                np.array([np.inf]),
            )
            shown = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in given.items()}
            self.tally(f"gradient of the {reduction}", "differences").add(
                got, found.value, found.error, lambda i: (("pred[0, 0]", float(pred[0, 0])),), shown
            )


class SequenceChecker(Checker):
    """Every entry of the gradient, alone and in batches of several lengths."""

    def run(self, given: dict[str, Any]) -> None:
        for steps, classes, labels in inputs.ALIGNMENTS:
            # Other blanks exchange their place with class 0.
            blank = int(self.f.declaration.resolve(given)["blank"])
            width = max(classes, blank + 1)
            moved = np.array([[0 if c == blank else c for c in labels]], np.int64)
            for scale in (1.0, 5.0):
                scores = np.round(self.rng.normal(0, scale, (steps, 1, width)), 6)
                if self.f.declaration.domain.high <= 0:
                    scores = -np.abs(scores) - 0.125
                if self.points is not None:
                    scores = self.rng.choice(self.points, scores.shape)
                self._gradient(scores, moved, given)
        self._batched(given)

    def _gradient(self, scores: Array, labels: Array, given: dict[str, Any]) -> None:
        """Every entry of the gradient against differences in that score; the displacements are the batch."""
        f, (steps, _, classes) = self.f, scores.shape
        got = f.backward(scores, labels, reduction="none", **given)[:, 0].reshape(-1)
        n = got.size
        step, symbol = (i.reshape(-1) for i in np.indices((steps, classes)))
        unit = np.zeros((steps, n, classes))
        unit[step, np.arange(n), symbol] = 1
        many = np.repeat(labels, n, axis=0)
        found = differences.slope(
            lambda t: f(scores + t[:, None] * unit, many, reduction="none", **given), np.full(n, np.inf),
            magnitude=np.abs(scores).max(),
        )  # fmt: skip

        def place(i: int) -> Place:
            return (
                ("steps", float(steps)), *((f"label[{k}]", float(c)) for k, c in enumerate(labels[0])),
                (f"scores[{step[i]}, 0, {symbol[i]}]", float(scores[step[i], 0, symbol[i]])),
            )  # fmt: skip

        self.tally("gradient", "differences").add(got, found.value, found.error, place, given)

    def _batched(self, given: dict[str, Any]) -> None:
        """Several lengths in one batch: the gradients of the reductions, and zeros beyond each length."""
        f = self.f
        blank = int(f.declaration.resolve(given)["blank"])
        classes = max(4, blank + 1)
        usable = [c for c in range(classes) if c != blank]
        labels = np.array(
            [
                [usable[0], usable[1], usable[0]],
                [usable[2], usable[2], usable[1]],
                [usable[1]] * 3,
                [usable[0]] * 3,
            ]
        )
        scores = -np.abs(np.round(self.rng.normal(0, 2, (7, 4, classes)), 6)) - 0.125
        more = {**given, "input_lengths": np.array([7, 5, 6, 4]), "target_lengths": np.array([3, 2, 3, 0])}
        v = np.round(self.rng.normal(size=scores.shape), 3)
        for reduction in ("mean", "sum"):
            for by in ("target_lengths", "batch"):
                options = {**more, "mean_by": by}
                gradient = f.backward(scores, labels, reduction=reduction, **options)
                tally = self.tally(f"gradient of the {reduction}", "differences")
                found = differences.slope(
                    lambda t: np.array([float(f(scores + t[0] * v, labels, reduction=reduction, **options))]),  # noqa: B023
                    np.array([np.inf]),
                )
                place = lambda i: (("scores[0, 0, 0]", float(scores[0, 0, 0])),)  # noqa: E731
                tally.add(np.array([np.vdot(gradient, v)]), found.value, found.error, place, given)
                beyond = np.concatenate([gradient[n:, i].reshape(-1) for i, n in enumerate((7, 5, 6, 4))])
                tally.add(beyond, np.zeros(beyond.size), 0.0, place, given, relative=False)
        both = {"scores": scores, "labels": labels}
        self.narrow(lambda s, y, **q: f(s, y, reduction="none", **q), both, more, "value", rows=True)
        self.narrow(
            lambda s, y, **q: f.backward(s, y, reduction="none", **q), both, more, "backward", rows=True
        )


CHECKERS: dict[str, type[Checker]] = {
    "elementwise": ElementwiseChecker,
    "pairwise": PairwiseChecker,
    "rowwise": RowwiseChecker,
    "classification": ClassificationChecker,
    "sequence": SequenceChecker,
}
