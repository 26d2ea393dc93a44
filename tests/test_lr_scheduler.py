"""Schedules of the learning rate: their rates, settings and states, and what `Trainer.fit` does
with them.
"""

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnet import Trainer, nn, optim
from cnet.callbacks import Callback
from cnet.optim import lr_scheduler as L


def net():
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=1)


def sgd(lr=1.0, groups=1, **settings):
    return optim.SGD([{"params": [nn.Parameter((1,))]} for _ in range(groups)], lr=lr, **settings)


def rates(optimizer, schedulers, steps):
    """The rate of the first group at each step."""
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        for scheduler in schedulers:
            scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


ALL = {
    "StepLR": lambda o, **k: L.StepLR(o, 2, 0.5, **k),
    "MultiStepLR": lambda o, **k: L.MultiStepLR(o, [1, 3], 0.5, **k),
    "ExponentialLR": lambda o, **k: L.ExponentialLR(o, 0.5, **k),
    "ConstantLR": lambda o, **k: L.ConstantLR(o, 0.5, 3, **k),
    "LinearLR": lambda o, **k: L.LinearLR(o, 0.5, total_iters=3, **k),
    "PolynomialLR": lambda o, **k: L.PolynomialLR(o, 30, **k),
    "CosineAnnealingLR": lambda o, **k: L.CosineAnnealingLR(o, 20, **k),
    "MultiplicativeLR": lambda o, **k: L.MultiplicativeLR(o, lambda step: 0.5, **k),
    "LambdaLR": lambda o, **k: L.LambdaLR(o, lambda step: 0.5**step, **k),
    "CosineAnnealingWarmRestarts": lambda o, **k: L.CosineAnnealingWarmRestarts(o, 3, 2, **k),
    "CyclicLR": lambda o, **k: L.CyclicLR(o, 0.1, 0.5, 3, mode="triangular2", **k),
    "OneCycleLR": lambda o, **k: L.OneCycleLR(o, 0.5, 40, **k),
    "SequentialLR": lambda o, **k: L.SequentialLR(
        o, [L.LinearLR(o), L.OneCycleLR(o, 0.2, 40)], [4], **{"per_batch": False, **k}
    ),
    "ChainedScheduler": lambda o, **k: L.ChainedScheduler(
        [L.LinearLR(o), L.SequentialLR(o, [L.StepLR(o, 2), L.ExponentialLR(o, 0.9)], [3])], **k
    ),
}
FROM_CURRENT = [
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "ConstantLR",
    "LinearLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "MultiplicativeLR",
]


# Rates, written down (PyTorch's; tests/test_torch_schedules.py compares many more)


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        (lambda o: L.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (lambda o: L.MultiStepLR(o, [4, 1, 1], 0.5), [1, 0.25, 0.25, 0.25, 0.125, 0.125]),
        (lambda o: L.ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
        (lambda o: L.ConstantLR(o, 0.25, 3), [0.25, 0.25, 0.25, 1, 1, 1]),
        (lambda o: L.LinearLR(o, 0.25, total_iters=3), [0.25, 0.5, 0.75, 1, 1, 1]),
        (lambda o: L.LinearLR(o, 1.0, 0.0, 4), [1, 0.75, 0.5, 0.25, 0, 0]),
        (lambda o: L.PolynomialLR(o, 4, 2.0), [1, 0.5625, 0.25, 0.0625, 0, 0]),
        (lambda o: L.CosineAnnealingLR(o, 2, 0.2), [1, 0.6, 0.2, 0.6, 1, 0.6]),
        (
            lambda o: L.CosineAnnealingWarmRestarts(o, 2, 2, 0.2),
            [1, 0.6, 1, 0.8828427124746191, 0.6, 0.3171572875253810],
        ),
        (
            lambda o: L.LambdaLR(o, lambda step: 1 / (1 + step)),
            [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6],
        ),
        (
            lambda o: L.MultiplicativeLR(o, lambda step: step / 4),
            [1, 0.25, 0.125, 0.09375, 0.09375, 0.1171875],
        ),
        (lambda o: L.CyclicLR(o, 0.2, 1.0, 2), [0.2, 0.6, 1, 0.6, 0.2, 0.6]),
        (lambda o: L.CyclicLR(o, 0.2, 1.0, 1, mode="triangular2"), [0.2, 1, 0.2, 0.6, 0.2, 0.4]),
        (
            lambda o: L.CyclicLR(o, 0.2, 1.0, 1, 2, "exp_range", 0.5),
            [0.2, 0.6, 0.3, 0.2, 0.25, 0.2125],
        ),
        (
            lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5),
            [0.04, 0.52, 1, 0.750001, 0.250003, 0.000004],
        ),
        (
            lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5, anneal_strategy="linear"),
            [0.04, 0.52, 1, 0.6666680, 0.333336, 0.000004],
        ),
        (
            lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5, three_phase=True),
            [0.04, 0.52, 1, 0.52, 0.04, 0.000004],
        ),
        (
            lambda o: L.SequentialLR(
                o, [L.LinearLR(o, 0.5, total_iters=2), L.ExponentialLR(o, 0.5)], [2]
            ),
            [0.5, 0.75, 1, 0.5, 0.25, 0.125],
        ),
        (
            lambda o: L.SequentialLR(
                o, [L.ConstantLR(o, 0.5, 9), L.MultiplicativeLR(o, lambda step: 0.5)], [2]
            ),
            [0.5, 0.5, 0.25, 0.125, 0.0625, 0.03125],
        ),
        (
            lambda o: L.ChainedScheduler([L.ConstantLR(o, 0.5, 2), L.ExponentialLR(o, 0.5)]),
            [0.5, 0.25, 0.25, 0.125, 0.0625, 0.03125],
        ),
    ],
)
def test_rates(construct, expected):
    optimizer = sgd(momentum=0.9)
    scheduler = construct(optimizer)
    np.testing.assert_allclose(
        rates(optimizer, [scheduler], 5),
        expected,
        rtol=1e-6 if 0.000004 in expected else 1e-12,
        atol=1e-15,
    )
    assert scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        (lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5), [0.95, 0.9, 0.85, 0.875, 0.925, 0.95]),
        (
            lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5, max_momentum=0.9, base_momentum=[0.5]),
            [0.9, 0.7, 0.5, 0.6, 0.8, 0.9],
        ),
        (
            lambda o: L.OneCycleLR(o, 1.0, 6, pct_start=0.5, three_phase=True),
            [0.95, 0.9, 0.85, 0.9, 0.95, 0.95],
        ),
        (lambda o: L.CyclicLR(o, 0.1, 1.0, 2), [0.9, 0.85, 0.8, 0.85, 0.9, 0.85]),
        (lambda o: L.OneCycleLR(o, 1.0, 6, cycle_momentum=False), None),
    ],
)
@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [(optim.SGD, 0.0), (optim.SGD, 0.5), (optim.RMSprop, 0.0), (optim.Adam, None)],
    ids=["no momentum", "momentum", "RMSprop", "Adam"],
)
def test_momentum_goes_the_other_way_round(construct, expected, optimizer, momentum):
    optimizer = optimizer(
        [nn.Parameter((1,))], lr=0.1, **({} if momentum is None else {"momentum": momentum})
    )
    scheduler = construct(optimizer)
    seen = []
    for _ in range(6):
        (group,) = optimizer.param_groups
        seen.append(group["betas"][0] if momentum is None else group["momentum"])
        scheduler.step()
    np.testing.assert_allclose(
        seen, expected or [0.9 if momentum is None else momentum] * 6, rtol=1e-12
    )


