"""Training that is cut and resumed is the training that was not: callbacks continue too, in any
order of their list.
"""

import copy
import itertools
import json
import math
import pickle
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import cnet
from cnet import nn, optim
from cnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, WeightRecorder
from cnet.optim import lr_scheduler

EPOCHS = 9


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)


def make(seed=0):
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 3), seed=seed
    )
    return cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.05))


def fit(trainer, callbacks, epochs=EPOCHS, seed=None, **arguments):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)
    return trainer.fit(
        x[:30],
        y[:30],
        epochs=epochs,
        batch_size=8,
        seed=seed,
        validation_data=(x[30:], y[30:]),
        callbacks=callbacks,
        verbose=False,
        **arguments,
    )


class Score(Callback):
    """A metric of one's own, with a state: a running mean."""

    metrics = {"val_score": "max"}  # noqa: RUF012 - as users write it

    def on_train_begin(self, trainer, epochs, steps):
        self.mean = 0.0

    def on_epoch_end(self, trainer, logs):
        self.mean = 0.5 * self.mean + logs["val_accuracy"]
        logs["val_score"] = self.mean + 0.01 * trainer.epoch

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


class Slower(Callback):
    """Changes the training and keeps no state."""

    def on_epoch_end(self, trainer, logs):
        for group in trainer.optimizer.param_groups:
            group["lr"] *= 0.9


def slower(trainer, logs):
    Slower().on_epoch_end(trainer, logs)


KINDS = {
    "stop": lambda trainer, folder: EarlyStopping(patience=2, restore_best_weights=True),
    "stop by accuracy": lambda trainer, folder: EarlyStopping(
        "val_accuracy", 0.01, 3, baseline=0.5, start_from_epoch=1
    ),
    "best": lambda trainer, folder: ModelCheckpoint(folder / "best", save_best_only=True),
    "all": lambda trainer, folder: ModelCheckpoint(folder / "{epoch}"),
    "csv": lambda trainer, folder: CSVLogger(folder / "log.csv"),
    "step": lambda trainer, folder: lr_scheduler.StepLR(trainer.optimizer, 2, 0.5),
    "linear": lambda trainer, folder: lr_scheduler.LinearLR(trainer.optimizer, 0.1, total_iters=40),
    "plateau": lambda trainer, folder: lr_scheduler.ReduceLROnPlateau(
        trainer.optimizer, patience=0, factor=0.5
    ),
    "weights": lambda trainer, folder: WeightRecorder(),
    "score": lambda trainer, folder: Score(),
    "stop by score": lambda trainer, folder: EarlyStopping("val_score", patience=1),
    "slower": lambda trainer, folder: Slower(),
    "function": lambda trainer, folder: slower,
    "manually": lambda trainer, folder: (
        lambda trainer, logs: trainer.save_checkpoint(folder / str(trainer.epoch))
    ),
}


def run(names, folder, load=None, **arguments):
    """A trainer after a training with these callbacks, and the callbacks."""
    trainer = make(seed=0 if load is None else 1)
    if load is not None:
        trainer.load_checkpoint(load)
    callbacks = [KINDS[name](trainer, folder) for name in names]
    return trainer, callbacks, fit(trainer, callbacks, **arguments)


def outcome(trainer, callbacks, folder):
    """All that a training leaves."""
    stops = [
        (c.best, c.best_epoch, c.stopped_epoch) for c in callbacks if isinstance(c, EarlyStopping)
    ]
    records = [c.max_abs for c in callbacks if isinstance(c, WeightRecorder)]
    means = [c.mean for c in callbacks if isinstance(c, Score)]
    bests = [c.best for c in callbacks if isinstance(c, ModelCheckpoint)]
    files = {path.name: path.read_text() for path in folder.glob("*.csv")}
    if (folder / "best").exists():
        files["best"] = {
            name: values.tobytes()
            for name, values in load_file(folder / "best").items()
            if name.startswith(("model.", "optimizer."))
        }
    state = {name: values.tobytes() for name, values in trainer.model.state_dict().items()}
    return (
        state,
        trainer.epoch,
        trainer.global_step,
        [group["lr"] for group in trainer.optimizer.param_groups],
        stops,
        records,
        means,
        bests,
        files,
    )


