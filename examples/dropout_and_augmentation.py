"""784-100-200-200-10: a learning rate for each layer, initial weights, dropout at several levels,
and augmentation.

Run it with ``python examples/dropout_and_augmentation.py``, ``--full`` for all of MNIST, or open it
as a notebook.
"""

# %%
import time

from _common import arguments, has_matplotlib, mnist, percent, picture, table

import cnet
from cnet import metrics, nn, optim, plot
from cnet.augment import Augment

args = arguments(__doc__)
data = mnist(args.full, args.data, validation=10_000)
SHORT, LONG = (5, 40) if args.full else (2, 3)
BATCH = 32

# %% [markdown]
# ## The network, with a learning rate for each layer
# Groups of parameters have their own options: here the notebook's rates, twice as high for the
# second layer as for the others.


# %%
def net(init: nn.init.Initializer | None = None, dropout: float = 0.0) -> nn.Sequential:
    """ReLU behind each hidden layer, and dropout behind that."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((784, 100), (100, 200), (200, 200)):
        layers += [nn.Linear(inputs, outputs, weight_init=init), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(200, 10, weight_init=init), seed=0)


def groups(model: nn.Sequential, lr: float) -> list[dict]:
    """Parameters with learning rates of 1, 2, 1 and 1 times `lr`."""
    dense = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return [
        {"params": layer.parameters(), "lr": factor * lr}
        for layer, factor in zip(dense, (1, 2, 1, 1), strict=True)
    ]


def train(
    model: nn.Sequential,
    optimizer: optim.Optimizer,
    epochs: int,
    batch_size: int = BATCH,
    **options,
) -> tuple[cnet.Trainer, dict, float]:
    """The trainer, what it has seen, and the seconds of an epoch."""
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    began = time.perf_counter()
    history = trainer.fit(
        *data.train,
        epochs=epochs,
        batch_size=batch_size,
        seed=0,
        validation_data=data.validation,
        verbose=False,
        **options,
    )
    return trainer, history, (time.perf_counter() - began) / epochs


def row(name: str, model: nn.Sequential, lr: float = 0.1, **options) -> tuple[str, ...]:
    """What a few epochs of plain gradient descent with these rates come to."""
    _, history, seconds = train(model, optim.SGD(groups(model, lr)), SHORT, **options)
    return (
        name,
        *(
            percent(history[key][i])
            for key, i in (("val_accuracy", 0), ("accuracy", -1), ("val_accuracy", -1))
        ),
        f"{seconds:.2f} s",
    )


COLUMNS = ("first epoch", "training", "validation", "an epoch")

# %% [markdown]
# ## Initial weights
# The notebook's weights are so small that signals, and gradients with them, vanish on the way
# through four layers: it stands still in its first epoch. `He` keeps the size of signals through
# ReLU, and is what cnet takes by itself here.

# %%
NOTEBOOK = ("notebook, 0.01 * randn", "10.64 %", "84.44 %", "85.88 %", "4.5 s")
INITS = {
    "Normal(0.01)": nn.init.Normal(0.01),
    "Normal(0.1)": nn.init.Normal(0.1),
    "Xavier": nn.init.Xavier(),
    "He (default)": None,
}
table([NOTEBOOK, *(row(name, net(init)) for name, init in INITS.items())], ("weights", *COLUMNS))

# %% [markdown]
# ## Dropout
# Dropout is a cure for overfitting, which a few epochs show little of.

# %%
table([row(str(p), net(dropout=p)) for p in (0.0, 0.1, 0.2, 0.3, 0.5)], ("dropout", *COLUMNS))

# %% [markdown]
# ## Augmentation
# Each epoch shows each image a little different. Training accuracy is that of the varied images.
# Digits are not symmetric: a mirrored 2 is no digit at all, and to learn it costs accuracy. Rates
# are half of those above, as standardized pixels are larger; the notebook's variations need smaller
# ones still, because they bring strokes to where training images are all but black: there, a stroke
# is hundreds of standard deviations from the mean.

# %%
NOTEBOOKS = "rotation 20, flip, standardized (the notebook's)"
VARIATIONS = {
    "none": None,
    "standardized": Augment(standardize=True, seed=0),
    "rotation 10": Augment(rotation=10, seed=0),
    NOTEBOOKS: Augment(rotation=20, flip=True, standardize=True, seed=0),
    "flip": Augment(flip=True, seed=0),
    "shift 1": Augment(shift=1, seed=0),
    "scale 0.1": Augment(scale=0.1, seed=0),
    "elastic (34, 4)": Augment(elastic=(34, 4), seed=0),
    "rotation 10, shift 1, scale 0.1, elastic (34, 4)": Augment(
        rotation=10, shift=1, scale=0.1, elastic=(34, 4), seed=0
    ),
}
table(
    [
        row(name, net(), lr=0.01 if name == NOTEBOOKS else 0.05, augment=augment)
        for name, augment in VARIATIONS.items()
    ],
    ("variation", *COLUMNS),
)

# %% [markdown]
# ## All of it, for longer
# With augmentation the network sees no image twice and continues learning. Momentum, and each
# layer's rate falling along half a cosine.

# %%
rows = [("notebook, 5 epochs", "84.44 %", "85.88 %", "85.37 %", "23 s")]
for name, dropout, augment in (
    ("no augmentation, dropout 0.2", 0.2, None),
    ("augmentation", 0.0, VARIATIONS[[*VARIATIONS][-1]]),
):
    model = net(dropout=dropout)
    optimizer = optim.SGD(groups(model, 0.03), momentum=0.9, nesterov=True, weight_decay=1e-5)
    epochs = LONG if augment else max(2, LONG // 2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    trainer, history, seconds = train(
        model, optimizer, epochs, batch_size=64, augment=augment, callbacks=[schedule]
    )
    figures = (
        history["accuracy"][-1],
        history["val_accuracy"][-1],
        trainer.evaluate(*data.test)["accuracy"],
    )
    rows.append((f"{name}, {epochs} epochs", *map(percent, figures), f"{epochs * seconds:.0f} s"))
table(rows, ("784-100-200-200-10", "training", "validation", "test", "time"))

# %% [markdown]
# ## Confusion matrix
# A row for each digit, a column for what it was taken for.

# %%
predicted = model(data.test.x).argmax(axis=1)
confusion = metrics.confusion_matrix(data.test.y, predicted, 10)
table(
    [(str(digit), *map(int, counts)) for digit, counts in enumerate(confusion)],
    ("test", *map(str, range(10))),
)
if has_matplotlib():
    picture(plot.confusion_matrix(data.test.y, predicted), "dropout_and_augmentation-confusion.png")
    picture(
        plot.mistakes(model, *data.test, n=15, columns=5).flat[0],
        "dropout_and_augmentation-mistakes.png",
    )