@pytest.mark.parametrize(
    "name", [*FROM_CURRENT, "LambdaLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]
)
def test_the_next_rate_is_not_taken_for_the_last_one(name):
    scheduler = ALL[name](sgd())
    with pytest.warns(
        UserWarning, match=r"for the rates that the last step set, call get_last_lr\(\)"
    ):
        scheduler.get_lr()
    scheduler.step()


def test_a_line_stays_at_its_end():
    optimizer = sgd()
    scheduler = L.OneCycleLR(optimizer, 1.0, 4, anneal_strategy="linear")
    assert rates(optimizer, [scheduler], 4)[3:] == pytest.approx([4e-6, 4e-6])


@pytest.mark.parametrize("pct_start", [0.1, 0.0, 1.0])
def test_a_cycle_without_a_way_up_or_down_ends(pct_start):
    optimizer = sgd()
    seen = rates(optimizer, [L.OneCycleLR(optimizer, 1.0, 10, pct_start=pct_start)], 10)
    assert seen[0] == pytest.approx(0.04 if pct_start else 0.975529, rel=1e-5)
    assert all(0 <= rate <= 1 for rate in seen)


@pytest.mark.parametrize(("total_steps", "pct_start"), [(9, 0.55), (None, 0.5), (None, 0.3)])
def test_three_phases_fit_while_the_first_two_leave_a_step(total_steps, pct_start):
    scheduler = L.OneCycleLR(sgd(), 1.0, total_steps, pct_start=pct_start, three_phase=True)
    assert scheduler.get_last_lr() == pytest.approx([0.04])


# Schedules that compose


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        (
            [lambda o: L.LinearLR(o, 0.1, total_iters=3), lambda o: L.StepLR(o, 2, 0.5)],
            [0.1, 0.4, 0.35, 0.5, 0.25, 0.25],
        ),
        (
            [lambda o: L.ExponentialLR(o, 0.5), lambda o: L.ConstantLR(o, 0.5, 2)],
            [0.5, 0.25, 0.25, 0.125, 0.0625, 0.03125],
        ),
        (
            [lambda o: L.MultiStepLR(o, [2], 0.5), lambda o: L.CosineAnnealingLR(o, 2)],
            [1, 0.5, 0, 0.5, 1, 0.5],
        ),
    ],
)
def test_schedules_compose(construct, expected):
    optimizer = sgd()
    assert rates(optimizer, [c(optimizer) for c in construct], 5) == pytest.approx(
        expected, abs=1e-15
    )


def test_a_plateau_after_a_warm_up_keeps_its_reductions():
    optimizer = sgd(0.1)
    warm_up, plateau = (
        L.LinearLR(optimizer, 0.1, total_iters=5),
        L.ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
    )
    seen = []
    for epoch in range(6):
        seen.append(optimizer.param_groups[0]["lr"])
        for _ in range(5 if epoch == 0 else 1):
            warm_up.step()
        plateau.step(1.0)
    assert seen == pytest.approx([0.01, 0.1, 0.05, 0.025, 0.0125, 0.00625])


@pytest.mark.parametrize("name", FROM_CURRENT)
def test_a_new_schedule_begins_at_the_current_rate(name):
    optimizer, fresh = sgd(0.1), sgd(0.001)
    L.StepLR(optimizer, 1).step()
    optimizer.param_groups[0]["lr"] = 0.001
    assert rates(optimizer, [ALL[name](optimizer)], 6) == pytest.approx(
        rates(fresh, [ALL[name](fresh)], 6), rel=1e-12
    )


@pytest.mark.parametrize("name", FROM_CURRENT)
def test_a_change_by_hand_stays(name):
    optimizer, other = sgd(), sgd()
    scheduler, same = ALL[name](optimizer), ALL[name](other)
    rates(optimizer, [scheduler], 3), rates(other, [same], 3)
    optimizer.param_groups[0]["lr"] *= 0.5
    assert rates(optimizer, [scheduler], 5) == pytest.approx(
        [0.5 * rate for rate in rates(other, [same], 5)], rel=1e-12
    )


@pytest.mark.parametrize("name", ALL)
def test_each_group_follows_its_own_rate(name):
    optimizer = optim.SGD(
        [{"params": [nn.Parameter((1,))], "lr": 0.2}, {"params": [nn.Parameter((1,))]}], lr=0.1
    )
    scheduler = ALL[name](optimizer)
    for _ in range(6):
        first, second = scheduler.get_last_lr()
        assert [group["lr"] for group in optimizer.param_groups] == [first, second]
        if name not in ("OneCycleLR", "CyclicLR", "SequentialLR"):
            assert first == pytest.approx(2 * second)
        scheduler.step()


