"""The notebook's convolutional network, and then augmentation and a schedule.

Two convolutions of 3 x 3 with 32 and 64 channels, each followed by ReLU and max pooling; 128 units,
dropout of one half, ten outputs; SGD with Nesterov's momentum and batches of 32. The notebook
reached 99.03 % of the test images.

Run it with ``python examples/cnn.py``, ``--full`` for all of MNIST, or open it as a notebook.
"""

# %%
import time

from _common import arguments, mnist, percent, table

import cnet
from cnet import nn, optim
from cnet.augment import Augment

args = arguments(__doc__)


def net(*activation: nn.Module) -> nn.Sequential:
    """The network; the notebook has no activation behind its 128 units."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), *activation, nn.Dropout(0.5), nn.Linear(128, 10)),
        seed=0,
    )


net().summary((1, 28, 28))

# %% [markdown]
# The notebook's ten epochs on the first 54,000 images; the last 6,000 validate.
#
# The rate goes up and down once in these ten epochs (`OneCycleLR`), where the notebook's stays what
# it is; weights decay a little.

# %%
data = mnist(args.full, args.data, validation=6000, flatten=False)
epochs = 10 if args.full else 1
model = net()
optimizer = optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=5e-4)
trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
start = time.perf_counter()
history = trainer.fit(
    *data.train,
    epochs=epochs,
    batch_size=32,
    seed=0,
    validation_data=data.validation,
    callbacks=[optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.03)],
    verbose=args.full,
)
seconds = time.perf_counter() - start
plain = trainer.evaluate(*data.test)["accuracy"]

# %%
accuracies = [
    0.983122,
    0.988302,
    0.986798,
    0.988302,
    0.989639,
    0.989138,
    0.988803,
    0.990976,
    0.990809,
    0.991477,
]
losses = [
    0.244268,
    0.078232,
    0.057196,
    0.044947,
    0.039600,
    0.033319,
    0.028438,
    0.024920,
    0.022843,
    0.020617,
]
rows = [
    (epoch, f"{printed[0]:.4f}", f"{loss:.4f}", percent(printed[1]), percent(accuracy))
    for epoch, *printed, loss, accuracy in zip(
        range(1, epochs + 1),
        losses,
        accuracies,
        history["loss"],
        history["val_accuracy"],
        strict=False,
    )
]
table(rows, ("epoch", "loss: notebook", "cnet", "val. accuracy: notebook", "cnet"))
steps = epochs * -(-len(data.train.x) // 32)
print(f"{steps / seconds:.0f} steps/s, with validation (the notebook: 107 in training)")

# %% [markdown]
# More from the same layers: every image is shown a little different in each epoch, so that many
# epochs do not learn them by heart.
#
# All 60,000 images are used: nothing is chosen by validation. An activation behind the 128 units
# makes them worth having (without one, they and the last layer are together one linear layer), and
# batches of 64 suit the higher rate.

# %%
data = mnist(args.full, args.data, validation=0, flatten=False)
epochs = 40 if args.full else 1
model = net(nn.ReLU())
optimizer = optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=1e-4)
trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
start = time.perf_counter()
trainer.fit(
    *data.train,
    epochs=epochs,
    batch_size=64,
    seed=0,
    augment=Augment(shift=2, rotation=10, scale=0.1, elastic=(16, 4), seed=0),
    callbacks=[optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05)],
    verbose=args.full,
)
seconds_augmented = time.perf_counter() - start
augmented = trainer.evaluate(*data.test)["accuracy"]

# %%
rows = [
    ("the notebook", 10, "158", "99.03 %"),
    ("the same network, one cycle", len(history["loss"]), f"{seconds:.0f}", percent(plain)),
    (
        "with ReLU and augmentation, one cycle",
        epochs,
        f"{seconds_augmented:.0f}",
        percent(augmented),
    ),
]
table(rows, ("", "epochs", "seconds", "test accuracy"))

# %% [markdown]
# The test images that it is most wrong about. Some have no right answer.

# %%
outputs = model(data.test.x)
wrong = (outputs.argmax(axis=1) != data.test.y).nonzero()[0]
margin = outputs[wrong].max(axis=1) - outputs[wrong, data.test.y[wrong]]
worst = wrong[margin.argsort()[::-1]][:10]
rows = [(str(i), str(outputs[i].argmax()), str(data.test.y[i])) for i in worst]
print(f"{len(wrong)} of {len(outputs):,} test images are read wrongly, among them:")
table(rows, ("test image", "read as", "label"))
