"""Checkpoints made manually, and Ctrl-C: what `load_checkpoint` accepts can be trained on, and what
it rejects changes nothing.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import cnet
from cnet import nn, optim
from cnet.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, WeightRecorder
from cnet.optim import lr_scheduler

X = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)


def make(seed=0):
    model = nn.Sequential(
        nn.Linear(4, 5),
        nn.BatchNorm1d(5, momentum=None),
        nn.Dropout(0.2),
        nn.Linear(5, 3),
        seed=seed,
    )
    groups = [
        {"params": model[0].parameters(), "lr": 0.02},
        {"params": [*model[1].parameters(), *model[3].parameters()]},
    ]
    return cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(groups, lr=0.01))


def callbacks(folder):
    return [
        EarlyStopping(patience=9, restore_best_weights=True),
        ModelCheckpoint(folder / "best", save_best_only=True),
        WeightRecorder(),
        lambda trainer, logs: trainer.save_checkpoint(folder / "c"),
        CSVLogger(folder / "log.csv"),
    ]


def fit(trainer, epochs, callbacks=(), **arguments):
    return trainer.fit(
        X,
        Y,
        epochs=epochs,
        batch_size=8,
        validation_data=(X, Y),
        callbacks=callbacks,
        verbose=False,
        **arguments,
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A checkpoint with a bit of everything: the log had yet to be told of its epoch, and the best
    weights had been restored before.
    """
    folder = tmp_path_factory.mktemp("crafted")
    trainer = make()
    schedules = [
        lr_scheduler.StepLR(trainer.optimizer, 2),
        lr_scheduler.ReduceLROnPlateau(trainer.optimizer),
    ]
    fit(trainer, 2, [*schedules, *callbacks(folder)], seed=0)
    return folder / "c"


def digest(trainer):
    """Of all that a checkpoint could change."""
    state = [(name, values.tobytes()) for name, values in trainer.model.state_dict().items()]
    memory = [
        (name, state.arrays.tobytes(), state.steps)
        for name, state in zip(
            names(trainer), trainer.optimizer._copy_state().values(), strict=False
        )
    ]
    rates = [
        {name: value for name, value in group.items() if name != "params"}
        for group in trainer.optimizer.param_groups
    ]
    random = [
        (layer.key, layer.step)
        for layer in trainer.model.modules()
        if isinstance(layer, nn.Dropout)
    ]
    numbers = (
        trainer.epoch,
        trainer.global_step,
        trainer.seed,
        trainer.history,
        trainer._resumed_seed,
        trainer._resumed_schedules,
    )
    return hashlib.sha256(
        repr((state, memory, rates, random, numbers, trainer._resumed_callbacks)).encode()
    ).hexdigest()


def names(trainer):
    return [name for name, _ in trainer.model.named_parameters()]


def read(file):
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    return json.loads(metadata["state"]), load_file(file), metadata


def write(path, state, tensors, metadata):
    save_file(tensors, path, {**metadata, "state": json.dumps(state)})


def trained(seed=5):
    """A trainer that has something to lose."""
    trainer = make(seed)
    fit(trainer, 1, seed=9)
    return trainer


# What each kind of number may be

BIG = 10**400
NAN, INF = float("nan"), float("inf")


def put(*place):
    """A function that puts a value at a place of the numbers."""

    def change(state, value):
        for key in place[:-1]:
            state = state[key]
        state[place[-1]] = value

    return change


def entry(kind):
    """The place of a callback's entry in the list."""
    return next(
        i
        for i, name in enumerate(
            [
                "StepLR",
                "ReduceLROnPlateau",
                "EarlyStopping",
                "ModelCheckpoint",
                "WeightRecorder",
                "function",
                "CSVLogger",
            ]
        )
        if name == kind
    )