def test_lists_are_for_groups():
    optimizer = sgd(groups=2)
    cycle = L.OneCycleLR(optimizer, [0.5, 0.25], 4, base_momentum=[0.8, 0.7])
    assert cycle.get_last_lr() == pytest.approx([0.02, 0.01])
    assert L.CyclicLR(sgd(groups=2), np.array([0.1, 0.2]), (0.5, 0.6)).get_last_lr() == [0.1, 0.2]
    assert L.LambdaLR(sgd(groups=2), [lambda step: 0.5, lambda step: 0.25]).get_last_lr() == [
        0.5,
        0.25,
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_group_that_is_added_follows_the_schedule(name):
    optimizer = sgd()
    scheduler = ALL[name](optimizer)
    scheduler.step()
    optimizer.add_param_group({"params": [nn.Parameter((1,))], "lr": 0.5})
    if name in (
        "LambdaLR",
        "MultiplicativeLR",
        "OneCycleLR",
        "CyclicLR",
    ):  # whose settings are for each group
        with pytest.raises(
            ValueError,
            match=r"the optimizer has 2 parameter groups now, but (max_lr|lr_lambda) of this \w+ "
            r"is for 1: construct it after",
        ):
            scheduler.step()
        return
    scheduler.step()
    assert len(scheduler.get_last_lr()) == 2
    assert optimizer.param_groups[1]["initial_lr"] == 0.5


def test_a_sequence_goes_on_from_a_step_as_if_it_had_never_ended():
    whole, resumed = sgd(), sgd()
    seen = rates(whole, [ALL["SequentialLR"](whole)], 9)
    for k in (0, 3, 4, 5):
        assert rates(resumed, [ALL["SequentialLR"](resumed, last_epoch=k)], 8 - k) == pytest.approx(
            seen[k + 1 :], rel=1e-12
        )


def test_warm_restarts_go_on_from_a_step_as_if_they_had_never_ended():
    optimizer, resumed = sgd(), sgd()
    seen = rates(optimizer, [ALL["CosineAnnealingWarmRestarts"](optimizer)], 30)
    for k in range(0, 30, 4):
        resumed.param_groups[0]["initial_lr"] = 1.0
        assert ALL["CosineAnnealingWarmRestarts"](
            resumed, last_epoch=k
        ).get_last_lr() == pytest.approx([seen[k + 1]], rel=1e-12)


def test_restarts_are_where_they_should_be():
    """Where the logarithm of 1000 to the base of 10 is rounded down."""
    scheduler = L.CosineAnnealingWarmRestarts(sgd(), 1, 10)
    scheduler.step(111)
    assert scheduler.get_last_lr() == [1.0]


# Settings


NUMBERS = {
    "negative": -0.5,
    "nan": math.nan,
    "infinite": math.inf,
    "huge": 10**400,
    "text": "1",
    "None": None,
    "bool": True,
    "list": [[0.1]],
}
COUNTS = {**NUMBERS, "float": 2.5, "whole float": 2.0, "2**63": 2**63}
SETTINGS = {
    **{
        name: (lambda o, v, c=c: c(o, v), NUMBERS)
        for name, c in {
            "StepLR gamma": lambda o, v: L.StepLR(o, 2, v),
            "MultiStepLR gamma": lambda o, v: L.MultiStepLR(o, [2], v),
            "ExponentialLR gamma": L.ExponentialLR,
            "ConstantLR factor": L.ConstantLR,
            "LinearLR start_factor": L.LinearLR,
            "LinearLR end_factor": lambda o, v: L.LinearLR(o, 1, v),
            "PolynomialLR power": lambda o, v: L.PolynomialLR(o, 2, v),
            "CosineAnnealingLR eta_min": lambda o, v: L.CosineAnnealingLR(o, 2, v),
            "CosineAnnealingWarmRestarts eta_min": lambda o, v: L.CosineAnnealingWarmRestarts(
                o, 2, 1, v
            ),
            "CyclicLR base_lr": lambda o, v: L.CyclicLR(o, v, 1),
            "CyclicLR max_lr": lambda o, v: L.CyclicLR(o, 0, v),
            "CyclicLR step_size_up": lambda o, v: L.CyclicLR(o, 0, 1, v),
            "CyclicLR gamma": lambda o, v: L.CyclicLR(o, 0, 1, gamma=v),
            "CyclicLR base_momentum": lambda o, v: L.CyclicLR(o, 0, 1, base_momentum=v),
            "CyclicLR max_momentum": lambda o, v: L.CyclicLR(o, 0, 1, max_momentum=v),
            "OneCycleLR max_lr": lambda o, v: L.OneCycleLR(o, v, 9),
            "OneCycleLR pct_start": lambda o, v: L.OneCycleLR(o, 1, 9, pct_start=v),
            "OneCycleLR div_factor": lambda o, v: L.OneCycleLR(o, 1, 9, div_factor=v),
            "OneCycleLR final_div_factor": lambda o, v: L.OneCycleLR(o, 1, 9, final_div_factor=v),
            "OneCycleLR base_momentum": lambda o, v: L.OneCycleLR(o, 1, 9, base_momentum=v),
            "ReduceLROnPlateau factor": lambda o, v: L.ReduceLROnPlateau(o, factor=v),
            "ReduceLROnPlateau threshold": lambda o, v: L.ReduceLROnPlateau(o, threshold=v),
            "ReduceLROnPlateau min_lr": lambda o, v: L.ReduceLROnPlateau(o, min_lr=v),
            "ReduceLROnPlateau eps": lambda o, v: L.ReduceLROnPlateau(o, eps=v),
        }.items()
    },
    **{
        name: (lambda o, v, c=c: c(o, v), COUNTS)
        for name, c in {
            "StepLR step_size": L.StepLR,
            "MultiStepLR milestones": lambda o, v: L.MultiStepLR(o, [2, v]),
            "ConstantLR total_iters": lambda o, v: L.ConstantLR(o, 0.5, v),
            "LinearLR total_iters": lambda o, v: L.LinearLR(o, total_iters=v),
            "PolynomialLR total_iters": L.PolynomialLR,
            "CosineAnnealingLR T_max": L.CosineAnnealingLR,
            "CosineAnnealingWarmRestarts T_0": L.CosineAnnealingWarmRestarts,
            "CosineAnnealingWarmRestarts T_mult": lambda o, v: L.CosineAnnealingWarmRestarts(
                o, 2, v
            ),
            "OneCycleLR total_steps": lambda o, v: L.OneCycleLR(o, 1, v),
            "OneCycleLR epochs": lambda o, v: L.OneCycleLR(o, 1, epochs=v, steps_per_epoch=2),
            "OneCycleLR steps_per_epoch": lambda o, v: L.OneCycleLR(
                o, 1, epochs=2, steps_per_epoch=v
            ),
            "ReduceLROnPlateau patience": lambda o, v: L.ReduceLROnPlateau(o, patience=v),
            "ReduceLROnPlateau cooldown": lambda o, v: L.ReduceLROnPlateau(o, cooldown=v),
            "SequentialLR milestones": lambda o, v: L.SequentialLR(
                o, [L.StepLR(o, 2), L.StepLR(o, 3)], [v]
            ),
            "LRScheduler last_epoch": lambda o, v: L.StepLR(o, 2, last_epoch=v),
        }.items()
    },
}


@pytest.mark.parametrize(
    ("setting", "value"),
    [(setting, value) for setting, (_, values) in SETTINGS.items() for value in values],
)
def test_settings_that_cannot_be_are_rejected_at_construction(setting, value):
    construct, values = SETTINGS[setting]
    if (setting, value) == ("OneCycleLR total_steps", "None"):
        return
    optimizer = sgd(0.3, momentum=0.5)
    if setting == "SequentialLR milestones":
        optimizer.param_groups[0]["initial_lr"] = 0.3
    before = {**optimizer.param_groups[0]}
    with pytest.raises((TypeError, ValueError), match=f"{setting.split()[1]}.* (is|has) "):
        construct(optimizer, values[value])
    assert optimizer.param_groups[0] == before


@pytest.mark.parametrize(
    ("construct", "error", "message"),
    [
        (
            lambda o: L.StepLR(list(net().parameters()), 3),
            TypeError,
            "expected one such as optim.SGD",
        ),
        (lambda o: L.StepLR(o, 0), ValueError, "step_size is 0, expected an integer of at least 1"),
        (lambda o: L.StepLR(o, 2**53), ValueError, r"an integer of at least 1 and below 2\*\*53"),
        (
            lambda o: L.StepLR(o, 2, per_batch="yes"),
            TypeError,
            "per_batch is 'yes', expected True or False",
        ),
        (
            lambda o: L.CosineAnnealingLR(o, 0),
            ValueError,
            "T_max is 0, expected an integer of at least 1",
        ),
        (
            lambda o: L.ConstantLR(o, 0),
            ValueError,
            "factor is 0, expected a number above 0 and at most 1",
        ),
        (
            lambda o: L.LinearLR(o, 0),
            ValueError,
            "start_factor is 0, expected a number above 0 and at most 1",
        ),
        (
            lambda o: L.LinearLR(o, 1, 1.5),
            ValueError,
            r"end_factor is 1\.5, expected a number from 0 to 1",
        ),
        (lambda o: L.MultiStepLR(o, 30), TypeError, "milestones is 30, expected a list"),
        (lambda o: L.MultiStepLR(o, "30"), TypeError, "milestones is '30', expected a list"),
        (lambda o: L.LambdaLR(o, 0.5), TypeError, r"lr_lambda is 0\.5, expected a function"),
        (
            lambda o: L.MultiplicativeLR(o, [abs, abs]),
            ValueError,
            "lr_lambda has 2 values, but the optimizer has 1 parameter group$",
        ),
        (
            lambda o: L.LambdaLR(o, lambda step: math.nan),
            ValueError,
            r"rate 0 of LambdaLR.get_lr\(\) is nan, expected a finite number",
        ),
        (lambda o: L.LambdaLR(o, lambda step: "1"), TypeError, "multiply"),
        (
            lambda o: L.CyclicLR(o, 0.5, 0.1),
            ValueError,
            r"base_lr is 0\.5, which is above max_lr, 0\.1",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5, base_momentum=0.9, max_momentum=0.8),
            ValueError,
            "base_momentum is 0.9, which is above max_momentum",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5, mode=None),
            ValueError,
            "mode is None, expected one of triangular, triangular2, exp_range",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5, mode="square"),
            ValueError,
            "mode is 'square', expected 'triangular', 'triangular2' or 'exp_range'",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5, scale_fn=abs, scale_mode="epoch"),
            ValueError,
            "scale_mode is 'epoch', expected 'cycle' or 'iterations'",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5, scale_fn=3),
            TypeError,
            "scale_fn is 3, expected a function",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, pct_start=1),
            ValueError,
            "pct_start is 1, expected a float",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, 1),
            ValueError,
            "total_steps is 1, expected an integer of at least 2",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, epochs=3),
            ValueError,
            "epochs is 3 and steps_per_epoch is None, expected both",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, 9, anneal_strategy="sin"),
            ValueError,
            "anneal_strategy is 'sin', expected 'cos' or 'linear'",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, 9, pct_start=5 / 9, three_phase=True),
            ValueError,
            "leaves no steps for the third phase",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, pct_start=0.51, three_phase=True),
            ValueError,
            "leaves no steps for the third phase",
        ),
        (
            lambda o: L.OneCycleLR(o, [0.1, 0.2], 9),
            ValueError,
            "max_lr has 2 values, but the optimizer has 1 parameter group",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1, 9, cycle_momentum=1),
            TypeError,
            "cycle_momentum is 1, expected True or False",
        ),
        (
            lambda o: L.OneCycleLR(optim.Adam([nn.Parameter((1,))]), 0.1, 9, max_momentum=1.0),
            ValueError,
            r"betas\[0\] is 1\.0, expected",
        ),
        (
            lambda o: L.OneCycleLR(Own([nn.Parameter((1,))]), 0.1, 9),
            ValueError,
            "Own has no momentum .* cycle_momentum=False",
        ),
        (
            lambda o: L.CyclicLR(sgd(momentum=0.9, nesterov=True), 0, 1, base_momentum=0),
            ValueError,
            "nesterov needs momentum",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o, "least"),
            ValueError,
            "mode is 'least', expected 'min' or 'max'",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o, factor=1),
            ValueError,
            "factor is 1, expected a number of at least 0 and below 1",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o, min_lr=[0.1, 0.2]),
            ValueError,
            "min_lr has 2 values, but the optimizer has 1 parameter group",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o, monitor=3),
            TypeError,
            "monitor is 3, expected the name of a metric",
        ),
        (lambda o: L.ReduceLROnPlateau(o).step(), TypeError, "needs the monitored metric"),
        (
            lambda o: L.ReduceLROnPlateau(o).step("0.5"),
            TypeError,
            r"the metric is '0\.5', expected a number",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o).step({"loss": 1}),
            TypeError,
            "the metric is {'loss': 1}, expected a number",
        ),
        (
            lambda o: L.SequentialLR(o, [L.StepLR(o, 1)], [3]),
            ValueError,
            "expected 0 increasing numbers",
        ),
        (
            lambda o: L.SequentialLR(o, [L.StepLR(o, 1), L.StepLR(o, 1), L.StepLR(o, 1)], [3, 3]),
            ValueError,
            "expected 2 increasing numbers",
        ),
        (
            lambda o: L.SequentialLR(o, [L.StepLR(sgd(), 1)], []),
            ValueError,
            "schedulers of this optimizer",
        ),
        (
            lambda o: L.ChainedScheduler([L.StepLR(o, 1), L.StepLR(sgd(), 1)]),
            ValueError,
            "schedulers of this optimizer",
        ),
        (
            lambda o: L.ChainedScheduler([s := L.StepLR(o, 1), s]),
            ValueError,
            "a scheduler appears twice in ChainedScheduler",
        ),
        (
            lambda o: L.ChainedScheduler([L.StepLR]),
            TypeError,
            "scheduler 0 of ChainedScheduler is <class",
        ),
        (
            lambda o: L.SequentialLR(o, [L.ReduceLROnPlateau(o)], []),
            ValueError,
            "needs a metric at each step",
        ),
        (
            lambda o: L.SequentialLR(o, [L.StepLR(o, 1)], [], per_batch=3),
            TypeError,
            "per_batch is 3",
        ),
        (
            lambda o: L.StepLR(o, 2, last_epoch=3),
            KeyError,
            "parameter group 0 has no initial_lr, which last_epoch=3 needs",
        ),
        (lambda o: L.StepLR(o, 2).step(3), TypeError, r"StepLR.step\(\) takes no epoch, got 3"),
        (lambda o: L.CosineAnnealingWarmRestarts(o, 2).step(-1), ValueError, "epoch is -1"),
        (
            lambda o: L.LRScheduler(o),
            NotImplementedError,
            r"LRScheduler does not define get_lr\(\)",
        ),
    ],
)
def test_what_cannot_be_is_rejected_in_a_sentence(construct, error, message):
    with pytest.raises(error, match=message):
        construct(sgd(momentum=0.5))


