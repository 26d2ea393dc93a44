"""Checkpoints: training continues with bitwise identical results, in another process too, and files
that are none change nothing.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import cnet
from cnet import nn, optim
from cnet.augment import Augment
from cnet.callbacks import ModelCheckpoint
from cnet.optim import lr_scheduler

OPTIMIZERS = {
    "sgd": lambda model: optim.SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.05}, {"params": model[-1].parameters()}],
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.01,
    ),
    **{
        name: lambda model, name=name: getattr(optim, name)(model.parameters(), lr=0.01)
        for name in ("Adam", "AdamW", "NAdam", "RMSprop")
        if hasattr(optim, name)
    },
}


def make(optimizer="momentum", seed=0, dtype="float32", width=8):
    extra = [
        getattr(nn, name)(*arguments)
        for name, arguments in (("BatchNorm1d", (width,)), ("Dropout", (0.2,)))
        if hasattr(nn, name)
    ]
    model = nn.Sequential(
        nn.Linear(5, width), *extra, nn.Tanh(), nn.Linear(width, 3), seed=seed, dtype=dtype
    )
    return cnet.Trainer(model, nn.CrossEntropyLoss(), OPTIMIZERS[optimizer](model))


def fit(trainer, epochs, seed=None, **arguments):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 5)), rng.integers(0, 3, 50)
    return trainer.fit(
        x,
        y,
        epochs=epochs,
        batch_size=8,
        seed=seed,
        validation_data=(x, y),
        verbose=False,
        **arguments,
    )


def slow_down(trainer):
    for group in trainer.optimizer.param_groups:
        group["lr"] *= 0.25


def assert_same(a, b):
    for (name, x), y in zip(
        a.model.state_dict().items(), b.model.state_dict().values(), strict=True
    ):
        np.testing.assert_array_equal(x, y, err_msg=name)
    assert (a.epoch, a.global_step, a.seed) == (b.epoch, b.global_step, b.seed)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


# Going on


@pytest.mark.parametrize("slower", [False, True])
@pytest.mark.parametrize("seed", [7, None])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ten_epochs_are_five_and_five(optimizer, seed, slower, dtype, path):
    whole, first, second = (
        make(optimizer, dtype=dtype),
        make(optimizer, dtype=dtype),
        make(optimizer, seed=1, dtype=dtype),
    )
    history = fit(first, 5, seed)
    first.save_checkpoint(path)
    assert fit(whole, 5, first.seed) == history
    second.load_checkpoint(path)
    assert second.history == history
    assert (second.epoch, second.global_step) == (5, 35)
    if slower:
        slow_down(whole)
        slow_down(second)
    assert fit(whole, 5, first.seed) == fit(second, 5)
    assert_same(whole, second)


SCHEDULES = {
    "step": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "exponential per batch": lambda o: lr_scheduler.ExponentialLR(o, 0.97, per_batch=True),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
    "linear": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=40),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(
        o, "max", factor=0.7, patience=1, cooldown=1, monitor="loss"
    ),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, total_iters=9), lr_scheduler.OneCycleLR(o, 0.1, 40)],
        [10],
        per_batch=True,
    ),
}


def scheduled(schedule, optimizer, epochs, load=None, early=True, **arguments):
    """A trainer after some epochs with dropout, augmentation and a schedule, which is constructed
    before or after a checkpoint is loaded.
    """
    trainer = make(optimizer)
    scheduler = SCHEDULES[schedule](trainer.optimizer) if early else None
    if load:
        trainer.load_checkpoint(load)
    scheduler = scheduler or SCHEDULES[schedule](trainer.optimizer)
    saving = [ModelCheckpoint(arguments.pop("save"))] if "save" in arguments else []
    augment = Augment(shift=1, noise=0.1, flip=True, shape=(1, 5), standardize=True, seed=4)
    fit(trainer, epochs, augment=augment, callbacks=[scheduler, *saving], **arguments)
    return trainer


def rates(trainer):
    return [
        {name: value for name, value in group.items() if name != "params"}
        for group in trainer.optimizer.param_groups
    ]


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("optimizer", ["momentum", "Adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_go_on(schedule, optimizer, early, tmp_path):
    whole = scheduled(schedule, optimizer, 7, seed=2, save=tmp_path / "{epoch}")
    for epoch in (1, 3, 4):
        second = scheduled(schedule, optimizer, 7 - epoch, load=tmp_path / str(epoch), early=early)
        assert_same(whole, second)
        assert rates(whole) == rates(second)


def test_schedules_go_on_in_a_new_process(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from test_checkpoint import SCHEDULES, scheduled
for schedule in SCHEDULES:
    trainer = scheduled(schedule, "Adam", 4, load={str(tmp_path)!r} + "/" + schedule + "3")
    trainer.save_checkpoint({str(tmp_path)!r} + "/" + schedule)
"""
    whole = {
        schedule: scheduled(schedule, "Adam", 7, seed=2, save=f"{tmp_path}/{schedule}{{epoch}}")
        for schedule in SCHEDULES
    }
    subprocess.run([sys.executable, "-c", code], timeout=120, check=True)
    for schedule, trainer in whole.items():
        second = make("Adam")
        second.load_checkpoint(tmp_path / schedule)
        assert_same(trainer, second)
        assert rates(trainer) == rates(second)