COUNTS = [-1, True, 1.5, "1", None, BIG, 1 << 63, NAN, []]
NUMBERS = [-1, True, "x", None, BIG, NAN, INF, [], [[]], {}]
STATE = ("callbacks", "entries")
BAD = {
    "epoch": (put("epoch"), COUNTS),
    "step": (put("step"), COUNTS),
    "seed": (put("seed"), [-1, True, 1.5, "1", [1, -1], [[1]], {}, [1] * 1000, 1 << 5000]),
    "history": (put("history", "loss"), [3, ["x", 1], [BIG, 1], [None, 1], [True, 1], [1.0], {}]),
    "optimizer": (put("optimizer"), ["SGD", 3, None]),
    "steps": (put("steps", "0.weight"), COUNTS),
    "steps of nothing": (put("steps", "9.weight"), [1]),
    "groups": (put("groups"), [[], [3, 4], None, {}]),
    "lr": (put("groups", 0, "lr"), NUMBERS),
    "initial_lr": (put("groups", 1, "initial_lr"), NUMBERS),
    "betas": (
        put("groups", 0, "betas"),
        [0.9, [0.9], [0.9, 1.0], [0.9, True], [0.9, NAN], ["a", "b"], None],
    ),
    "amsgrad": (put("groups", 0, "amsgrad"), [1, "yes", None, 0.0]),
    "names of parameters": (put("groups", 0, "params"), [["0.weight"], "0.weight", None]),
    "random": (put("random"), [None, [], [[1, 2]] * 9, [[1]]]),
    "key": (put("random", 0, 0), [-1, True, 1.5, 1 << 64]),
    "step of dropout": (put("random", 0, 1), COUNTS),
    "schedulers": (put("schedulers"), [3, {}, [["StepLR"]], [[3, {}]]]),
    "last_epoch": (put("schedulers", 0, 1, "last_epoch"), COUNTS),
    "base_lrs": (
        put("schedulers", 0, 1, "base_lrs"),
        [[None, 0.1], [BIG, 0.1], [NAN, 0.1], [INF, 0.1], [-1.0, 0.1], [0.1], ["x", 0.1]],
    ),
    "a scheduler's class": (put("schedulers", 0, 1, "__class__"), [1]),
    "a plateau": (put("schedulers", 1, 1, "best"), [NAN, BIG]),
    "callbacks": (
        put("callbacks"),
        [
            3,
            [],
            {},
            {"entries": [], "logs": 3},
            {"entries": [3], "logs": {}},
            {"entries": [{}], "logs": {}},
        ],
    ),
    "missed": (put(*STATE, entry("CSVLogger"), "missed"), [1, None, "yes"]),
    "logs": (put("callbacks", "logs"), [{}, {"loss": "x"}, {"loss": 9.0}]),
    "best": (put(*STATE, entry("EarlyStopping"), "state", "best"), [True, "x", NAN, INF, BIG, [1]]),
    "wait": (put(*STATE, entry("EarlyStopping"), "state", "wait"), COUNTS),
    "best weights": (
        put(*STATE, entry("EarlyStopping"), "state", "best_weights"),
        [3, {}, {"cnet tensor": "model.0.weight"}, {"cnet tensor": "nothing"}, {"0.weight": [1]}],
    ),
    "weights of the last epoch": (
        put(*STATE, entry("EarlyStopping"), "state", "last_weights"),
        [3, {}],
    ),
    "a part": (put(*STATE, entry("EarlyStopping"), "state", "more"), [3]),
    "best of a file": (
        put(*STATE, entry("ModelCheckpoint"), "state", "best"),
        [True, "x", NAN, INF, BIG],
    ),
    "log": (
        put(*STATE, entry("CSVLogger"), "state"),
        [{"rows": 1}, {"columns": ["epoch"], "rows": 1}],
    ),
    "state of a function": (put(*STATE, entry("function"), "state"), [{"a": 1}]),
    "state of a scheduler": (put(*STATE, entry("StepLR"), "state"), [{"a": 1}]),
    "record": (
        put(*STATE, entry("WeightRecorder"), "state", "max_abs"),
        [3, {"0.weight": 3}, {"0.weight": ["x"]}, {"0.weight": [NAN]}],
    ),
}
CASES = [(name, value) for name, (_, values) in BAD.items() for value in values]


@pytest.mark.parametrize(
    ("name", "value"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
)
def test_numbers_that_cannot_be_are_rejected_and_nothing_is_changed(name, value, file, tmp_path):
    state, tensors, metadata = read(file)
    BAD[name][0](state, value)
    write(tmp_path / "c", state, tensors, metadata)
    assert_rejected(tmp_path / "c")


def assert_rejected(path):
    trainer = trained()
    before = digest(trainer)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint: "):
        trainer.load_checkpoint(path)
    assert digest(trainer) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.0.weight", np.full((5, 4), np.nan, np.float32)),
        ("model.1.running_mean", np.full(5, np.inf, np.float32)),
        ("model.1.running_var", np.float32([1, 1, -1, 1, 1])),
        ("model.1.num_batches_tracked", np.array(-1)),
        ("model.1.num_batches_tracked", np.array((1 << 63) - 1)),
        ("optimizer.0.weight", np.zeros((2, 5, 4), np.float32)),
        ("optimizer.0.weight", np.zeros((2, 4, 5))),
        ("callbacks.entries.2.state.best_weights.0.weight", np.zeros((4, 4), np.float32)),
        ("callbacks.entries.2.state.best_weights.0.weight", np.zeros((5, 4))),
        ("callbacks.entries.2.state.best_weights.0.weight", np.full((5, 4), np.nan, np.float32)),
        ("callbacks.entries.2.state.more", np.zeros(1)),
    ],
)
def test_tensors_that_cannot_be_are_rejected(name, value, file, tmp_path):
    state, tensors, metadata = read(file)
    write(tmp_path / "c", state, tensors | {name: value}, metadata)
    assert_rejected(tmp_path / "c")