class Own(optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def _update(self, parameter, settings):
        parameter.data -= settings["lr"] * parameter.grad


@pytest.mark.parametrize("lr", ["0.1", -1, math.nan, None])
@pytest.mark.parametrize("name", [*ALL, "plateau"])
def test_a_rate_that_was_spoiled_is_rejected_by_the_next_step(name, lr):
    optimizer = sgd()
    scheduler = L.ReduceLROnPlateau(optimizer) if name == "plateau" else ALL[name](optimizer)
    optimizer.param_groups[0]["lr"] = lr
    before = copy.deepcopy(scheduler._attributes() if name == "plateau" else None)
    with pytest.raises(ValueError, match=f"lr is {lr!r}, expected a finite number of at least 0"):
        scheduler.step(*[1.0] * (name == "plateau"))
    assert before is None or scheduler._attributes() == before


def test_a_step_that_fails_changes_nothing():
    optimizer = sgd(momentum=0.9)
    scheduler = L.OneCycleLR(optimizer, 1.0, 3)
    rates(optimizer, [scheduler], 3)
    before = scheduler.state_dict(), {**optimizer.param_groups[0]}
    for _ in range(2):
        with pytest.raises(
            ValueError, match="OneCycleLR has 3 steps, and step 4 is beyond its end"
        ):
            scheduler.step()
    assert (scheduler.state_dict(), optimizer.param_groups[0]) == before
    with pytest.raises(RuntimeError, match="construct it with total_steps"):
        L.OneCycleLR(optimizer, 1.0).step()


# States


def stepped(name, optimizer, steps=5):
    scheduler = (
        L.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        if name == "plateau"
        else ALL[name](optimizer)
    )
    for _ in range(steps):
        scheduler.step(*[np.float64(1.0)] * (name == "plateau"))
    return scheduler


def metrics(name):
    return [1.0] * (name == "plateau")


@pytest.mark.parametrize("name", [*ALL, "plateau"])
def test_a_state_is_all_that_a_schedule_goes_on_from(name):
    first = stepped(name, sgd(0.1, momentum=0.5))
    second = stepped(name, sgd(0.3, momentum=0.5), 0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    for _ in range(5):
        assert second.get_last_lr() == first.get_last_lr()
        for key in ("lr", "momentum"):
            assert second.optimizer.param_groups[0][key] == first.optimizer.param_groups[0][key]
        first.step(*metrics(name))
        second.step(*metrics(name))
    assert second.state_dict() == first.state_dict()


DIFFERENT = {
    "StepLR": lambda o: L.StepLR(o, 7, 0.1),
    "MultiStepLR": lambda o: L.MultiStepLR(o, [5]),
    "ExponentialLR": lambda o: L.ExponentialLR(o, 0.9),
    "ConstantLR": lambda o: L.ConstantLR(o),
    "LinearLR": lambda o: L.LinearLR(o, end_factor=0.5),
    "PolynomialLR": lambda o: L.PolynomialLR(o, 4, 2.0),
    "CosineAnnealingLR": lambda o: L.CosineAnnealingLR(o, 3, 0.01),
    "CosineAnnealingWarmRestarts": lambda o: L.CosineAnnealingWarmRestarts(o, 9),
    "CyclicLR": lambda o: L.CyclicLR(o, 0.2, 0.3, cycle_momentum=False),
    "OneCycleLR": lambda o: L.OneCycleLR(o, 0.1, 24, pct_start=0.5, three_phase=True),
    "SequentialLR": lambda o: L.SequentialLR(
        o, [L.LinearLR(o, 0.5), L.OneCycleLR(o, 0.1, 70)], [9]
    ),
    "plateau": lambda o: L.ReduceLROnPlateau(o, "max", 0.1, 3, monitor="loss"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_state_restores_settings(name):
    first = stepped(name, sgd(0.1))
    second = DIFFERENT[name](sgd(0.1))
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()


class Times:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, step):
        return self.factor**step


@pytest.mark.parametrize("kind", [L.LambdaLR, L.MultiplicativeLR])
def test_a_state_holds_attributes_of_objects_that_are_called_but_no_functions(kind):
    first, second = (
        kind(sgd(groups=2), [Times(factor), lambda step: 1.0]) for factor in (0.5, 0.9)
    )
    state = json.loads(json.dumps(first.state_dict()))
    assert state["lr_lambdas"] == [{"factor": 0.5}, None]
    second.load_state_dict(state)
    assert second.lr_lambdas[0].factor == 0.5
    for wrong in (
        None,
        [None, None],
        [{"factor": 0.5}],
        [{"factor": "x"}, None],
        [{"factor": math.nan}, None],
        [{"__class__": 1}, None],
        [{"factor": 1, "x": 2}, None],
    ):
        with pytest.raises(ValueError, match=f"no state of such a {kind.__name__}"):
            second.load_state_dict({**state, "lr_lambdas": wrong})
    assert vars(second.lr_lambdas[0]) == {"factor": 0.5}


BAD = [
    None,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    2**63,
    -1,
    -0.5,
    True,
    "x",
    [],
    [None],
    {},
    {"__class__": 1},
    [[0.1]],
    [0.1, 0.2],
    [math.nan],
    [10**400],
]


@pytest.mark.parametrize("name", [*ALL, "plateau"])
def test_states_that_cannot_be_change_nothing(name):
    scheduler = stepped(name, sgd(0.1, momentum=0.5), 2)
    state, groups = (
        scheduler.state_dict(),
        [{**group} for group in scheduler.optimizer.param_groups],
    )
    wrong = [
        None,
        3,
        [],
        {},
        {"__class__": 1},
        {**state, "more": 1},
        {**state, "__class__": 1},
        {**state, 3: 1},
    ]
    wrong += [{key: value for key, value in state.items() if key != left_out} for left_out in state]
    for key, value in itertools.product(state, BAD):
        if key in (
            "best",
            "mode",
            "monitor",
            "total_steps",
            "default_min_lr",
            "lr_lambdas",
        ) and value in (None, -1, -0.5, "x", 2**63):
            continue
        if (key, value) in (("milestones", []), ("lr_lambdas", [None])) or (
            value == 2**63 and type(state[key]) is not int
        ):
            continue
        if isinstance(state[key], bool) and (
            value is True or (value is None and name in ("SequentialLR", "ChainedScheduler"))
        ):
            continue
        if (key, value) == ("_scale_fn_custom", None):
            continue
        wrong.append({**state, key: value})
    for bad in wrong:
        with pytest.raises(ValueError, match="this is no state of such a"):
            scheduler.load_state_dict(bad)
        assert scheduler.state_dict() == state
    assert scheduler.optimizer.param_groups == groups


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(st.data())
def test_a_state_is_taken_whole_or_rejected(data):
    name = data.draw(st.sampled_from([*ALL, "plateau"]))
    scheduler = stepped(name, sgd(0.1, momentum=0.5), 2)
    before = scheduler.state_dict()
    state = {**before, data.draw(st.sampled_from([*before])): data.draw(plain)}
    try:
        scheduler.load_state_dict(state)
    except ValueError:
        assert scheduler.state_dict() == before
    else:
        json.dumps(scheduler.state_dict(), allow_nan=False)


def test_a_state_must_go_with_the_optimizer():
    cycle, other = (
        L.OneCycleLR(sgd(momentum=0.5), 0.1, 9, max_momentum=2.0),
        L.OneCycleLR(optim.Adam([nn.Parameter((1,))]), 0.1, 9),
    )
    with pytest.raises(ValueError, match=r"no state of such a OneCycleLR: betas\[0\] is 2\.0"):
        other.load_state_dict(cycle.state_dict())


def test_the_state_of_a_part_must_be_of_its_kind():
    scheduler, other = (
        ALL["SequentialLR"](sgd()),
        L.SequentialLR(o := sgd(), [L.StepLR(o, 2), L.OneCycleLR(o, 0.2, 40)], [4]),
    )
    with pytest.raises(ValueError, match=r"_schedulers\[0\] is .*, expected the state of a StepLR"):
        other.load_state_dict(scheduler.state_dict())


def test_schedulers_are_copied_and_pickled():
    optimizer = sgd(momentum=0.5)
    scheduler = ALL["CyclicLR"](optimizer)
    for other in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        assert other.state_dict() == scheduler.state_dict()
        other.step()
        assert other.last_epoch == 1
    assert scheduler.last_epoch == 0


# A schedule of one's own


class Inverse(L.LRScheduler):
    progress = ("steps_seen",)

    def __init__(self, optimizer, power=1.0, last_epoch=-1, **settings):
        self.power = power
        self.table = np.array([1.0, 2.0])
        self.steps_seen = []
        self.function = math.sqrt
        super().__init__(optimizer, last_epoch, **settings)

    def get_lr(self):
        self.steps_seen = [*self.steps_seen, self.last_epoch]
        return [base / (1 + self.last_epoch) ** self.power for base in self.base_lrs]


def test_a_schedule_of_ones_own():
    optimizer = sgd()
    scheduler = Inverse(optimizer, per_batch=True)
    assert rates(optimizer, [scheduler], 3) == [1, 1 / 2, 1 / 3, 1 / 4]
    state = json.loads(json.dumps(scheduler.state_dict()))
    other = Inverse(sgd(), 2.0)
    other.load_state_dict(state)
    assert (other.power, other.steps_seen, other.get_last_lr()) == (1.0, [0, 1, 2, 3], [0.25])
    assert isinstance(other.table, np.ndarray)
    for key, wrong in {"power": "x", "table": 3, "function": {"x": 1}, "steps_seen": None}.items():
        with pytest.raises(ValueError, match="no state of such a Inverse"):
            other.load_state_dict({**state, key: wrong})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda self: 0.1, TypeError, r"get_lr\(\) gave 0\.1, expected a list"),
        (
            lambda self: [0.1, 0.2],
            ValueError,
            r"get_lr\(\) gave 2 rates, expected one for each of 1 parameter groups",
        ),
        (lambda self: [-0.1], ValueError, r"rate 0 of \w+\.get_lr\(\) is -0\.1"),
        (lambda self: ["0.1"], TypeError, r"rate 0 of \w+\.get_lr\(\) is '0\.1'"),
        (lambda self: [math.inf], ValueError, "is inf, expected a finite number"),
    ],
)
def test_rates_of_ones_own_are_checked(given, error, message):
    optimizer = sgd()
    with pytest.raises(error, match=message):
        type("Bad", (L.LRScheduler,), {"get_lr": given})(optimizer)
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert "initial_lr" not in optimizer.param_groups[0]


