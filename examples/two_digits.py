"""Two overlapping digits in one image, read by one network with two heads.

The notebook only got as far as the question: images of 42 x 28 pixels with a digit above and one
below, batches of 64, 30 epochs, a network that gives ten outputs for each digit. Its class is
empty, and training it fails. Here the images are made of MNIST's, each digit once above and once
below, and two networks classify them: a perceptron and a convolutional network. No digit of a test
image is in a training image.

Run it with ``python examples/two_digits.py``, ``--full`` for all of MNIST, or open it as a
notebook.
"""

# %%
import time

from _common import arguments, mnist, percent, table

import cnet
from cnet import datasets, nn, optim

args = arguments(__doc__)
data = datasets.multi_digit(mnist(args.full, args.data, validation=5000), flatten=False, seed=0)
print(data)

# %% [markdown]
# An image, one character for each pixel: the lower half of the upper digit is where the upper half
# of the lower one is.

# %%
image, labels = data.train.x[0, 0], data.train.y[0]
print("\n".join("".join(" .:*#"[int(4.9 * pixel)] for pixel in row).rstrip() for row in image[::2]))
print(
    f"Above a {labels[0]}, below a {labels[1]}. (Every other row is left out: characters are "
    "tall.)\n"
)


# %% [markdown]
# The networks differ only in the trunk. `Heads` puts a layer for each digit on it, and `HeadsLoss`
# adds up the losses of both.


# %%
def heads(inputs: int) -> nn.Heads:
    """Ten outputs for each digit."""
    return nn.Heads(upper=nn.Linear(inputs, 10), lower=nn.Linear(inputs, 10))


mlp = nn.Sequential(
    nn.Flatten(), nn.Linear(42 * 28, 512), nn.ReLU(), nn.Dropout(0.2), heads(512), seed=0
)
cnn = nn.Sequential(
    *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(64 * 9 * 5, 128), nn.ReLU(), nn.Dropout(0.5)),
    heads(128),
    seed=0,
)


def train(model: nn.Sequential, epochs: int, max_lr: float) -> tuple[int | str, ...]:
    """Epochs, seconds, and the accuracy on each digit of the test images."""
    optimizer = optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=1e-4)
    trainer = cnet.Trainer(model, nn.HeadsLoss(model[-1], nn.CrossEntropyLoss()), optimizer)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=max_lr)
    start = time.perf_counter()
    trainer.fit(
        *data.train,
        epochs=epochs,
        batch_size=64,
        seed=0,
        validation_data=data.validation,
        callbacks=[cycle],
        verbose=args.full,
    )
    seconds = time.perf_counter() - start
    results = trainer.evaluate(*data.test)
    return (
        epochs,
        f"{seconds:.0f}",
        percent(results["accuracy_upper"]),
        percent(results["accuracy_lower"]),
    )


# %%
rows = [
    ("the notebook's perceptron", "", "", "failed", "failed"),
    ("1176-512-10+10", *train(mlp, epochs=10 if args.full else 2, max_lr=0.1)),
    ("convolutional", *train(cnn, epochs=6 if args.full else 1, max_lr=0.05)),
]
table(rows, ("test accuracy", "epochs", "seconds", "upper digit", "lower digit"))

# %% [markdown]
# Both at once: how many images have both digits right, and what the network reads in the first ones
# that it gets wrong.

# %%
x, y = data.test
read = [part.argmax(axis=1) for part in cnn[-1].split(cnn(x))]
right = [guess == wanted for guess, wanted in zip(read, y.T, strict=True)]
print(
    f"Convolutional network: both digits of {percent((right[0] & right[1]).mean())} of the images."
)
for i in (~(right[0] & right[1])).nonzero()[0][:5]:
    print(f"test image {i}: read {read[0][i]} above {read[1][i]}, is {y[i, 0]} above {y[i, 1]}")
