"""Ctrl-C is answered soon, and leaves a model that works and agrees with its optimizer."""

import os
import signal
import sys
import threading

import numpy as np
import pytest
from interpreter import TIMEOUT, WORK, python

from cnet import nn
from cnet._compiler import predictor as _predictor

posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent with kill")

INTERRUPTS = """
import random, signal, threading, time

random.seed(1)
t = trainer()
latencies = []
for i in range(15):
    sent = []
    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    epoch = t.epoch
    cnet.set_num_threads(i % 2 + 1)
    t.history = {}  # an interrupt may come before fit has begun
    timer = threading.Timer(random.random() * 0.05, interrupt)
    try:
        timer.start()
        batch, validation = random.choice([8, 64, 512]), (X, Y) if i % 2 else None
        t.fit(X, Y, epochs=10**9, batch_size=batch, validation_data=validation, verbose=False)
        sys.exit("not interrupted")
    except KeyboardInterrupt:
        latencies.append(time.monotonic() - sent[0])
    timer.join()
    assert all(np.isfinite(p.data).all() for p in t.model.parameters())
    lengths = {len(values) for values in t.history.values()}
    assert len(lengths) <= 1, t.history
    # One more if validation was interrupted.
    assert t.epoch - epoch - max(lengths, default=0) in (0, 1)
    assert np.isfinite(t.model(X)).all()
    t.evaluate(X, Y)
    epoch = t.epoch
    assert len(t.fit(X, Y, epochs=1, verbose=False)["loss"]) == 1
    assert t.epoch == epoch + 1
print(len(latencies), max(latencies))
"""


@posix
def test_interrupts_pass_and_leave_a_model_that_works():
    count, latency = python(WORK, INTERRUPTS).stdout.split()
    assert int(count) == 15
    assert float(latency) < 30


# Networks and batches of which a step takes seconds, if it is not given up.
LONG = """
import signal, threading
from cnet import callbacks

def dense(normalization):
    first = [nn.Linear(784, 1024), normalization, nn.ReLU(), nn.Dropout(0.2)]
    hidden = [*first, nn.Linear(1024, 1024), nn.ReLU()]
    x = np.random.default_rng(0).random((20_000, 784), np.float32)
    return nn.Sequential(*hidden, nn.Linear(1024, 10), seed=0), x

def heads():
    model, x = dense(nn.ReLU())
    heads = nn.Heads(a=nn.Linear(1024, 10), b=nn.Linear(1024, 3))
    return nn.Sequential(*list(model)[:-1], heads, seed=0), x

def conv():
    first = [nn.Conv2d(1, 32, 5), nn.ReLU(), nn.Conv2d(32, 64, 5), nn.BatchNorm2d(64)]
    layers = [*first, nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(1600, 10)]
    x = np.random.default_rng(0).random((1_500, 1, 28, 28), np.float32)
    return nn.Sequential(*layers, seed=0), x

def state(t):
    arrays = [p.data for p in t.model.parameters()] + [b.data for _, b in t.model.named_buffers()]
    remembered = [(s.arrays.tobytes(), s.steps) for s in t.optimizer._state.values() if s.steps]
    steps = [layer.step for layer in t.model if isinstance(layer, nn.Dropout)]
    everything = [a.tobytes() for a in arrays], remembered, steps
    return hashlib.sha256(repr(everything).encode()).hexdigest()

class Interrupt(callbacks.Callback):
    def on_train_begin(self, *_):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


@posix
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "net",
    [
        "dense(nn.Tanh())",
        "dense(nn.BatchNorm1d(1024))",
        "dense(nn.LayerNorm(1024))",
        "heads()",
        "conv()",
    ],
)
def test_an_interrupt_ends_a_long_step_before_it_changes_anything(net, threads):
    code = f"""
cnet.set_num_threads({threads})
model, x = {net}
y, loss = np.arange(len(x)) % 3, nn.CrossEntropyLoss()
if "heads" in {net!r}:
    y, loss = dict(a=y, b=y), nn.HeadsLoss(model[-1], loss)
clip_norm = 1.0 if "Layer" in {net!r} else None
t = cnet.Trainer(model, loss, optim.Adam(model.parameters(), clip_norm=clip_norm))
before = state(t)
try:
    t.fit(x, y, batch_size=len(x), callbacks=[Interrupt()], verbose=False)
except KeyboardInterrupt:
    assert state(t) == before
    print("interrupted")
"""
    assert python(WORK, LONG, code).stdout.split() == ["interrupted"]


@posix
def test_a_step_that_an_interrupt_did_not_end_is_taken_as_ever():
    """The handler of interrupts lets training continue. What was counted of the step that was
    given up does not count twice.
    """
    code = """