def test_base_rates_are_no_part_of_what_a_step_keeps():
    class Base(L.LRScheduler):
        def get_lr(self):
            return self.base_lrs

    scheduler = Base(sgd())
    assert scheduler._last_lr is not scheduler.base_lrs
    scheduler.get_last_lr().append(1)
    assert scheduler.get_last_lr() == [1.0]


def test_what_a_state_cannot_hold_is_said():
    scheduler = Inverse(sgd())
    scheduler.log = {1, 2}
    with pytest.raises(
        TypeError, match=r"Inverse\.log is a set, which a state cannot hold: override state_dict"
    ):
        scheduler.state_dict()


# Within a fit


class Rates(Callback):
    """The rate and the momentum that each step is taken with."""

    def __init__(self, optimizer):
        self.optimizer, self.rates, self.momenta = optimizer, [], []

    def on_batch_end(self, trainer, step, loss):
        group = self.optimizer.param_groups[0]
        self.rates.append(group["lr"])
        self.momenta.append(group.get("momentum"))


def data(n=40):
    rng = np.random.default_rng(12345)
    return rng.standard_normal((n, 5)).astype("f4"), rng.integers(0, 3, n)


def trained(*construct, epochs=3, optimizer=None, compiled=True, n=40, **arguments):
    """A trainer and the rate of each step of a fit of four steps an epoch; the recorder comes
    first, so that it sees what a step was taken with.
    """
    model = net()
    optimizer = (optimizer or (lambda p: optim.SGD(p, lr=0.1)))(model.parameters())
    x, y = data(n)
    seen = Rates(optimizer)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled)
    schedulers = [c(optimizer) for c in construct]
    trainer.fit(
        x,
        y,
        epochs=epochs,
        batch_size=10,
        seed=0,
        callbacks=[seen, *schedulers],
        verbose=False,
        **{"validation_data": (x, y), **arguments},
    )
    return trainer, seen, schedulers


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        ([lambda o: L.StepLR(o, 2)], [0.1] * 8 + [0.01] * 4),
        ([lambda o: L.ExponentialLR(o, 0.5)], [0.1] * 4 + [0.05] * 4 + [0.025] * 4),
        (
            [lambda o: L.LinearLR(o, 0.5, total_iters=4, per_batch=True)],
            [0.05, 0.0625, 0.075, 0.0875] + [0.1] * 8,
        ),
        ([lambda o: L.LinearLR(o, 0.5, total_iters=2)], [0.05] * 4 + [0.075] * 4 + [0.1] * 4),
        (
            [lambda o: L.ReduceLROnPlateau(o, "max", patience=0, factor=0.5, monitor="val_loss")],
            [0.1] * 8 + [0.05] * 4,
        ),
        (
            [
                lambda o: L.LinearLR(o, 0.1, total_iters=4, per_batch=True),
                lambda o: L.ReduceLROnPlateau(o, "max", factor=0.5, patience=0),
            ],
            [0.01, 0.0325, 0.055, 0.0775] + [0.1] * 4 + [0.05] * 4,
        ),
    ],
    ids=["step", "exponential", "linear per batch", "linear", "plateau", "warm-up and plateau"],
)
def test_fit_steps_schedules(construct, expected, compiled):
    _, seen, _ = trained(*construct, compiled=compiled)
    np.testing.assert_allclose(seen.rates, expected)


