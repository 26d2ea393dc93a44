"""The direction of metrics, and the names that a training has."""

import numpy as np
import pytest

import cnet
from cnet import nn, optim
from cnet._utils.metric_modes import mode_of, monitored_mode


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("accuracy", "max"),
        ("val_accuracy", "max"),
        ("accuracy_digit", "max"),
        ("val_accuracy_val_loss", "max"),  # a head may have any name
        ("auc", None),
        ("val_f1", None),
        ("lossless", None),
    ],
)
def test_names_tell_the_direction(name, mode):
    assert mode_of(name) == mode


def test_a_monitored_metric_has_to_be_there():
    modes = {"loss": "min", "accuracy": "max"}
    assert monitored_mode("accuracy", "auto", modes) == "max"
    assert monitored_mode("accuracy", "min", modes) == "min"
    with pytest.raises(
        ValueError,
        match="monitor is 'val_loss', but an epoch ends with loss, accuracy; pass validation_data "
        "to fit",
    ):
        monitored_mode("val_loss", "auto", modes)
    with pytest.raises(
        ValueError,
        match=r"monitor is 'auc', but an epoch ends with loss, accuracy; a callback that adds auc "
        r"to logs has to declare it",
    ):
        monitored_mode("auc", "auto", modes)
    with pytest.raises(ValueError, match="mode is 'biggest', expected 'auto', 'min' or 'max'"):
        monitored_mode("loss", "biggest", modes)


class Counts(nn.Loss):
    def count_correct(self, output, target):
        return 0


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (nn.CrossEntropyLoss(), ["accuracy"]),
        (nn.NLLLoss(), ["accuracy"]),
        (nn.BCEWithLogitsLoss(), ["accuracy"]),
        (nn.MSELoss(), []),
        (nn.Loss(), []),
        (Counts(), ["accuracy"]),
    ],
)
def test_a_loss_knows_its_accuracies(loss, names):
    assert loss._accuracy_names() == names


@pytest.mark.parametrize("validates", [False, True])
def test_the_names_are_known_before_the_first_step(validates):
    heads = nn.Heads(digit=nn.Linear(3, 4), size=nn.Linear(3, 1))
    loss = nn.HeadsLoss(heads, {"digit": nn.CrossEntropyLoss(), "size": nn.MSELoss()})
    model = nn.Sequential(nn.Linear(2, 3), heads, seed=0)
    trainer = cnet.Trainer(model, loss, optim.SGD(model.parameters()))
    x, y = np.ones((8, 2)), {"digit": np.arange(8) % 4, "size": np.ones(8)}
    seen = []

    class Sees(cnet.callbacks.Callback):
        def on_train_begin(self, trainer, epochs, steps):
            seen.append(dict(trainer.metric_modes))

    history = trainer.fit(
        x, y, validation_data=(x, y) if validates else None, callbacks=[Sees()], verbose=False
    )
    expected = {"loss": "min", "accuracy_digit": "max"}
    assert seen == [
        expected | {"val_loss": "min", "val_accuracy_digit": "max"} if validates else expected
    ]
    assert list(history) == list(seen[0])