cnet.set_num_threads(2)
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
results = []
for callback in [], [Interrupt()]:
    model, x = dense(nn.BatchNorm1d(1024))
    x, y = x[:3_000], np.arange(3_000) % 10
    t = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    settings = dict(batch_size=3_000, epochs=2, seed=0, callbacks=callback, verbose=False)
    history = t.fit(x, y, validation_data=(x, y), **settings)
    results.append((history, state(t)))
assert seen == [1]
assert results[0] == results[1]
"""
    python(WORK, LONG, code)


@posix
@pytest.mark.parametrize("batch", [4_000, 50])
def test_after_an_interrupt_steps_are_counted_as_weights_were_changed(batch):
    """Another network that takes as many steps as were counted, one by one, is in the same
    state.
    """
    code = f"""
import random

random.seed(0)
x, y = np.random.default_rng(0).random((4_000, 100), np.float32), np.arange(4_000) % 10

def make():
    layers = [nn.Linear(100, 500), nn.BatchNorm1d(500), nn.ReLU(), nn.Dropout(0.2)]
    model = nn.Sequential(*layers, nn.Linear(500, 10), seed=0)
    return cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))

interrupted, other = make(), make()
for i in range(10):
    timer = threading.Timer(random.random() * 0.2, os.kill, (os.getpid(), signal.SIGINT))
    before = interrupted.model[3].step
    try:
        timer.start()
        interrupted.fit(x, y, batch_size={batch}, epochs=10**9, shuffle=False, verbose=False)
    except KeyboardInterrupt:
        pass
    for step in range(interrupted.model[3].step - before):
        rows = slice(step * {batch} % 4_000, step * {batch} % 4_000 + {batch})
        other.fit(x[rows], y[rows], batch_size={batch}, verbose=False, shuffle=False)
    assert state(interrupted) == state(other), i
assert interrupted.model[3].step
"""
    python(WORK, LONG, code)


@posix
def test_an_interrupt_ends_a_long_prediction(monkeypatch):
    model, x = (
        nn.Sequential(nn.Linear(1000, 1000), nn.Tanh(), nn.Linear(1000, 2), seed=0),
        np.ones((20_000, 1000), np.float32),
    )
    calls = []
    choose = _predictor.autotuner.choose

    def interrupt(*work):
        calls.append(work)
        os.kill(os.getpid(), signal.SIGINT)
        return choose(*work)

    monkeypatch.setattr(_predictor.autotuner, "choose", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model(x)
    assert len(calls) == 1


def test_an_interrupt_at_any_place_of_a_prediction_leaves_a_model_that_predicts(shared):
    """It is raised in each line of cnet, one after the other."""
    model, x = shared["trainer"]().model, np.tile(shared["X"], (60, 1))
    before = sys.gettrace()
    places = 0
    for rows in (x[:1], x):
        expected = model(rows)
        for place in range(1, 10_000):
            left = place

            def trace(frame, event, arg):
                nonlocal left
                if "cnet" not in frame.f_code.co_filename:
                    return None
                left -= event == "line"
                if left == 0:
                    raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                model(rows)
            except KeyboardInterrupt:
                places += 1
            finally:
                sys.settrace(before)
            assert _predictor.predict(model, rows) is not None
            np.testing.assert_array_equal(model(rows), expected)
            if left > 0:
                break
    assert places > 20


def test_an_interrupt_where_fit_claims_or_leaves_the_model_leaves_one_that_can_be_trained():
    code = """
place = places = 0
t = trainer()

def trace(frame, event, arg):
    global left
    if "exclusive.py" not in frame.f_code.co_filename:
        return trace if event == "call" and frame.f_code.co_name == "fit" else None
    left -= event == "line"
    if left == 0:
        raise KeyboardInterrupt
    return trace

while True:
    place += 1
    left = place
    sys.settrace(trace)
    try:
        t.fit(X, Y, verbose=False)
    except KeyboardInterrupt:
        places += 1
    finally:
        sys.settrace(None)
    t.fit(X, Y, verbose=False)
    if left > 0:
        break
print(places)
"""
    assert int(python(WORK, code).stdout) > 5


def test_an_interrupt_is_not_taken_in_another_thread(shared, alone):
    """Training off the main thread is left alone by signals, which Python gives to the main
    thread.
    """
    result = []
    thread = threading.Thread(target=lambda: result.append(shared["work"](0)))
    thread.start()
    thread.join(TIMEOUT)
    assert result == [alone[0]]