@pytest.mark.parametrize("name", ALL)
def test_every_schedule_steps_per_epoch_or_per_batch(name):
    by_hand = optim.SGD([nn.Parameter((1,))], lr=0.1)
    expected = rates(by_hand, [ALL[name](by_hand)], 11)
    _, seen, _ = trained(lambda o: ALL[name](o, per_batch=True))
    assert seen.rates == expected
    _, seen, _ = trained(lambda o: ALL[name](o, per_batch=False))
    assert seen.rates == [rate for rate in expected[:3] for _ in range(4)]
    assert ALL[name](
        by_hand, **({"per_batch": False} if name == "SequentialLR" else {})
    ).per_batch is (name in ("OneCycleLR", "CyclicLR"))


def test_schedulers_of_schedulers_step_as_their_parts_do():
    optimizer = sgd()
    assert (
        L.SequentialLR(
            optimizer,
            [L.LinearLR(optimizer, per_batch=True), L.StepLR(optimizer, 2, per_batch=True)],
            [2],
        ).per_batch
        is True
    )
    with pytest.raises(
        ValueError,
        match="some schedulers of this ChainedScheduler step per batch, and others per epoch",
    ):
        trained(lambda o: L.ChainedScheduler([L.OneCycleLR(o, 0.1, 12), L.StepLR(o, 2)]))


def test_both_engines_take_the_momentum_of_a_cycle():
    results = []
    for compiled in (True, False):
        trainer, seen, _ = trained(lambda o: L.OneCycleLR(o, 0.5), compiled=compiled)
        np.testing.assert_allclose(
            [seen.momenta[0], min(seen.momenta), seen.momenta[-1]], [0.95, 0.85, 0.95], rtol=0.01
        )
        results.append(trainer.model.state_dict()["0.weight"])
    np.testing.assert_array_equal(*results)


def test_one_cycle_takes_the_length_of_a_fit():
    _, seen, (cycle,) = trained(
        lambda o: L.OneCycleLR(o, max_lr=0.1), optimizer=optim.AdamW, epochs=2, n=95
    )
    np.testing.assert_allclose([seen.rates[0], max(seen.rates), seen.rates[-1]], [0.004, 0.1, 4e-7])
    assert seen.rates.index(max(seen.rates)) == 5
    assert cycle.total_steps == 20
    _, seen, _ = trained(lambda o: L.ChainedScheduler([L.OneCycleLR(o, 0.1)]), epochs=2)
    np.testing.assert_allclose([seen.rates[0], seen.rates[-1]], [0.004, 4e-7])
    _, seen, _ = trained(lambda o: L.OneCycleLR(o, 0.1, per_batch=False), epochs=6)
    np.testing.assert_allclose(seen.rates[-1], 4e-7)


def state_of(trainer):
    return {
        name: values.copy() for name, values in trainer.model.state_dict().items()
    }, copy.deepcopy([{**g, "params": None} for g in trainer.optimizer.param_groups])


