"""A network with three hidden units learns 7 * x, where the notebook's went to minus infinity.

The notebook gives four points to learn and five to predict within 0.1. All nine lie on one plane,
3 * a + 4 * b, which is 7 * x where a = b = x. Its network is 2-3-1: ReLU, a linear output without a
bias, all weights 1 and all biases 0 to begin with. It takes 10 epochs of single points in their
order.
The mistake is one sign: the error is target minus output, so that its gradient leads downhill, and
the weights are moved against it.

Run it with ``python examples/regression.py``, or open it as a notebook; it takes seconds.
"""

# %%
import itertools
import math
import time

from _common import arguments, table

import cnet
from cnet import nn, optim

arguments(__doc__)
x, y = [[2, 1], [3, 3], [4, 5], [6, 6]], [10, 21, 32, 42]
x_test = [[1, 1], [2, 2], [3, 3], [5, 5], [10, 10]]
wanted = [7 * a for a, _ in x_test]


def net() -> nn.Sequential:
    """The notebook's network, as it begins."""
    return nn.Sequential(
        nn.Linear(2, 3, weight_init="ones"),
        nn.ReLU(),
        nn.Linear(3, 1, bias=False, weight_init="ones"),
    )


# %% [markdown]
# First the notebook's result: its steps manually, with the gradient's sign turned round.
#
# Its rate of 0.001 is for half the squared error. `MSELoss` has no such half, so half the rate
# makes the same steps.

# %%
model, criterion = net(), nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.0005)
prediction, points = 0.0, itertools.cycle(zip(x, y, strict=True))
print("The wrong way: the prediction for (1, 1) after each step")
while math.isfinite(prediction):
    point, target = next(points)
    criterion.forward(model.forward([point], training=True), [target])
    model.backward(-criterion.backward())
    optimizer.step()
    prediction = model([[1, 1]]).item()
    print(f"{prediction:.4g}", end=" ")
print("\n")

# %% [markdown]
# The right way, which is `Trainer`'s: the notebook's 10 epochs, and then as many as it takes to
# find the plane itself.

# %%
model = net()
trainer = cnet.Trainer(model, criterion, optim.SGD(model.parameters(), lr=0.0005))
trainer.fit(x, y, epochs=10, batch_size=1, shuffle=False, verbose=False)
early = model(x_test)[:, 0]

start = time.perf_counter()
trainer.fit(x, y, epochs=1990, batch_size=1, shuffle=False, verbose=False)
seconds = time.perf_counter() - start
late = model(x_test)[:, 0]

# %%
notebook = ["-inf", *["stopped before it"] * 4]
rows = [
    (
        f"({a}, {b})",
        target,
        printed,
        f"{first:.4f}",
        f"{last:.4f}",
        "yes" if max(abs(first - target), abs(last - target)) < 0.1 else "no",
    )
    for (a, b), target, printed, first, last in zip(
        x_test, wanted, notebook, early, late, strict=True
    )
]
table(rows, ("point", "7 * x", "notebook", "10 epochs", "2,000 epochs", "within 0.1"))
print(f"The last 1,990 epochs, {4 * 1990:,} steps, took {seconds:.2f} s.")
