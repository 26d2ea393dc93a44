"""Perceptrons of one, two and three layers: does the activation matter, does depth, and what goes
wrong as networks get deeper?

Run it with ``python examples/perceptrons.py``, ``--full`` for all of MNIST, or open it as a
notebook.
"""

# %%
import itertools
import time

import numpy as np
from _common import arguments, has_matplotlib, mnist, percent, picture, table

import cnet
from cnet import nn, optim, plot

args = arguments(__doc__)
data = mnist(args.full, args.data, validation=10_000)
EPOCHS = 20 if args.full else 3
BATCH = 40

# %% [markdown]
# ## One layer, watched while it trains
# A linear classifier, softmax and cross-entropy. In a notebook or a window the curves are drawn as
# training continues. The learning rate falls along half a cosine: with a fixed one, the last
# weights would be as noisy as the last few batches.


# %%
def perceptron(sizes: tuple[int, ...], activation: type[nn.Module] = nn.Identity) -> nn.Sequential:
    """Dense layers with an activation between any two; outputs are logits, and the loss takes the
    softmax.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1], seed=0)


def train(
    model: nn.Sequential, lr: float, epochs: int, callbacks: tuple = ()
) -> tuple[cnet.Trainer, dict[str, list[float]], float]:
    """The trainer, what it has seen, and the seconds that it took."""
    optimizer = optim.SGD(model.parameters(), lr=lr)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    began = time.perf_counter()
    history = trainer.fit(
        *data.train,
        epochs=epochs,
        batch_size=BATCH,
        seed=0,
        validation_data=data.validation,
        callbacks=[schedule, *callbacks],
        verbose=False,
    )
    return trainer, history, time.perf_counter() - began


recorder = cnet.callbacks.WeightRecorder()
live = plot.LivePlot() if has_matplotlib() else None
linear, history, seconds = train(
    perceptron((784, 10)),
    lr=0.1,
    epochs=EPOCHS,
    callbacks=(recorder, live) if live else (recorder,),
)
if live:
    picture(live.axes[0], "perceptrons-linear.png")

test = linear.evaluate(*data.test)["accuracy"]
table(
    [
        ("notebook, 30 epochs, rate 0.005", "curves only", "", ""),
        (
            f"cnet, {EPOCHS} epochs, rate 0.1 falling",
            percent(history["val_accuracy"][-1]),
            percent(test),
            f"{seconds:.1f} s",
        ),
    ],
    ("784-10", "validation", "test", "time"),
)

# %% [markdown]
# The gap between training and validation is what overfitting takes; one layer has too few weights
# for much of it.

# %%
every = max(1, EPOCHS // 5)
table(
    [
        (
            epoch,
            percent(history["accuracy"][epoch - 1]),
            percent(history["val_accuracy"][epoch - 1]),
            recorder.max_abs["0.weight"][epoch],
        )
        for epoch in range(every, EPOCHS + 1, every)
    ],
    ("epoch", "training", "validation", "largest weight"),
)

# %% [markdown]
# ## Two and three layers, three activations
# The notebook's own deeper networks squeeze each image through ten hidden units (784-10-784-10); a
# hundred take no longer.

# %%
ACTIVATIONS = (nn.Sigmoid, nn.Tanh, nn.ReLU)
NETS = [((784, 100, 10), activation) for activation in ACTIVATIONS] + [
    ((784, 100, 100, 10), activation) for activation in ACTIVATIONS
]
rows = [
    (
        "784-10",
        "none",
        percent(history["accuracy"][-1]),
        percent(history["val_accuracy"][-1]),
        percent(test),
        max(recorder.max_abs["0.weight"]),
    )
]
accuracy = {}
for sizes, activation in [*NETS, ((784, 10, 784, 10), nn.Tanh), ((784, 100, 100, 10), nn.Identity)]:
    recorder = cnet.callbacks.WeightRecorder()
    trainer, seen, _ = train(
        perceptron(sizes, activation), lr=0.1, epochs=EPOCHS, callbacks=(recorder,)
    )
    accuracy[sizes, activation] = trainer.evaluate(*data.test)["accuracy"]
    rows.append(
        (
            "-".join(map(str, sizes)),
            activation.__name__ if activation is not nn.Identity else "none",
            percent(seen["accuracy"][-1]),
            percent(seen["val_accuracy"][-1]),
            percent(accuracy[sizes, activation]),
            max(max(values) for values in recorder.max_abs.values()),
        )
    )
table(rows, ("net", "activation", "training", "validation", "test", "largest weight"))
if has_matplotlib():
    picture(plot.max_weights(recorder), "perceptrons-weights.png")

# %% [markdown]
# ## What goes wrong as depth grows
# Backwards through a layer, the gradient is multiplied by the activation's derivative: at most 1/4
# for a sigmoid, so that the first of many layers hardly learns. Below, the size of the gradient
# that reaches each layer's weights in the first batch, as a multiple of that at the last layer, and
# the accuracy after training.


# %%
def gradients(model: nn.Sequential) -> list[float]:
    """Root mean squares of the gradient of each layer's weights, for one batch, manually: forward,
    loss, backward.
    """
    criterion = nn.CrossEntropyLoss()
    criterion.forward(model.forward(data.train.x[:500], training=True), data.train.y[:500])
    model.backward(criterion.backward())
    return [
        float(np.sqrt(np.mean(parameter.grad**2)))
        for name, parameter in model.named_parameters()
        if name.endswith("weight")
    ]


rows = []
for hidden in (2, 5):
    for activation in ACTIVATIONS:
        sizes = (784, *[100] * hidden, 10)
        second = gradients(perceptron(sizes, activation))[
            1:
        ]  # the first layer's depends on the pixels as well
        if (sizes, activation) not in accuracy:
            accuracy[sizes, activation] = train(
                perceptron(sizes, activation), lr=0.1, epochs=EPOCHS
            )[0].evaluate(*data.test)["accuracy"]
        rows.append(
            (
                hidden + 1,
                activation.__name__,
                f"{second[0] / second[-1]:.4f}",
                percent(accuracy[sizes, activation]),
            )
        )
table(rows, ("layers", "activation", "gradient, second / last layer", "test"))

# %% [markdown]
# ## The notebook's questions, answered

# %%
two, three = (
    [accuracy[sizes, activation] for activation in ACTIVATIONS]
    for sizes in ((784, 100, 10), (784, 100, 100, 10))
)
deep = [accuracy[(784, *[100] * 5, 10), activation] for activation in ACTIVATIONS]
answers = [
    (
        "Does the activation matter? Best and worst of two layers",
        percent(max(two)),
        percent(min(two)),
    ),
    ("... of three layers", percent(max(three)), percent(min(three))),
    ("... of six layers", percent(max(deep)), percent(min(deep))),
    (
        "... three layers with the best one, and with none at all",
        percent(max(three)),
        percent(accuracy[(784, 100, 100, 10), nn.Identity]),
    ),
    ("Are more layers needed? Best of two layers, and one layer", percent(max(two)), percent(test)),
    ("... best of three layers, and best of two", percent(max(three)), percent(max(two))),
    (
        "Is a narrow layer in the way? 100 wide and 10 wide, Tanh",
        percent(three[1]),
        percent(accuracy[(784, 10, 784, 10), nn.Tanh]),
    ),
]
table(answers, ("question", "test", "test"))