def other_optimizer():
    return optim.SGD(net().parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("construct", "error", "message"),
    [
        (
            [lambda o: L.StepLR(other_optimizer(), 1)],
            ValueError,
            "StepLR belongs to another optimizer than this trainer's: construct it with "
            "trainer.optimizer",
        ),
        (
            [lambda o: L.ReduceLROnPlateau(other_optimizer())],
            ValueError,
            "ReduceLROnPlateau belongs to another optimizer",
        ),
        (
            [lambda o: L.ChainedScheduler([L.StepLR(other_optimizer(), 1)])],
            ValueError,
            "belongs to another optimizer",
        ),
        (
            [
                lambda o: L.SequentialLR(
                    p := other_optimizer(), [L.ChainedScheduler([L.StepLR(p, 1)])], []
                )
            ],
            ValueError,
            "belongs to another optimizer",
        ),
        (
            [lambda o: L.OneCycleLR(o, 0.1, 11)],
            ValueError,
            r"OneCycleLR has 11 steps left, but this fit takes 12 \(one a batch\): construct a new",
        ),
        (
            [lambda o: L.OneCycleLR(o, 0.1, 2, per_batch=False)],
            ValueError,
            r"OneCycleLR has 2 steps left, but this fit takes 3 \(one an epoch\)",
        ),
        (
            [lambda o: L.ChainedScheduler([L.OneCycleLR(o, 0.1, 11)])],
            ValueError,
            "ChainedScheduler has 11 steps left",
        ),
        (
            [
                lambda o: L.SequentialLR(
                    o, [L.StepLR(o, 2), L.OneCycleLR(o, 0.1, 6)], [5], per_batch=True
                )
            ],
            ValueError,
            "SequentialLR has 11 steps left",
        ),
        (
            [
                lambda o: L.SequentialLR(
                    o, [L.OneCycleLR(o, 0.1, 6), L.StepLR(o, 2)], [8], per_batch=True
                )
            ],
            ValueError,
            "SequentialLR has 6 steps left",
        ),
        (
            [
                lambda o: L.SequentialLR(
                    o, [L.StepLR(o, 2), L.OneCycleLR(o, 0.1)], [5], per_batch=True
                )
            ],
            RuntimeError,
            "construct it with total_steps",
        ),
        (
            [lambda o: L.ReduceLROnPlateau(o, monitor="val_acc")],
            ValueError,
            "monitor is 'val_acc', but an epoch ends with loss, accuracy, val_loss, val_accuracy",
        ),
        (
            [lambda o: L.ReduceLROnPlateau(o, "max", monitor="val_accuracy_a")],
            ValueError,
            "monitor is 'val_accuracy_a'",
        ),
    ],
)
def test_fit_rejects_before_the_first_step(construct, error, message):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    schedulers = [c(optimizer) for c in construct]
    before = state_of(trainer)
    x, y = data()
    begun = Callback()
    if "monitor" not in message:
        begun.on_train_begin = lambda *arguments: pytest.fail(
            "a callback was told that training begins"
        )
    with pytest.raises(error, match=message):
        trainer.fit(
            x,
            y,
            epochs=3,
            batch_size=10,
            callbacks=[begun, *schedulers],
            validation_data=(x, y),
            verbose=False,
        )
    weights, groups = state_of(trainer)
    assert groups == before[1]
    for name, values in weights.items():
        np.testing.assert_array_equal(values, before[0][name])


def test_fit_rejects_a_scheduler_twice():
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    step = L.StepLR(optimizer, 2)
    for callbacks in (
        [step, step],
        [step, L.ChainedScheduler([step])],
        [L.ReduceLROnPlateau(optimizer)] * 2,
    ):
        with pytest.raises(ValueError, match="appears twice among the schedulers"):
            trainer.fit(*data(), callbacks=callbacks, verbose=False)


def test_fit_rejects_the_monitor_of_validation_data_that_is_not_there():
    with pytest.raises(
        ValueError,
        match="monitor is 'val_loss', but an epoch ends with loss, accuracy; pass validation_data "
        "to fit",
    ):
        trained(lambda o: L.ReduceLROnPlateau(o, monitor="val_loss"), validation_data=None)


@pytest.mark.parametrize("settings", [{}, {"total_steps": 12}, {"epochs": 3, "steps_per_epoch": 4}])
def test_a_second_fit_with_a_cycle_that_has_ended_is_rejected(settings):
    trainer, seen, (cycle,) = trained(lambda o: L.OneCycleLR(o, 0.1, **settings))
    before = state_of(trainer)[0]
    with pytest.raises(ValueError, match="OneCycleLR has 0 steps left, but this fit takes 12"):
        trainer.fit(*data(), epochs=3, batch_size=10, callbacks=[cycle], verbose=False)
    for name, values in trainer.model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert len(seen.rates) == cycle.last_epoch == 12


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({"monitor": "val_accuracy"}, "max"),
        ({"monitor": "accuracy"}, "max"),
        ({"monitor": "val_accuracy", "mode": "min"}, "min"),
        ({"monitor": "loss"}, "min"),
        ({}, "min"),
        ({"mode": "max"}, "max"),
    ],
    ids=str,
)
def test_a_plateau_takes_the_direction_of_its_metric(settings, mode):
    _, _, (plateau,) = trained(lambda o: L.ReduceLROnPlateau(o, **settings))
    assert plateau.mode == mode


def test_a_plateau_of_an_accuracy_of_a_head():
    heads = nn.Heads(a=nn.Linear(8, 3), b=nn.Linear(8, 2))
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), heads, seed=1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    plateau = L.ReduceLROnPlateau(optimizer, monitor="val_accuracy_a", patience=0, factor=0.5)
    x, y = data()
    targets = {"a": y, "b": y % 2}
    trainer = Trainer(model, nn.HeadsLoss(heads, nn.CrossEntropyLoss()), optimizer)
    history = trainer.fit(
        x,
        targets,
        epochs=6,
        batch_size=10,
        seed=0,
        validation_data=(x, targets),
        callbacks=[plateau],
        verbose=False,
    )
    assert plateau.mode == "max"
    assert plateau.best == max(history["val_accuracy_a"])


def test_a_plateau_by_hand_takes_less_for_better():
    optimizer = sgd()
    plateau = L.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
    for loss in (3.0, 2.0, 1.0, 0.5, 0.25):
        plateau.step(loss)
    assert (optimizer.param_groups[0]["lr"], plateau.best) == (1.0, 0.25)
    for loss in (math.nan, math.inf, -math.inf):
        plateau.step(loss)
    assert (optimizer.param_groups[0]["lr"], plateau.best) == (0.5, 0.25)


def test_least_rates_of_a_plateau_are_for_groups():
    optimizer = sgd(groups=2)
    plateau = L.ReduceLROnPlateau(optimizer, patience=0, factor=0.1, min_lr=[0.5, 0.05])
    for _ in range(3):
        plateau.step(1.0)
    assert plateau.get_last_lr() == [0.5, 0.05]
    optimizer.add_param_group({"params": [nn.Parameter((1,))]})
    with pytest.raises(
        RuntimeError, match="the optimizer has 3 parameter groups now, but min_lr has 2 values"
    ):
        plateau.step(1.0)


def test_fit_without_epochs_leaves_a_cycle_as_it_is():
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    cycle = L.OneCycleLR(optimizer, 0.1)
    Trainer(model, nn.CrossEntropyLoss(), optimizer).fit(
        *data(), epochs=0, callbacks=[cycle], verbose=False
    )
    assert cycle.total_steps is None


# A training that is resumed


def trainer_with(lr=0.1, **settings):
    model = net()
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr, **settings))