LISTS = [
    *itertools.permutations(["stop", "all", "best", "csv"]),
    *itertools.permutations(["stop", "manually", "plateau", "csv"]),
    *itertools.permutations(["best", "all", "step", "slower"]),
    ("stop by accuracy", "manually", "weights", "function", "linear"),
    ("function", "all", "function", "step", "linear", "plateau", "slower"),
    ("score", "stop by score", "all", "best", "csv"),
    ("all", "score", "stop by score", "csv"),
    ("manually", "score", "csv", "stop by score", "stop", "stop by accuracy"),
]


@pytest.mark.parametrize("names", LISTS, ids="-".join)
def test_cut_after_any_epoch(names, tmp_path):
    """By a crash, which leaves the files of later epochs, with a checkpoint that a callback wrote;
    and by the end of `fit`, with one hand-written.
    """
    whole = tmp_path / "whole"
    whole.mkdir()
    trainer, callbacks, history = run(names, whole, seed=3)
    expected = outcome(trainer, callbacks, whole)
    for epoch in sorted({1, 2, min(4, trainer.epoch), trainer.epoch}):
        crashed = tmp_path / f"crashed{epoch}"
        shutil.copytree(whole, crashed)
        second, callbacks, rest = run(
            names, crashed, load=whole / str(epoch), epochs=EPOCHS - epoch
        )
        assert outcome(second, callbacks, crashed) == expected
        assert rest == (
            {name: values[epoch:] for name, values in history.items()}
            if epoch < trainer.epoch
            else {}
        )

        ended = tmp_path / f"ended{epoch}"
        ended.mkdir()
        first, _, _ = run(names, ended, epochs=epoch, seed=3)
        first.save_checkpoint(ended / "end")
        second, callbacks, rest = run(names, ended, load=ended / "end", epochs=EPOCHS - epoch)
        assert outcome(second, callbacks, ended) == expected
        assert rest == (
            {name: values[epoch:] for name, values in history.items()}
            if epoch < trainer.epoch
            else {}
        )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_cut_twice_with_any_list(data, tmp_path_factory):
    kinds = [name for name in KINDS if "score" not in name and name != "manually"]
    names = data.draw(
        st.permutations(
            [*data.draw(st.lists(st.sampled_from(kinds), max_size=5, unique=True)), "manually"]
        )
    )
    whole, other = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("other")
    trainer, callbacks, _ = run(names, whole, seed=3)
    expected = outcome(trainer, callbacks, whole)
    first = data.draw(st.integers(1, trainer.epoch))
    second = data.draw(st.integers(first, trainer.epoch))
    run(names, other, epochs=first, seed=3)
    run(names, other, load=other / str(first), epochs=second - first)
    third, callbacks, _ = run(names, other, load=other / str(second), epochs=EPOCHS - second)
    assert outcome(third, callbacks, other) == expected


# A training that a callback has ended


def stopped(tmp_path, **arguments):
    """The checkpoint of a training that ended early."""
    trainer = make()
    fit(trainer, [EarlyStopping("loss", min_delta=9, patience=2, **arguments)], seed=0)
    assert trainer.epoch == 3
    trainer.save_checkpoint(tmp_path / "end")
    return trainer


@pytest.mark.parametrize("restore", [False, True])
def test_a_training_that_had_ended_stays_ended(restore, tmp_path, capsys):
    first, second = stopped(tmp_path, restore_best_weights=restore), make(1)
    second.load_checkpoint(tmp_path / "end")
    stopping = EarlyStopping(
        "loss", min_delta=9, patience=2, restore_best_weights=restore, verbose=1
    )
    assert fit(second, [stopping]) == {}
    assert (stopping.stopped_epoch, stopping.best_epoch, second.epoch) == (3, 1, 3)
    for name, values in first.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], values)
    assert capsys.readouterr().out.startswith("Epoch 3: early stopping\n")
    assert len(fit(second, [stopping])["loss"]) == 3, "the next fit starts from its initial state"


