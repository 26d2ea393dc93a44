"""Schedules within `Trainer.fit`, and what optimisers and schedulers refuse."""

import numpy as np
import pytest

from cnet import Trainer, _engine, nn, optim
from cnet.callbacks import Callback
from cnet.optim import lr_scheduler


def net():
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=1)


class Rates(Callback):
    """The rate after each step."""

    def __init__(self, optimizer):
        self.optimizer, self.rates = optimizer, []

    def on_batch_end(self, trainer, step, loss):
        self.rates.append(self.optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda o: lr_scheduler.StepLR(o, 2), [0.1] * 8 + [0.01] * 4),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.5), [0.1] * 4 + [0.05] * 4 + [0.025] * 4),
        (lambda o: lr_scheduler.LinearLR(o, 0.5, total_iters=4), [0.05, 0.0625, 0.075, 0.0875] + [0.1] * 8),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", patience=0, factor=0.5, monitor="val_loss"), [0.1] * 8 + [0.05] * 4),
    ],
    ids=["step", "exponential", "linear", "plateau"],
)
def test_fit_steps_a_schedule(schedule, expected, rng):
    x, y = rng.standard_normal((40, 5)).astype("f4"), rng.integers(0, 3, 40)
    results = []
    for compiled in (True, False):
        model = net()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        rates = Rates(optimizer)  # before the schedule: what the step was taken with
        with pytest.MonkeyPatch.context() as patch:
            if not compiled:
                patch.setattr(_engine, "lower", lambda *parts: None)
            trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
            trainer.fit(x, y, epochs=3, batch_size=10, seed=0, validation_data=(x, y), callbacks=[rates, schedule(optimizer)], verbose=False)
        np.testing.assert_allclose(rates.rates, expected)
        results.append(model.state_dict()["0.weight"])
    np.testing.assert_array_equal(*results)


def test_one_cycle_takes_the_length_of_a_fit(rng):
    model = net()
    optimizer = optim.AdamW(model.parameters())
    rates, schedule = Rates(optimizer), lr_scheduler.OneCycleLR(optimizer, max_lr=0.1)
    with pytest.raises(RuntimeError, match="construct it with total_steps"):
        schedule.step()
    schedule = lr_scheduler.OneCycleLR(optimizer, max_lr=0.1)
    x, y = rng.standard_normal((95, 5)), rng.integers(0, 3, 95)
    Trainer(model, nn.CrossEntropyLoss(), optimizer).fit(x, y, epochs=2, batch_size=10, seed=0, callbacks=[rates, schedule], verbose=False)
    np.testing.assert_allclose([rates.rates[0], max(rates.rates), rates.rates[-1]], [0.004, 0.1, 4e-7])
    assert rates.rates.index(max(rates.rates)) == 5


def test_a_rate_of_each_group_follows_its_own_base():
    model = net()
    optimizer = optim.SGD([{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}], lr=0.1)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.1, 0.05]


@pytest.mark.parametrize(
    ("construct", "error", "message"),
    [
        (lambda p: optim.Adam(p, lr=-1), ValueError, "lr is -1, expected a finite number of at least 0"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), ValueError, r"betas\[1\] is 1.0, expected a number from 0 to below 1"),
        (lambda p: optim.Adam(p, betas=0.9), ValueError, "betas is 0.9, expected two numbers"),
        (lambda p: optim.AdamW([{"params": p, "eps": "x"}]), ValueError, "eps is 'x'"),
        (lambda p: optim.RMSprop(p, alpha=1), ValueError, "alpha is 1, expected"),
        (lambda p: optim.SGD(p, clip_norm=0), ValueError, "clip_norm is 0, expected a finite number above 0, or None"),
        (lambda p: optim.Adam(p, clip_value=np.nan), ValueError, "clip_value is nan"),
        (lambda p: lr_scheduler.StepLR(p, 3), TypeError, "expected one such as optim.SGD"),
        (lambda p: lr_scheduler.StepLR(optim.SGD(p), 0), ValueError, "step_size is 0, expected an integer of at least 1"),
        (lambda p: lr_scheduler.OneCycleLR(optim.SGD(p), 0.1, pct_start=1), ValueError, "pct_start is 1"),
        (lambda p: lr_scheduler.ReduceLROnPlateau(optim.SGD(p), "least"), ValueError, "mode is 'least', expected 'min' or 'max'"),
        (lambda p: lr_scheduler.ReduceLROnPlateau(optim.SGD(p)).step(), TypeError, "needs the figure"),
        (lambda p: lr_scheduler.SequentialLR(o := optim.SGD(p), [lr_scheduler.StepLR(o, 1)], [3]), ValueError, "expected 0 increasing numbers"),
        (lambda p: lr_scheduler.SequentialLR(optim.SGD(p), [lr_scheduler.StepLR(optim.SGD(p), 1)], []), ValueError, "schedulers of this optimizer"),
    ],
)
def test_settings_out_of_bounds_are_refused(construct, error, message):
    with pytest.raises(error, match=message):
        construct(list(net().parameters()))


@pytest.mark.parametrize(
    "construct",
    [
        lambda o: lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: lr_scheduler.OneCycleLR(o, 0.5, 9),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.5)], [3]),
    ],
)
def test_the_state_of_a_schedule_is_all_it_goes_on_from(construct):
    first, second = (construct(optim.SGD(net().parameters(), lr=0.1, momentum=0.5)) for _ in range(2))
    figures = [()] * 9 if not isinstance(first, lr_scheduler.ReduceLROnPlateau) else [(np.float64(1),)] * 9
    for figure in figures[:5]:
        first.step(*figure)
    state = first.state_dict()
    second.load_state_dict(state)
    for group, other in zip(first.optimizer.param_groups, second.optimizer.param_groups, strict=True):
        other["lr"] = group["lr"] if isinstance(first, lr_scheduler.ReduceLROnPlateau) else other["lr"]  # its rates are the optimiser's alone
    for figure in figures[5:]:
        assert second.get_last_lr() == first.get_last_lr()
        assert second.optimizer.param_groups[0]["momentum"] == first.optimizer.param_groups[0]["momentum"]
        first.step(*figure)
        second.step(*figure)
    for wrong in (None, {}, {**state, "more": 1}, {**state, "last_epoch": "x"}, {**state, "last_epoch": True}, {**state, "base_lrs": [0.1, 0.2]}):
        with pytest.raises(ValueError, match="is no state of such a"):
            second.load_state_dict(wrong)


def test_a_gradient_that_is_not_finite_is_not_hidden_by_a_limit():
    parameter = nn.Parameter((3,))
    parameter.data = np.zeros(3)
    parameter.grad = np.array([1, np.nan, 2], np.float32)
    optim.SGD([parameter], clip_norm=1.0, clip_value=0.5).step()
    assert np.isnan(parameter.data).all()