def saved(path, *construct, epochs=2, **settings):
    trainer = trainer_with(**settings)
    trainer.fit(
        *data(),
        epochs=epochs,
        batch_size=10,
        seed=0,
        callbacks=[c(trainer.optimizer) for c in construct],
        verbose=False,
    )
    trainer.save_checkpoint(path)
    return trainer


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            lambda o: L.OneCycleLR(o, 0.1, 16),
            lambda o: L.OneCycleLR(o, 0.1, 24),
            "OneCycleLR has total_steps=24, the checkpoint 16",
        ),
        (
            lambda o: L.OneCycleLR(o, 0.1),
            lambda o: L.OneCycleLR(o, 0.2),
            r"OneCycleLR has max_lrs=\[0\.2\], the checkpoint \[0\.1\]",
        ),
        (
            lambda o: L.StepLR(o, 2),
            lambda o: L.StepLR(o, 3, 0.5),
            "step_size=3, the checkpoint 2; StepLR has gamma=0.5, the checkpoint 0.1",
        ),
        (
            lambda o: L.StepLR(o, 2),
            lambda o: L.StepLR(o, 2, per_batch=True),
            "per_batch=True, the checkpoint False",
        ),
        (
            lambda o: L.CyclicLR(o, 0.1, 0.5),
            lambda o: L.CyclicLR(o, 0.2, 0.5),
            r"base_lrs=\[0\.2\], the checkpoint \[0\.1\]",
        ),
        (
            lambda o: L.ReduceLROnPlateau(o),
            lambda o: L.ReduceLROnPlateau(o, "max"),
            "mode='max', the checkpoint 'min'",
        ),
        (
            lambda o: L.ChainedScheduler([L.StepLR(o, 2)]),
            lambda o: L.ChainedScheduler([L.StepLR(o, 3)]),
            "StepLR has step_size=3, the checkpoint 2",
        ),
        (
            lambda o: Inverse(o),
            lambda o: Inverse(o, 2.0),
            r"Inverse has power=2\.0, the checkpoint 1\.0",
        ),
    ],
)
def test_other_settings_than_those_of_the_checkpoint_are_rejected(first, second, message, tmp_path):
    saved(tmp_path / "c", first)
    trainer = trainer_with()
    trainer.load_checkpoint(tmp_path / "c")
    scheduler = second(trainer.optimizer)
    before = scheduler.state_dict(), state_of(trainer)[1]
    with pytest.raises(ValueError, match=message):
        trainer.fit(*data(), epochs=1, batch_size=10, callbacks=[scheduler], verbose=False)
    assert (scheduler.state_dict(), state_of(trainer)[1]) == before
    again = Trainer(
        trainer.model, trainer.loss, trainer.optimizer
    )  # as the message says: the schedule begins
    again.fit(*data(), epochs=1, batch_size=10, callbacks=[scheduler], verbose=False)


def test_settings_that_were_not_given_are_those_of_the_checkpoint(tmp_path):
    trainer = trainer_with()
    cycle = L.OneCycleLR(trainer.optimizer, 0.1, 16)
    trainer.fit(*data(), epochs=2, batch_size=10, seed=0, callbacks=[cycle], verbose=False)
    trainer.save_checkpoint(tmp_path / "c")
    other = trainer_with()
    other.load_checkpoint(tmp_path / "c")
    resumed = L.OneCycleLR(other.optimizer, 0.1)
    other.fit(*data(), epochs=2, batch_size=10, callbacks=[resumed], verbose=False)
    assert (resumed.total_steps, resumed.last_epoch) == (16, 16)
    with pytest.raises(ValueError, match="OneCycleLR has 0 steps left"):
        other.fit(*data(), epochs=1, batch_size=10, callbacks=[resumed], verbose=False)


@pytest.mark.parametrize("per_batch", [True, False])
@pytest.mark.parametrize(
    "late", [True, False], ids=["constructed after loading", "constructed before"]
)
@pytest.mark.parametrize("name", ALL)
def test_several_schedules_go_on(name, late, per_batch, tmp_path):
    construct = (
        lambda o: ALL[name](o, per_batch=per_batch),
        lambda o: L.ConstantLR(o, 0.25, 5),
        lambda o: L.ReduceLROnPlateau(o, "max", 0.5, 0),
    )
    whole = trainer_with(momentum=0.5)
    seen = Rates(whole.optimizer)
    whole.fit(
        *data(),
        epochs=7,
        batch_size=10,
        seed=0,
        callbacks=[seen, *(c(whole.optimizer) for c in construct)],
        verbose=False,
    )
    saved(tmp_path / "c", *construct, epochs=3, momentum=0.5)
    trainer = trainer_with(lr=0.7, momentum=0.5)
    schedulers = [] if late else [c(trainer.optimizer) for c in construct]
    trainer.load_checkpoint(tmp_path / "c")
    schedulers = schedulers or [c(trainer.optimizer) for c in construct]
    resumed = Rates(trainer.optimizer)
    trainer.fit(*data(), epochs=4, batch_size=10, callbacks=[resumed, *schedulers], verbose=False)
    assert resumed.rates == seen.rates[12:]
    assert resumed.momenta == seen.momenta[12:]
    for ours, theirs in zip(whole.model.parameters(), trainer.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rate_that_is_changed_after_loading_stays(when, tmp_path):
    saved(
        tmp_path / "c",
        lambda o: L.ExponentialLR(o, 0.5),
        lambda o: L.LinearLR(o, 0.5, total_iters=2),
    )
    trainer = trainer_with()
    trainer.load_checkpoint(tmp_path / "c")
    (group,) = trainer.optimizer.param_groups
    assert group["lr"] == 0.025
    if when == "before":
        group["lr"] = 0.3
    schedulers = (
        L.ExponentialLR(trainer.optimizer, 0.5),
        L.LinearLR(trainer.optimizer, 0.5, total_iters=2),
    )
    if when == "after":
        group["lr"] = 0.3
    trainer.fit(*data(), epochs=1, batch_size=10, callbacks=schedulers, verbose=False)
    assert group["lr"] == 0.15


def test_other_schedulers_than_those_of_the_checkpoint_are_rejected_where_some_are_alike(tmp_path):
    saved(tmp_path / "c", lambda o: L.StepLR(o, 2), lambda o: L.LinearLR(o))
    trainer = trainer_with()
    trainer.load_checkpoint(tmp_path / "c")
    for given_ in (
        [L.StepLR(trainer.optimizer, 2)],
        [L.LinearLR(trainer.optimizer), L.StepLR(trainer.optimizer, 2)],
    ):
        with pytest.raises(
            ValueError, match="the checkpoint has the schedulers StepLR, LinearLR, but fit got"
        ):
            trainer.fit(*data(), callbacks=given_, verbose=False)
    fresh = L.ExponentialLR(trainer.optimizer, 0.5)
    trainer.fit(*data(), callbacks=[fresh], verbose=False)
    assert fresh.last_epoch == 1


def test_other_settings_do_not_use_up_a_checkpoint(tmp_path):
    saved(
        tmp_path / "c",
        lambda o: L.ExponentialLR(o, 0.5),
        lambda o: L.ReduceLROnPlateau(o, monitor="loss"),
    )
    trainer = trainer_with()
    trainer.load_checkpoint(tmp_path / "c")
    for monitor in ("val_loss", "loss"):
        schedulers = (
            L.ExponentialLR(trainer.optimizer, 0.5),
            L.ReduceLROnPlateau(trainer.optimizer, monitor=monitor),
        )
        if monitor == "val_loss":
            with pytest.raises(ValueError, match="monitor='val_loss', the checkpoint 'loss'"):
                trainer.fit(*data(), callbacks=schedulers, verbose=False)
    trainer.fit(*data(), callbacks=schedulers, verbose=False)
    assert [scheduler.last_epoch for scheduler in schedulers] == [3, 3]
    assert schedulers[0].get_last_lr() == [0.0125]


def test_a_fit_that_is_rejected_leaves_schedulers_as_they_were():
    trainer = trainer_with()
    cycle, short = L.OneCycleLR(trainer.optimizer, 0.1), L.OneCycleLR(trainer.optimizer, 0.1, 2)
    with pytest.raises(ValueError, match="OneCycleLR has 2 steps left, but this fit takes 4"):
        trainer.fit(*data(), batch_size=10, callbacks=[cycle, short], verbose=False)
    assert cycle.total_steps is None


def test_a_rejected_fit_does_not_use_up_a_checkpoint(tmp_path):
    saved(tmp_path / "c", lambda o: L.OneCycleLR(o, 0.1))
    trainer = trainer_with()
    trainer.load_checkpoint(tmp_path / "c")
    for _ in range(2):
        with pytest.raises(ValueError, match="OneCycleLR has 0 steps left, but this fit takes 4"):
            trainer.fit(
                *data(),
                batch_size=10,
                callbacks=[L.OneCycleLR(trainer.optimizer, 0.1)],
                verbose=False,
            )