def test_progress_says_why_no_epoch_is_trained(tmp_path, capsys):
    stopped(tmp_path)
    trainer = make()
    trainer.load_checkpoint(tmp_path / "end")
    trainer.fit(
        np.ones((2, 5)),
        [0, 1],
        epochs=5,
        callbacks=[EarlyStopping("loss", min_delta=9, patience=2)],
    )
    assert (
        capsys.readouterr().err
        == "no epoch trained: a callback ended this training after epoch 3\n"
    )


@pytest.mark.parametrize("restore", [False, True])
def test_more_patience_goes_on_from_the_last_epoch(restore, tmp_path):
    stopped(tmp_path, restore_best_weights=restore)
    whole, second = make(), make(1)
    expected = fit(
        whole,
        [EarlyStopping("loss", min_delta=9, patience=5, restore_best_weights=restore)],
        seed=0,
    )
    second.load_checkpoint(tmp_path / "end")
    history = fit(
        second, [EarlyStopping("loss", min_delta=9, patience=5, restore_best_weights=restore)]
    )
    assert history["loss"] == expected["loss"][3:]
    assert second.epoch == whole.epoch == 6
    for name, values in whole.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], values)


def test_weights_that_were_changed_after_loading_are_kept(tmp_path):
    stopped(tmp_path, restore_best_weights=True)
    trainer = make(1)
    trainer.load_checkpoint(tmp_path / "end")
    trainer.model[0].weight.data[...] = 0.25
    seen = []
    stopping = EarlyStopping("loss", min_delta=9, patience=9, restore_best_weights=True)
    stopping.load_state_dict = lambda state: (
        EarlyStopping.load_state_dict(stopping, state),
        seen.append(trainer.model[0].weight.data.copy()),
    )
    fit(trainer, [stopping], epochs=1)
    np.testing.assert_array_equal(seen[0], 0.25)


# Which state goes where


def saved(tmp_path, *callbacks, epochs=3):
    trainer = make()
    fit(trainer, callbacks, epochs=epochs, seed=0)
    trainer.save_checkpoint(tmp_path / "c")
    second = make()
    second.load_checkpoint(tmp_path / "c")
    return second