def test_another_schedule_begins_anew(path):
    first = scheduled("step", "sgd", 3, save=path)
    second = make("sgd")
    second.load_checkpoint(path)
    second.save_checkpoint(path)  # what is waiting for a `fit` is kept
    other = lr_scheduler.ExponentialLR(second.optimizer, 0.5)
    fit(second, 1, callbacks=[other])
    assert other.last_epoch == 1
    third = make("sgd")
    third.load_checkpoint(path)
    same = lr_scheduler.StepLR(third.optimizer, 2, 0.5)
    fit(third, 1, callbacks=[same])
    assert same.last_epoch == 4
    fresh = lr_scheduler.StepLR(third.optimizer, 2, 0.5)
    fit(third, 1, callbacks=[fresh])
    assert fresh.last_epoch == 1
    assert first.optimizer.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.update(schedulers=3), "it has no list of schedulers"),
        (lambda state: state.update(schedulers=[["StepLR"]]), "it has no list of schedulers"),
        (lambda state: state.update(schedulers=[[3, {}]]), "it has no list of schedulers"),
    ],
)
def test_schedules_that_do_not_fit(change, problem, path):
    saved(path)
    rewrite(path, change)
    assert_rejected(path, problem)


@pytest.mark.parametrize(
    "change",
    [
        {"last_epoch": -1},
        {"last_epoch": 2.5},
        {"last_epoch": 2**63},
        {"base_lrs": ["x"]},
        {"base_lrs": [None]},
        pytest.param({"base_lrs": [10**400]}, id="{'base_lrs': [10**400]}"),
        {"base_lrs": [float("nan")]},
        {"_last_lr": [float("inf")]},
        {"base_lrs": [0.1, 0.1]},
        {"gamma": -1},
        {"__class__": 1},
    ],
    ids=str,
)
def test_states_of_schedules_that_do_not_fit(change, path):
    trainer = make("sgd")
    state = lr_scheduler.StepLR(trainer.optimizer, 2).state_dict()
    trainer.save_checkpoint(path)
    for wrong in ({}, [], {**state, **change}):
        rewrite(path, lambda numbers, wrong=wrong: numbers.update(schedulers=[["StepLR", wrong]]))
        assert_rejected(
            path,
            "it has no list of schedulers" if wrong == [] else "this is no state of such a StepLR",
            optimizer="sgd",
        )
    rewrite(path, lambda numbers: numbers.update(schedulers=[["Step", state]]))
    assert_rejected(
        path, "this is no state of such a Step: there is no such scheduler", optimizer="sgd"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("initial_lr", "x"),
        ("initial_lr", [[]]),
        ("initial_lr", -1),
        ("lr", None),
        ("lr", -0.1),
        ("name", 3),
    ],
)
def test_settings_of_groups_that_do_not_fit(name, value, path):
    trainer = make("sgd")
    trainer.optimizer.param_groups[0].update(initial_lr=0.1, name="all")
    trainer.save_checkpoint(path)
    rewrite(path, lambda numbers: numbers["groups"][0].update({name: value}))
    other = make("sgd")
    other.optimizer.param_groups[0]["name"] = "all"
    with pytest.raises(ValueError, match=f"{name}"):
        other.load_checkpoint(path)
    assert other.optimizer.param_groups[0]["lr"] == 0.1


def test_a_checkpoint_without_schedules_is_read(path):
    saved(path)
    rewrite(path, lambda state: state.pop("schedulers"))
    trainer = make()
    trainer.load_checkpoint(path)
    fit(trainer, 1)


def test_dropout_goes_on_where_it_was(path):
    trainer = saved(path)
    (layer,) = (module for module in trainer.model.modules() if isinstance(module, nn.Dropout))
    assert layer.step == 7
    other = make(seed=5)
    other.load_checkpoint(path)
    (twin,) = (module for module in other.model.modules() if isinstance(module, nn.Dropout))
    assert (twin.key, twin.step) == (layer.key, layer.step)
    x = np.ones((8, 8), np.float32)
    np.testing.assert_array_equal(layer.forward(x, training=True), twin.forward(x, training=True))


