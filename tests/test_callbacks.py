"""Callbacks: when training ends, which weights remain, and what is written."""

import csv
import math
import sys

import numpy as np
import pytest

import cnet
from cnet import nn, optim
from cnet.callbacks import Callback, CSVLogger, EarlyStopping, TensorBoard


class Scripted(nn.Loss):
    """A loss that reports what the test says, whatever the net does."""

    def __init__(self, values):
        self.values = iter(values)

    def forward(self, output, target):
        self.grad = np.ones_like(output)
        return next(self.values)

    def backward(self):
        return self.grad


def fit(losses, *callbacks, **arguments):
    """A trainer after epochs of one step whose losses are these; the net's weight falls by one each."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False, weight_init="zeros"))
    trainer = cnet.Trainer(model, Scripted(losses), optim.SGD(model.parameters(), lr=1.0))
    trainer.fit([[1.0]], [0.0], callbacks=callbacks, verbose=False, **{"epochs": len(losses), **arguments})
    return trainer


# EarlyStopping


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "stopped", "best_epoch"),
    [
        ([5, 4, 4, 3, 3, 3, 9], 2, 0.0, 6, 4),
        ([5, 4, 4, 3, 3, 3, 9], 1, 0.0, 3, 2),
        ([5, 4, 4, 3, 3, 3, 9], 0, 0.0, 3, 2),
        ([5, 4.5, 4, 3.5, 3], 2, 0.5, 0, 5),
        ([5, 4.5, 4, 3.5, 3], 1, 0.5, 2, 1),
        ([5, 4, 3], 1, 0.0, 0, 3),
    ],
)
def test_training_stops_after_epochs_without_improvement(losses, patience, min_delta, stopped, best_epoch):
    stopping = EarlyStopping("loss", min_delta, patience)
    trainer = fit(losses, stopping)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best_epoch)
    assert stopping.best == losses[best_epoch - 1]
    assert len(trainer.history["loss"]) == (stopped or len(losses))


def test_more_is_better_for_accuracies_and_on_request():
    model = nn.Sequential(nn.Linear(1, 2, weight_init="zeros"))
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.0))
    stopping = EarlyStopping("accuracy", patience=2)
    assert stopping._monitor.sign == EarlyStopping("loss", mode="max")._monitor.sign == 1 == -EarlyStopping("accuracy", mode="min")._monitor.sign
    trainer.fit([[1.0]], [0], epochs=9, callbacks=[stopping], verbose=False)
    assert stopping.stopped_epoch == 3


@pytest.mark.parametrize(("restore", "weight"), [(True, -2), (False, -4)])
def test_best_weights_come_back(restore, weight):
    trainer = fit([3, 1, 2, 2, 2], EarlyStopping("loss", patience=2, restore_best_weights=restore))
    assert trainer.model[0].weight.data.item() == weight


def test_best_weights_come_back_when_all_epochs_are_over_and_when_training_fails():
    assert fit([1, 2, 3], EarlyStopping("loss", patience=9, restore_best_weights=True)).model[0].weight.data.item() == -1
    stopping = EarlyStopping("loss", patience=9, restore_best_weights=True)
    model = nn.Sequential(nn.Linear(1, 1, bias=False, weight_init="zeros"))
    trainer = cnet.Trainer(model, Scripted([1, 2, math.inf]), optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(FloatingPointError):
        trainer.fit([[1.0]], [0.0], epochs=3, callbacks=[stopping], verbose=False)
    assert model[0].weight.data.item() == -1


def test_every_fit_starts_afresh():
    stopping = EarlyStopping("loss", patience=2)
    fit([1, 2, 2, 2], stopping)
    assert len(fit([5, 4, 3], stopping).history["loss"]) == 3


def test_a_number_that_is_not_there():
    with pytest.raises(ValueError, match="monitor is 'val_loss', but an epoch ends with loss; pass validation_data"):
        fit([1.0], EarlyStopping())
    with pytest.raises(ValueError, match=r"monitor is 'f1', but an epoch ends with loss$"):
        fit([1.0], EarlyStopping("f1"))


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        ({"mode": "most"}, ValueError, "mode is 'most', expected 'auto', 'min' or 'max'"),
        ({"patience": -1}, ValueError, "patience is -1"),
        ({"patience": 1.5}, TypeError, "patience is 1.5"),
        ({"min_delta": -1.0}, ValueError, "min_delta is -1.0"),
        ({"min_delta": math.nan}, ValueError, "min_delta is nan"),
    ],
)
def test_early_stopping_refuses(arguments, kind, problem):
    with pytest.raises(kind, match=problem):
        EarlyStopping(**arguments)


def test_a_callback_without_interest_in_batches_costs_no_call_per_step(monkeypatch):
    """Only classes that override `on_batch_end` are told of batches."""
    monkeypatch.setattr(Callback, "on_batch_end", lambda *_: pytest.fail("told of a batch"))
    fit([1.0, 1.0], EarlyStopping("loss"))


# CSVLogger


def read(path, delimiter=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_csv_holds_the_history(tmp_path):
    path = tmp_path / "log.csv"
    model = nn.Sequential(nn.Linear(2, 3), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    data = np.eye(2), [0, 1]
    history = trainer.fit(*data, epochs=3, validation_data=data, callbacks=[CSVLogger(path, separator=";")], verbose=False)
    header, *rows = read(path, ";")
    assert header == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for i, name in enumerate(header[1:], 1):
        assert [float(row[i]) for row in rows] == history[name]


def test_csv_is_written_line_by_line_and_closed_after_an_error(tmp_path):
    path = tmp_path / "log.csv"

    def fail(trainer, logs):
        assert len(read(path)) == 1 + trainer.epoch
        if trainer.epoch == 2:
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fit([1.0, 2.0, 3.0], CSVLogger(path), fail)
    assert read(path) == [["epoch", "loss"], ["1", "1.0"], ["2", "2.0"]]


def test_csv_is_replaced_or_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    fit([1.0], CSVLogger(path))
    fit([2.0], CSVLogger(path, append=True))
    assert read(path) == [["epoch", "loss"], ["1", "1.0"], ["1", "2.0"]]
    with pytest.raises(ValueError, match="has the columns epoch, loss, but an epoch ends with epoch, loss, val_loss: use a new file"):
        fit([3.0, 3.0], CSVLogger(path, append=True), validation_data=([[1.0]], [0.0]))
    fit([4.0], CSVLogger(path))
    assert read(path) == [["epoch", "loss"], ["1", "4.0"]]


def test_csv_refuses(tmp_path):
    with pytest.raises(ValueError, match="separator is 'ab', expected one character"):
        CSVLogger(tmp_path / "a", separator="ab")
    with pytest.raises(ValueError, match="expected one character"):
        CSVLogger(tmp_path / "a", separator="\n")
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere': create it first: '.*log\.csv'"):
        fit([], CSVLogger(tmp_path / "nowhere" / "log.csv"), epochs=1)
    with pytest.raises(IsADirectoryError, match="it is a folder, expected a file"):
        fit([], CSVLogger(tmp_path), epochs=1)
    (tmp_path / "log.csv").touch(mode=0o444)
    with pytest.raises(PermissionError, match="the file is read-only"):
        fit([], CSVLogger(tmp_path / "log.csv", append=True), epochs=1)


def test_a_log_is_not_lost_if_training_fails_before_an_epoch_is_done(tmp_path):
    path = tmp_path / "log.csv"
    fit([1.0], CSVLogger(path))
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError):
        fit([2.0], CSVLogger(path), CSVLogger(tmp_path / "nowhere" / "log.csv"))
    assert path.read_bytes() == before
    with pytest.raises(FloatingPointError):
        fit([math.inf], CSVLogger(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("torn", ["", "2", "2,0.4", "2,0.48", "2,0.48,0."])
def test_a_line_that_was_cut_off_is_not_glued_to_the_next(torn, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,loss\n1,0.5\n{torn}")
    fit([1.0, 2.0], CSVLogger(path, append=True))
    cut = [torn.split(",")] if torn else []
    assert read(path) == [["epoch", "loss"], ["1", "0.5"], *cut, ["1", "1.0"], ["2", "2.0"]]


@pytest.mark.parametrize("header", ["epoch,loss", "epoch,loss\r\n", "\ufeffepoch,loss\n", ""])
def test_headers_that_fit(header, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(header, encoding="utf-8", newline="")
    fit([1.0], CSVLogger(path, append=True))
    with open(path, encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["epoch", "loss"], ["1", "1.0"]]


@pytest.mark.parametrize("header", ["epoch,lo", "epoch,loss,val_loss\n", "epoch,accuracy,loss\n", "loss,epoch\n", "epoch\n", "step,loss\n", "epoch;loss\n"])
def test_other_columns_are_found_out_before_the_first_step(header, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(header)
    with pytest.raises(ValueError, match=r"log\.csv has the columns .*, but an epoch ends with epoch, loss: use a new file"):
        fit([], CSVLogger(path, append=True), epochs=1)
    assert path.read_text() == header


def test_columns_that_another_callback_adds(tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        fit([1.0], lambda trainer, logs: logs.update(f1=0.5), CSVLogger(path, append=True))
    assert read(path) == [["epoch", "loss", "f1"], *[["1", "1.0", "0.5"]] * 2]
    with pytest.raises(ValueError, match="has the columns epoch, loss, f1, but an epoch ends with epoch, loss: use a new file"):
        fit([1.0], CSVLogger(path, append=True))


def test_logs_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit([1.0], CSVLogger("~/log.csv"))
    fit([2.0], CSVLogger("~/log.csv", append=True))
    assert read(tmp_path / "log.csv") == [["epoch", "loss"], ["1", "1.0"], ["1", "2.0"]]


# TensorBoard


def test_tensorboard_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "cnet\[tensorboard\]"'):
        TensorBoard()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_number(tmp_path, monkeypatch):
    library = pytest.importorskip("tensorboardX")
    written = []
    add = library.SummaryWriter.add_scalar
    monkeypatch.setattr(library.SummaryWriter, "add_scalar", lambda self, *args: (written.append((self.logdir, *args)), add(self, *args)))
    fit([3.0, 0.5, 2.0, 0.5], TensorBoard(tmp_path), validation_data=([[1.0]], [0.0]), epochs=2)  # each epoch takes two losses
    assert (str(tmp_path / "train"), "epoch_loss", 3.0, 1) in written
    assert (str(tmp_path / "validation"), "epoch_loss", 0.5, 2) in written
    assert (str(tmp_path / "train"), "learning_rate", 1.0, 2) in written
    for run in ("train", "validation"):
        (file,) = (tmp_path / run).iterdir()
        assert file.stat().st_size > 100


def scalars(folder):
    """Tag, step and value of all that was written to a folder for TensorBoard."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = proto.Event.FromString(content[12 : 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + size :]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_keeps_what_was_written_before(tmp_path, monkeypatch):
    """Files are named by the second, and by the process: two that are alike in both stay apart."""
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    data = {"validation_data": ([[1.0]], [0.0]), "epochs": 1}
    for losses in ([1.0, 0.5], [2.0, 0.25]):
        fit(losses, TensorBoard(tmp_path), **data)
    one = TensorBoard(tmp_path)
    fit([3.0, 0.125], one, TensorBoard(tmp_path), **data)
    fit([4.0, 0.0625], one, **data)
    losses = [(name, value) for name, _, value in scalars(tmp_path / "train") if name == "epoch_loss"]
    assert losses == [("epoch_loss", value) for value in (1.0, 2.0, 3.0, 3.0, 4.0)], "in order"
    assert sorted(value for _, _, value in scalars(tmp_path / "validation")) == [0.0625, 0.125, 0.125, 0.25, 0.5]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_folder_for_tensorboard_is_tried_before_the_first_step(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit([1.0], TensorBoard("~/logs"))
    assert len(scalars(tmp_path / "logs" / "train")) == 2
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        fit([], TensorBoard(tmp_path / "file"), epochs=1)
