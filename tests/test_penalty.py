"""A penalty that belongs to the sum of the losses of a mini-batch: same bits compiled and layer by
layer, and right values.
"""

import numpy as np
import pytest

from cnet import Trainer, nn, optim
from cnet._compiler import program as _program
from cnet._training.mean import Mean

PENALTY = 0.3


class SGD(optim.SGD):
    """As `cnet.sklearn` has it."""

    _compiled = True

    def _rule(self, settings):
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0)


class Adam(optim.Adam):
    _compiled = True

    def _rule(self, settings):
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0, inner=True)


class Squares(Trainer):
    """Keeps the sums of squares of each epoch."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.squares = []

    def _mean(self):
        squares = self.squares

        class Kept(Mean):
            def add(self, part):
                super().add(part)
                squares.extend(part.squares or [])

        return Kept()


def make(kind, dtype, compiled=True, **settings):
    model = nn.Sequential(
        nn.Linear(5, 70),
        nn.Tanh(),
        nn.Linear(70, 80),
        nn.Tanh(),
        nn.Linear(80, 3),
        seed=1,
        dtype=dtype,
    )  # the second has 5,600 weights
    weights = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    biases = [layer.bias for layer in model if isinstance(layer, nn.Linear)]
    return Squares(
        model,
        nn.CrossEntropyLoss(),
        kind(
            [{"params": weights, "weight_decay": PENALTY}, {"params": biases}], lr=0.01, **settings
        ),
        compile=compiled,
    )


def train(trainer, x, y, weights, batch):
    trainer.fit(x, y, sample_weight=weights, epochs=2, batch_size=batch, seed=0, verbose=False)
    return [*trainer.model.state_dict().values(), np.array(trainer.squares)]


KINDS = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {"clip_norm": 0.1}),
    (Adam, {"eps": 0.1}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch", [2, 8, 300])
@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_same_bits_compiled_and_layer_by_layer(
    kind, settings, batch, weighted, isa, dtype, rng, threads, compiler_options
):
    """Large batches are walked in blocks; small ones are shared out by products."""
    compiler_options(max_block=200)
    n = 37 if batch < 300 else 701
    x, y = rng.standard_normal((n, 5)).astype(dtype), rng.integers(0, 3, n)
    weights = rng.uniform(0, 3, n) if weighted else None
    by_hand = train(make(kind, dtype, compiled=False, **settings), x, y, weights, batch)
    assert len(by_hand[-1]) == 2 * -(-n // batch)
    for count in (1, 7) if weighted else (1, 2):
        threads(count)
        for a, b in zip(
            train(make(kind, dtype, **settings), x, y, weights, batch),
            by_hand,
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weighted", [False, True])
def test_penalty_and_squares_are_those_of_the_formula(weighted, rng):
    """A step of SGD on each mini-batch, the last of which is smaller."""
    x, y = rng.standard_normal((7, 5)), rng.integers(0, 3, 7)
    weights = np.array([0.5, 2, 0, 1, 3, 0.25, 1]) if weighted else None
    trainer, other = make(SGD, "float64"), make(SGD, "float64")
    other.optimizer.param_groups[0]["weight_decay"] = 0.0
    squares = []
    for rows in (slice(0, 4), slice(4, 7)):
        matrices = [layer.weight.data for layer in other.model if isinstance(layer, nn.Linear)]
        squares.append(sum((matrix**2).sum() for matrix in matrices))
        weight = weights[rows].sum() if weighted else rows.stop - rows.start
        steps = [0.01 * PENALTY / weight * matrix for matrix in matrices]
        other.fit(
            x[rows],
            y[rows],
            sample_weight=weights[rows] if weighted else None,
            batch_size=4,
            shuffle=False,
            verbose=False,
        )
        for matrix, step in zip(matrices, steps, strict=True):
            matrix -= step
    trainer.fit(x, y, sample_weight=weights, batch_size=4, shuffle=False, verbose=False)
    np.testing.assert_allclose(trainer.squares, squares, rtol=1e-13)
    for a, b in zip(
        trainer.model.state_dict().values(), other.model.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)
    assert not other.squares


def test_a_mini_batch_that_weighs_nothing_has_no_penalty(rng):
    x, y = rng.standard_normal((4, 5)), rng.integers(0, 3, 4)
    for compiled in (True, False):
        trainer = make(SGD, "float64", compiled)
        before = trainer.model.state_dict()
        train(trainer, x[:2], y[:2], None, 2)
        one = trainer.model.state_dict()
        assert not np.array_equal(one["0.weight"], before["0.weight"])
        again = make(SGD, "float64", compiled)
        train(again, x, y, [1.0, 1.0, 0.0, 0.0], 4)
        assert all(np.isfinite(values).all() for values in again.model.state_dict().values())
        empty = make(SGD, "float64", compiled)
        empty.fit(
            x, y, sample_weight=[1.0, 1.0, 0.0, 0.0], batch_size=2, shuffle=False, verbose=False
        )
        first = make(SGD, "float64", compiled)
        first.fit(x[:2], y[:2], batch_size=2, shuffle=False, verbose=False)
        np.testing.assert_array_equal(empty.model[0].weight.data, first.model[0].weight.data)


def test_subclasses_of_compiled_optimizers_are_run_from_python():
    class Mine(SGD):
        def _rule(self, settings):
            return super()._rule(settings)._replace(lr=1.0)

    model = nn.Sequential(nn.Linear(2, 1), seed=0)
    lowered = [
        _program.lower(model, nn.MSELoss(), kind(model.parameters()), (2,)) is not None
        for kind in (SGD, Mine, optim.SGD)
    ]
    assert lowered == [True, False, True]