def test_in_a_new_process(path):
    code = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from test_checkpoint import fit, make, slow_down
trainer = make()
if sys.argv[1] == "continue":
    trainer.load_checkpoint({str(path)!r})
    slow_down(trainer)
fit(trainer, 5, 3 if sys.argv[1] == "begin" else None)
trainer.save_checkpoint({str(path)!r})
"""
    for part in ("begin", "continue"):
        subprocess.run([sys.executable, "-c", code, part], timeout=120, check=True)
    whole, second = make(), make()
    fit(whole, 5, 3)
    slow_down(whole)
    fit(whole, 5, 3)
    second.load_checkpoint(path)
    assert_same(whole, second)


def test_the_seed_given_to_fit_wins(path):
    a, b = make(), make()
    fit(a, 1, 3)
    a.save_checkpoint(path)
    b.load_checkpoint(path)
    fit(a, 1, 4)
    fit(b, 1, 4)
    assert_same(a, b)


def test_a_checkpoint_within_fit_is_as_one_after_it(tmp_path):
    """Of ten epochs, the fifth; and from there to the tenth."""
    whole, second = make(), make()
    history = fit(whole, 10, 0, callbacks=[ModelCheckpoint(tmp_path / "{epoch:02d}")])
    assert sorted(os.listdir(tmp_path)) == [f"{epoch:02d}" for epoch in range(1, 11)]
    second.load_checkpoint(tmp_path / "05")
    for name, values in fit(second, 5).items():
        assert values == history[name][5:]
    assert_same(whole, second)


def test_same_state_same_file(tmp_path):
    trainer = make()
    fit(trainer, 1, 0)
    trainer.save_checkpoint(tmp_path / "a")
    trainer.save_checkpoint(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ModelCheckpoint


def test_only_the_best(tmp_path):
    class Values(nn.MSELoss):
        def forward(self, output, target):
            self.rows = np.asarray(output)
            return next(values)

        def backward(self):
            return np.zeros_like(self.rows)

        forward_backward = nn.Loss.forward_backward

    values = iter([3.0, 4.0, 2.0, 2.0, 1.0])
    model = nn.Sequential(nn.Linear(1, 1), seed=0)
    trainer = cnet.Trainer(model, Values(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(
        [[1.0]],
        [0.0],
        epochs=5,
        callbacks=[ModelCheckpoint(tmp_path / "{epoch}-{loss:.0f}", "loss", save_best_only=True)],
        verbose=False,
    )
    assert sorted(os.listdir(tmp_path)) == ["1-3", "3-2", "5-1"]


def test_weights_only(path):
    trainer = make()
    fit(trainer, 1, callbacks=[ModelCheckpoint(path, save_weights_only=True)])
    np.testing.assert_array_equal(cnet.load(path)[0].weight.data, trainer.model[0].weight.data)
    with pytest.raises(ValueError, match=r"it holds a model: read it with cnet\.load"):
        trainer.load_checkpoint(path)


def test_names_that_are_not_there(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"filepath is .*, but the metrics of an epoch are "
        r"epoch, loss, accuracy, val_loss, val_accuracy",
    ):
        fit(make(), 1, callbacks=[ModelCheckpoint(tmp_path / "{f1}")])
    with pytest.raises(ValueError, match="monitor is 'f1'"):
        fit(make(), 1, callbacks=[ModelCheckpoint(tmp_path / "a", "f1", save_best_only=True)])


# What is no checkpoint of such a trainer


def saved(path, **arguments):
    trainer = make(**arguments)
    fit(trainer, 1, 0)
    trainer.save_checkpoint(path)
    return trainer


def assert_rejected(path, problem, **arguments):
    """With one clear error, and nothing changed."""
    trainer, same = make(seed=5, **arguments), make(seed=5, **arguments)
    with pytest.raises(ValueError, match=problem) as caught:
        trainer.load_checkpoint(path)
    assert str(caught.value).startswith(f"{path} cannot be read as a checkpoint: ")
    assert_same(trainer, same)
    assert not trainer.optimizer._copy_state()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [
        group["lr"] for group in same.optimizer.param_groups
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"width": 9}, "tensor model.0.weight has shape .*: it is of another model"),
        ({"dtype": "float64"}, "is of float32, but the model of float64"),
        ({"optimizer": "sgd"}, "other groups of parameters"),
    ],
)
def test_another_trainer(arguments, problem, path):
    saved(path)
    assert_rejected(path, problem, **arguments)


def test_another_optimizer(path):
    class Mine(optim.SGD):
        pass

    trainer = saved(path)
    trainer.optimizer = Mine(trainer.model.parameters())
    with pytest.raises(ValueError, match="its optimizer is SGD, this trainer's Mine"):
        trainer.load_checkpoint(path)


def test_a_state_that_is_no_array(path):
    trainer = saved(path)
    trainer.optimizer._copy_state = lambda: {trainer.model[0].weight: "secret"}
    with pytest.raises(TypeError, match="keeps a str for Parameter"):
        trainer.save_checkpoint(path)


def test_files_that_are_none(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        make().load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        make().load_checkpoint(tmp_path)
    save_file({"a": np.zeros(3)}, path)
    assert_rejected(path, "tensors, but no checkpoint of cnet")
    path.write_bytes(b"\x80\x04N.")  # a pickle
    assert_rejected(path, "cannot be read")
    saved(path)
    with pytest.raises(
        ValueError, match=r"it is a checkpoint: read it with Trainer\.load_checkpoint"
    ):
        cnet.load(path)


def rewrite(path, change=lambda state: None, drop=(), extra=(), **metadata):
    with safe_open(path, framework="numpy") as file:
        written = file.metadata()
    state = json.loads(written["state"])
    change(state)
    tensors = {name: values for name, values in load_file(path).items() if name not in drop}
    save_file({**tensors, **dict(extra)}, path, {**written, "state": json.dumps(state), **metadata})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("epoch"), "incomplete"),
        (
            lambda state: state.update(epoch="5"),
            "its epoch is '5', expected a whole number of at least 0",
        ),
        (
            lambda state: state.update(step=-1),
            "its step is -1, expected a whole number of at least 0",
        ),
        (
            lambda state: state.update(seed=[1, -1]),
            "its seed is .*, expected a whole number of at least 0",
        ),
        (lambda state: state.update(seed="x"), "its seed is 'x', expected"),
        (lambda state: state["history"].update(loss=["x"]), "history"),
        (lambda state: state["history"].update(loss=3), "history"),
        (lambda state: state["groups"].pop(), "groups of parameters"),
        (lambda state: state.update(groups=[3, 4]), "groups of parameters"),
        (lambda state: state["groups"][0].update(lr=-1), "lr is -1"),
        (lambda state: state["groups"][0].update(lr="1"), "lr is '1'"),
        (lambda state: state["groups"][0].update(momentum=[1]), "momentum is"),
        (lambda state: state["groups"][0].pop("lr"), "groups of parameters"),
        (lambda state: state["groups"][0].update(size=1), "groups of parameters"),
        (
            lambda state: state["steps"].pop("0.weight"),
            "nothing in this trainer takes its optimizer.0.weight",
        ),
        (
            lambda state: state["steps"].update({"0.weight": "x"}),
            "tensor optimizer.0.weight has shape|does not know",
        ),
        (lambda state: state.update(random=None), "random numbers"),
        (lambda state: state.update(random=[[1, 2]] * 9), "random numbers"),
    ],
)
def test_numbers_that_do_not_fit(change, problem, path):
    saved(path)
    rewrite(path, change)
    assert_rejected(path, problem)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"drop": ["model.0.bias"]}, "it has no tensor model.0.bias"),
        ({"drop": ["optimizer.0.bias"]}, "it has no tensor optimizer.0.bias"),
        ({"extra": {"more": np.zeros(3)}}, "nothing in this trainer takes its more"),
        ({"extra": {"model.0.bias": np.zeros((8, 1), np.float32)}}, "has shape"),
        ({"cnet_checkpoint": "99"}, "it is in format 99 of cnet"),
        ({"state": "["}, "Expecting value"),
        ({"state": "[" * 100_000}, "recursion"),
        ({"state": "3"}, "incomplete"),
    ],
)
def test_tensors_and_formats_that_do_not_fit(arguments, problem, path):
    saved(path)
    rewrite(path, **arguments)
    assert_rejected(path, problem)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_files_give_one_error_or_none(data, tmp_path):
    path = tmp_path / "checkpoint"
    if not path.exists():
        saved(path)
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(
        content[:where]
        if data.draw(st.booleans())
        else content[:where] + bytes([data.draw(st.integers(0, 255))]) + content[where + 1 :]
    )
    trainer = make()
    with contextlib.suppress(ValueError):
        trainer.load_checkpoint(damaged)


def test_a_crash_while_writing_leaves_the_old_file(path, monkeypatch):
    trainer = saved(path)
    before = path.read_bytes()
    fit(trainer, 1)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