def test_states_go_to_callbacks_of_the_same_kind_and_metric(tmp_path):
    loss, accuracy = (
        EarlyStopping("val_loss", patience=9),
        EarlyStopping("val_accuracy", patience=9),
    )
    second = saved(tmp_path, loss, accuracy, WeightRecorder())
    mine, theirs = EarlyStopping("val_accuracy", patience=8), EarlyStopping(patience=9)
    fit(second, [mine, WeightRecorder(), CSVLogger(tmp_path / "new.csv"), theirs], epochs=0)
    assert (mine.best, mine.best_epoch) == (accuracy.best, accuracy.best_epoch)
    assert (theirs.best, theirs.best_epoch) == (loss.best, loss.best_epoch)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            EarlyStopping(),
            EarlyStopping("loss"),
            "EarlyStopping.monitor='loss', .* starts from its initial state: the checkpoint has "
            "the state of "
            ".*monitor='val_loss'",
        ),
        (
            EarlyStopping(),
            EarlyStopping(mode="max"),
            "direction='max', .* starts from its initial state",
        ),
        (
            EarlyStopping(),
            EarlyStopping(restore_best_weights=True),
            "restore_best_weights=True. starts from its initial state",
        ),
        (
            ModelCheckpoint("a", save_best_only=True),
            ModelCheckpoint("a", "loss", save_best_only=True),
            "ModelCheckpoint.*monitor='loss'.* starts from its initial state",
        ),
    ],
    ids=["monitor", "mode", "restore", "file"],
)
def test_a_state_of_another_metric_is_not_taken_up_silently(
    before, after, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    second = saved(tmp_path, copy.deepcopy(before))
    after = copy.deepcopy(after)
    with pytest.warns(UserWarning, match=message):
        fit(second, [after], epochs=0)
    assert after.best is None


def test_with_another_file_a_callback_starts_afresh(tmp_path):
    second = saved(
        tmp_path,
        ModelCheckpoint(tmp_path / "one", save_best_only=True),
        CSVLogger(tmp_path / "one.csv"),
    )
    fit(
        second,
        [ModelCheckpoint(tmp_path / "two", save_best_only=True), CSVLogger(tmp_path / "two.csv")],
        epochs=1,
    )
    assert (tmp_path / "two").exists()
    assert (tmp_path / "two.csv").read_text().count("\n") == 2
    assert (tmp_path / "one.csv").read_text().count("\n") == 4


def test_the_best_file_is_not_replaced_by_a_worse_net(tmp_path):
    """By networks that are ruined after the resume."""
    path = tmp_path / "best"
    second = saved(tmp_path, ModelCheckpoint(path, save_best_only=True))
    best = path.read_bytes()
    second.optimizer.param_groups[0]["lr"] = 5.0
    fit(second, [ModelCheckpoint(path, save_best_only=True)], epochs=4)
    assert path.read_bytes() == best


def test_a_fit_that_is_rejected_leaves_the_states_to_the_next(tmp_path):
    stopping = EarlyStopping(patience=9)
    second = saved(tmp_path, stopping)
    history, seed = second.history, second.seed
    with pytest.raises(ValueError, match="monitor is 'val_f1'"):
        fit(second, [EarlyStopping(patience=9), EarlyStopping("val_f1")], seed=5)
    assert (second.history, second.seed) == (history, seed)
    second.save_checkpoint(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "c").read_bytes()
    fit(second, [again := EarlyStopping(patience=9)], epochs=0)
    assert again.best == stopping.best


class Diverges(nn.CrossEntropyLoss):
    def forward_backward(self, output, target):
        return math.inf, output


@pytest.mark.parametrize("cause", ["data", "divergence"])
@pytest.mark.parametrize(
    "names",
    [("stop", "manually", "best", "csv", "plateau"), ("slower", "all", "csv", "stop", "slower")],
    ids="-".join,
)
def test_a_fit_that_fails_in_its_first_epoch_leaves_the_states_to_the_next(names, cause, tmp_path):
    """The best weights are restored in between, and some callbacks have been told of the epoch that
    they had missed.
    """
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    trainer, callbacks, _ = run(names, whole, seed=3)
    expected = outcome(trainer, callbacks, whole)
    shutil.copytree(whole, cut)
    second = make(seed=1)
    second.load_checkpoint(whole / "2")
    callbacks = [KINDS[name](second, cut) for name in names]
    if cause == "data":
        with pytest.raises(ValueError, match="x ended after 0 batches"):
            second.fit(
                iter([]), callbacks=callbacks, validation_data=(np.ones((1, 5)), [0]), verbose=False
            )
    else:
        loss, second.loss = second.loss, Diverges()
        with pytest.raises(FloatingPointError):
            fit(second, callbacks)
        second.loss = loss
    second.save_checkpoint(cut / "again")
    for trainer in (second, make(seed=1)):
        if trainer is not second:
            trainer.load_checkpoint(cut / "again")
        callbacks = [KINDS[name](trainer, cut) for name in names]
        fit(trainer, callbacks, epochs=EPOCHS - 2, seed=3)
        assert outcome(trainer, callbacks, cut) == expected


def test_a_rejected_fit_after_another_leaves_the_states_too(tmp_path):
    trainer = make()
    fit(trainer, [EarlyStopping(patience=9)], epochs=2, seed=0)
    trainer.save_checkpoint(tmp_path / "a")
    with pytest.raises(ValueError, match="monitor is 'val_f1'"):
        fit(trainer, [EarlyStopping("val_f1")], seed=5)
    trainer.save_checkpoint(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_copies_of_a_trainer_keep_the_states(tmp_path):
    trainer = make()
    fit(trainer, [EarlyStopping(patience=9), lambda trainer, logs: None], epochs=2, seed=0)
    trainer.save_checkpoint(tmp_path / "a")
    for twin in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        twin.save_checkpoint(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# The log


def test_rows_of_others_stay_in_the_log(tmp_path):
    """Only lines of epochs that are trained again are replaced."""
    path = tmp_path / "log.csv"
    second = saved(tmp_path, CSVLogger(path))
    head = path.read_text()
    for later, kept in (("7,1,1,1,1\n4,1", ""), ("1,1,1,1,1\n", "1,1,1,1,1\n"), ("", "")):
        path.write_text(head + later)
        second.load_checkpoint(tmp_path / "c")
        fit(second, [CSVLogger(path)], epochs=1)
        lines = path.read_text().removeprefix(head + kept).splitlines()
        assert [line.split(",")[0] for line in lines] == ["4"]
    path.write_text("other,columns\n1,2\n")
    second.load_checkpoint(tmp_path / "c")
    with pytest.raises(ValueError, match="has the columns other, columns"):
        fit(second, [CSVLogger(path)], epochs=1)
    path.unlink()
    second.load_checkpoint(tmp_path / "c")
    fit(second, [CSVLogger(path)], epochs=1)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", "4"]


# Callbacks of one's own


class Keeps(Callback):
    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.loaded = state


@given(
    state=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_state_may_hold_numbers_text_lists_and_dictionaries(state, tmp_path):
    second = saved(tmp_path, Keeps({"it": state, "one": 1}), epochs=1)
    fit(second, [keeps := Keeps({})], epochs=0)
    assert json.dumps(keeps.loaded, sort_keys=True) == json.dumps(
        {"it": state, "one": 1}, sort_keys=True
    )


def test_a_state_may_hold_arrays(tmp_path):
    arrays = {
        "a": np.arange(3),
        "b.c": np.float32([[1, 2]]),
        "b": {"c": np.array(True)},
        "d": [np.float64(2), np.ones((2, 0)), np.arange(4.0)[::-2].astype(">f8")],
    }
    second = saved(tmp_path, Keeps(arrays), epochs=1)
    fit(second, [keeps := Keeps({})], epochs=0)
    np.testing.assert_array_equal(keeps.loaded["a"], [0, 1, 2])
    assert keeps.loaded["b.c"].dtype == np.float32
    assert keeps.loaded["b.c"].tolist() == [[1, 2]]
    assert keeps.loaded["b"]["c"].shape == ()
    assert keeps.loaded["d"][0] == 2.0
    assert keeps.loaded["d"][1].shape == (2, 0)
    assert keeps.loaded["d"][2].tolist() == [3, 1]


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, {"cnet tensor": 1}, np.array(["a"]), np.array([1j]), b"a", {1, 2}],
    ids=lambda value: type(value).__name__,
)
def test_a_state_that_a_checkpoint_cannot_hold(value, tmp_path):
    trainer = make()
    fit(trainer, [Keeps({"it": value})], epochs=1)
    with pytest.raises(
        TypeError,
        match=r"a checkpoint cannot hold .* \(callbacks\.entries\.0\.state\.it\): expected numbers",
    ):
        trainer.save_checkpoint(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_state_goes_back_only_where_something_can_take_it():
    class Half(Callback):
        def state_dict(self):
            return {"a": 1}

    with pytest.raises(
        TypeError, match=r"Half defines only one of state_dict\(\) and load_state_dict\(state\)"
    ):
        fit(make(), [Half()])


def see(seen):
    return lambda trainer, logs: seen.append(logs["matrix"].tolist())


def test_logs_of_an_epoch_that_was_missed_come_back_whole(tmp_path):
    def adds(trainer, logs):
        logs["matrix"] = np.eye(2)
        trainer.save_checkpoint(tmp_path / "c")

    fit(make(), [adds, see([])], epochs=1, seed=0)
    second, seen = make(), []
    second.load_checkpoint(tmp_path / "c")
    fit(second, [see(seen)], epochs=0)
    assert seen == [[[1, 0], [0, 1]]]


# Older files


def test_a_file_of_the_first_format_is_read_and_callbacks_start_afresh(tmp_path):
    from test_checkpoint import rewrite

    saved(tmp_path, EarlyStopping(patience=9))
    rewrite(tmp_path / "c", lambda state: state.pop("callbacks"), cnet_checkpoint="1")
    second = make()
    second.load_checkpoint(tmp_path / "c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(second, [stopping := EarlyStopping(patience=9)], epochs=1)
    assert (second.epoch, stopping.best_epoch) == (4, 4)
    assert math.isfinite(stopping.best)
