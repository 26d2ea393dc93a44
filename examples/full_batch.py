"""784-10-10-10 by gradient descent on all images at once: from CSV, stopped, and resumed with
another learning rate.

Run it with ``python examples/full_batch.py``, ``--full`` for all of MNIST, or open it as a
notebook.
"""

# %%
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from _common import arguments, has_matplotlib, mnist, percent, picture, table

import cnet
from cnet import datasets, nn, optim, plot

args = arguments(__doc__)
folder = TemporaryDirectory()

# %% [markdown]
# ## Images from CSV
# A label and 784 pixels a line. If the data is not in that form, it is written so first.


# %%
def write_csv(path: Path, parts: list[datasets.Split]) -> None:
    """The rows of some splits, one after the other."""
    with path.open("w") as file:
        for x, y in parts:
            file.writelines(
                f"{label},{','.join(map(str, image.tolist()))}\n"
                for label, image in zip(y, x, strict=True)
            )


csv = Path(args.data or "", "mnist_train.csv")
if not (args.full and csv.is_file()):
    whole = mnist(args.full, args.data, validation=1000, normalize=False)
    csv = Path(folder.name, "mnist_train.csv")
    write_csv(csv, [whole.train, whole.validation])
    write_csv(csv.with_name("mnist_test.csv"), [whole.test])
began = time.perf_counter()
data = datasets.mnist(csv, validation=1000 if args.full else 500)
print(
    f"{csv.name}, {csv.stat().st_size / 1e6:.0f} MB, and the test file beside it, read in "
    f"{time.perf_counter() - began:.1f} s\n{data}\n"
)

# %% [markdown]
# ## Any activation in each layer
# The notebook's derivatives belong to other activations than its layers have; here each layer
# brings its own.

# %%
SHORT, LONG = (500, 9000) if args.full else (30, 120)


def net(first: type[nn.Module], second: type[nn.Module]) -> nn.Sequential:
    """Two hidden layers of ten."""
    return nn.Sequential(
        nn.Linear(784, 10), first(), nn.Linear(10, 10), second(), nn.Linear(10, 10), seed=0
    )


def descend(trainer: cnet.Trainer, steps: int, callbacks: tuple = ()) -> float:
    """Full-batch steps: an epoch is one batch of all rows, whose order does not matter. Returns the
    seconds.
    """
    began = time.perf_counter()
    trainer.fit(
        *data.train,
        epochs=steps,
        batch_size=len(data.train.x),
        shuffle=False,
        callbacks=callbacks,
        verbose=False,
    )
    return time.perf_counter() - began


def new_trainer(model: nn.Sequential, lr: float, momentum: float = 0.0) -> cnet.Trainer:
    """With plain gradient descent, unless there is momentum."""
    return cnet.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=lr, momentum=momentum, nesterov=momentum > 0),
    )


def accuracies(trainer: cnet.Trainer) -> tuple[str, str, str]:
    """Of the images trained on, those held out, and the test set."""
    return tuple(
        percent(trainer.evaluate(*split)["accuracy"])
        for split in (data.train, data.validation, data.test)
    )


rows = []
for pair in (
    (nn.ReLU, nn.ReLU),
    (nn.Sigmoid, nn.ReLU),
    (nn.Sigmoid, nn.Sigmoid),
    (nn.Tanh, nn.Tanh),
    (nn.LeakyReLU, nn.Tanh),
):
    trainer = new_trainer(net(*pair), lr=0.5)
    seconds = descend(trainer, SHORT)
    rows.append(
        (
            " + ".join(activation.__name__ for activation in pair),
            *accuracies(trainer),
            f"{1000 * seconds / SHORT:.1f} ms",
        )
    )
table(
    [("notebook, ReLU + ReLU", "82.3 %", "83.5 %", "", ""), *rows],
    (f"{SHORT} steps", "training", "held out", "test", "a step"),
)

# %% [markdown]
# ## Long training: stop, resume, change the learning rate
# Momentum crosses in few steps the long valleys in which plain descent at its largest stable rate
# creeps. Training stops after two thirds of the steps and writes a checkpoint; a new trainer, in
# another process if you like, continues from it with a smaller rate.

# %%
every = LONG // 18


def progress(trainer: cnet.Trainer, logs: dict[str, float]) -> None:
    """A line every so many steps, as the notebook has it."""
    if trainer.global_step % every == 0:
        print(
            f"step {trainer.global_step:>5,}: loss {logs['loss']:.4f}, training accuracy "
            f"{percent(logs['accuracy'])}"
        )


checkpoint = Path(folder.name, "checkpoint.safetensors")
first = new_trainer(net(nn.Tanh, nn.Tanh), lr=0.1, momentum=0.95)
seconds = descend(first, 2 * LONG // 3, (progress,))
rows = [(f"rate 0.1, to step {first.global_step:,}", *accuracies(first), f"{seconds:.0f} s")]
first.save_checkpoint(checkpoint)

resumed = new_trainer(net(nn.Tanh, nn.Tanh), lr=0.1, momentum=0.95)
resumed.load_checkpoint(checkpoint)
for group in resumed.optimizer.param_groups:
    group["lr"] = 0.02
seconds += descend(resumed, LONG - resumed.global_step, (progress,))
print()
rows.append(
    (
        f"resumed with 0.02, to step {resumed.global_step:,}",
        *accuracies(resumed),
        f"{seconds:.0f} s in all",
    )
)
table(
    [("notebook, ReLU + ReLU, 1 then 0.5, about 9,000 steps", "93.3 %", "92.3 %", "", ""), *rows],
    ("784-10-10-10", "training", "held out", "test", "time"),
)

# %% [markdown]
# ## One image and its prediction

# %%
image, label = data.validation.x[:1], data.validation.y[0]
print(f"prediction: {resumed.model(image).argmax()}, label: {label}\n")
if has_matplotlib():
    x, y = data.validation.x[:10], data.validation.y[:10]
    picture(plot.images(x, y, resumed.model(x).argmax(axis=1), columns=5).flat[0], "full_batch.png")
folder.cleanup()
