"""784-50-50-10 on random batches of 1,000: from the textbook's loop to a schedule, dropout and
augmentation.

Run it with ``python examples/random_batches.py``, ``--full`` for all of MNIST, or open it as a
notebook.
"""

# %%
import time

from _common import arguments, has_matplotlib, mnist, percent, picture, table

import cnet
from cnet import nn, optim, plot

args = arguments(__doc__)
data = mnist(args.full, args.data, validation=5000, one_hot=True)
STEPS = 10_000 if args.full else 100
BATCH = 1000 if args.full else 100
STEPS_PER_EPOCH = -(-len(data.train.x) // BATCH)
EPOCHS = (
    STEPS // STEPS_PER_EPOCH
)  # whole ones, so that there are never more steps than the notebook's

# %% [markdown]
# Labels are one-hot rows here, and the loss takes them as it takes class numbers. Batches are drawn
# without replacement, all of the data once an epoch: with `numpy.random.choice` a third of the
# images is missed each time round.

# %%
print(
    f"labels: {data.train.y.dtype} {data.train.y.shape}, the first: {data.train.y[0].astype(int)}\n"
)


def net(init: nn.init.Initializer | None, dropout: float = 0.0) -> nn.Sequential:
    """784-50-50-10 with ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((784, 50), (50, 50)):
        layers += [nn.Linear(inputs, outputs, weight_init=init), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(50, 10, weight_init=init), seed=0)


def train(
    name: str,
    model: nn.Sequential,
    optimizer: optim.Optimizer,
    schedule: optim.lr_scheduler.LRScheduler | None = None,
    **options,
):
    """A row of the table below, and the history: loss and accuracies of each epoch."""
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    callbacks = [] if schedule is None else [schedule]
    began = time.perf_counter()
    history = trainer.fit(
        *data.train,
        epochs=EPOCHS,
        batch_size=BATCH,
        seed=0,
        validation_data=data.validation,
        callbacks=callbacks,
        verbose=False,
        **options,
    )
    seconds = time.perf_counter() - began
    figures = (
        history["accuracy"][-1],
        history["val_accuracy"][-1],
        trainer.evaluate(*data.test)["accuracy"],
    )
    return (name, f"{trainer.global_step:,}", *map(percent, figures), f"{seconds:.0f} s"), history


# %% [markdown]
# ## The notebook's own recipe
# Weights from a normal distribution of standard deviation 0.01, plain gradient descent with rate
# 0.1. It stands still for the first hundreds of steps: signals as small as these weights make small
# gradients.

# %%
model = net(nn.init.Normal(0.01))
plain, history = train("the same recipe", model, optim.SGD(model.parameters(), lr=0.1))
NOTEBOOK = {
    0: 0.11360,
    500: 0.41640,
    1000: 0.89500,
    2000: 0.94600,
    5000: 0.96940,
}  # validation accuracy that it prints
epochs = [max(1, min(EPOCHS, round(step / STEPS_PER_EPOCH))) for step in NOTEBOOK if step <= STEPS]
rows = [
    (
        f"{epoch * STEPS_PER_EPOCH:,}",
        history["loss"][epoch - 1],
        percent(history["val_accuracy"][epoch - 1]),
        f"{percent(figure)} at {step:,}",
    )
    for epoch, (step, figure) in zip(epochs, NOTEBOOK.items(), strict=False)
]
table(rows, ("steps", "loss", "validation", "notebook's validation"))

# %% [markdown]
# ## Better
# He's initialization has learned in the first epoch what took a thousand steps. Then the network
# overfits: training accuracy goes to 100 % and validation stays. A rate that rises and falls helps,
# and variations of the images help more.

# %%
model = net(None)
he, _ = train("He's initialization", model, optim.SGD(model.parameters(), lr=0.1))
model = net(None)
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=2e-4)
one_cycle, cycle_history = train(
    "+ momentum, weight decay, OneCycleLR",
    model,
    optimizer,
    optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=EPOCHS * STEPS_PER_EPOCH),
)
model = net(None, dropout=0.1)
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=2e-5)
dropout, _ = train(
    "+ dropout 0.1",
    model,
    optimizer,
    optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=EPOCHS * STEPS_PER_EPOCH),
)
table(
    [("notebook", "10,000", "", "", "96.69 %", ""), plain, he, one_cycle, dropout],
    ("784-50-50-10", "steps", "training", "validation", "test", "time"),
)
if has_matplotlib():
    picture(plot.history(cycle_history)[0], "random_batches.png")