def places(value, place=()):
    """Where values are in the numbers."""
    yield place
    for key, part in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(part, (*place, key))


VALUES = st.one_of(
    st.sampled_from(
        [
            *NUMBERS,
            *COUNTS,
            0,
            1,
            2,
            0.5,
            1e300,
            -1e300,
            1 << 53,
            "",
            "StepLR",
            {"cnet tensor": "model.0.bias"},
            {"__class__": 1},
            [0.1, 0.1],
            [None],
        ]
    ),
    st.integers(-9, 9),
    st.floats(),
)


@pytest.mark.filterwarnings("ignore:.*starts from its initial state:UserWarning")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_accepted_can_be_trained_on(data, file, tmp_path):
    state, tensors, metadata = read(file)
    if data.draw(st.integers(0, 3)):
        place = data.draw(st.sampled_from([place for place in places(state) if place]))
        if data.draw(st.integers(0, 4)):
            put(*place)(state, data.draw(VALUES))
        else:
            part = state
            for key in place[:-1]:
                part = part[key]
            del part[place[-1]]
    else:
        name = data.draw(st.sampled_from(sorted(tensors)))
        values = tensors[name] = tensors[name].copy()
        with np.errstate(all="ignore"):
            values.reshape(-1)[data.draw(st.integers(0, values.size - 1))] = np.array(
                data.draw(st.floats() | st.sampled_from([-1, 1e30]))
            ).astype(values.dtype)
    write(tmp_path / "c", state, tensors, metadata)
    trainer = trained()
    before = digest(trainer)
    try:
        trainer.load_checkpoint(tmp_path / "c")
    except ValueError:
        assert digest(trainer) == before
        return
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            history = fit(trainer, 1, callbacks(tmp_path))
    except FloatingPointError:
        return
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(values).all() for values in trainer.model.state_dict().values())


def test_a_seed_that_a_checkpoint_cannot_hold_is_rejected_when_it_is_saved(tmp_path):
    trainer = make()
    fit(trainer, 1, seed=[1] * 100)
    with pytest.raises(
        ValueError,
        match=r"its seed is .* expected a whole number of at least 0, or at most 64 of them",
    ):
        trainer.save_checkpoint(tmp_path / "c")


# Ctrl-C


PACKAGE = pathlib.Path(cnet.__file__).parent
FILES = {
    str(PACKAGE / name)
    for name in (
        "_io/checkpoint.py",
        "_training/trainer.py",
        "nn/_dropout.py",
        "nn/_module.py",
        "nn/_parameter.py",
        "nn/_undo.py",
        "optim/_optimizer.py",
    )
}


def run(work, number=None):
    """The functions whose lines in `FILES` are run, line by line; with Ctrl-C at the line of this
    number.
    """
    lines = []

    def trace(frame, event, arg):
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            lines.append(frame.f_code.co_name)
            if len(lines) - 1 == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def test_the_files_whose_lines_are_run_are_there():
    assert all(pathlib.Path(name).exists() for name in FILES)


def test_ctrl_c_while_a_checkpoint_is_loaded_changes_nothing(file):
    """At some lines while the file is read, and at each one after that, but for those that only
    look for parameters.
    """
    trainer, other = trained(), trained()
    lines, before = run(lambda: other.load_checkpoint(file)), digest(trainer)
    assert (other.epoch, trainer.epoch) == (2, 1)
    change = lines.index("load_state_dict")
    assert len(lines) - change > 200
    looking = {"named_children", "_named_state", "modules"}
    for number in [
        *range(0, change, 50),
        *(i for i in range(change, len(lines)) if lines[i] not in looking),
    ]:
        with pytest.raises(KeyboardInterrupt):
            run(lambda: trainer.load_checkpoint(file), number)
        assert digest(trainer) == before, f"line {number}, in {lines[number]}"


@pytest.mark.parametrize("looked_at", [True, False])
def test_ctrl_c_while_a_state_is_loaded_changes_nothing(looked_at):
    """Also of parameters that have not been drawn yet, which stay so."""
    model, other, third = (
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)) for _ in range(3)
    )
    target, before = other.state_dict(), [digest_of(net) for net in (model, third) if looked_at]
    for number in range(len(run(lambda: third.load_state_dict(target)))):
        with pytest.raises(KeyboardInterrupt):
            run(lambda: model.load_state_dict(target), number)
        if looked_at:
            assert digest_of(model) == before[0], f"line {number}"
        else:
            assert not any(parameter.initialized for parameter in model.parameters()), (
                f"line {number}"
            )
    assert digest_of(model.load_state_dict(target)) == digest_of(third)


def digest_of(model):
    return {name: values.tobytes() for name, values in model.state_dict().items()}
