"""Schedules of the learning rate: the rates are PyTorch's. Runs where torch==2.13.0 is installed,
as in CI.
"""

import numpy as np
import pytest

from cnet import nn, optim
from cnet.optim import lr_scheduler

torch = pytest.importorskip(
    "torch", reason="PyTorch is not a requirement of the test suite: pip install torch==2.13.0"
)

CHAINABLE = {
    "StepLR": lambda L, o: L.StepLR(o, 3, 0.5),
    "StepLR every step": lambda L, o: L.StepLR(o, 1, gamma=1.1),
    "MultiStepLR": lambda L, o: L.MultiStepLR(o, [7, 2, 2, 11], 0.3),
    "MultiStepLR from 0": lambda L, o: L.MultiStepLR(o, [0, 5]),
    "ExponentialLR": lambda L, o: L.ExponentialLR(o, 0.9),
    "ConstantLR": lambda L, o: L.ConstantLR(o),
    "ConstantLR 1": lambda L, o: L.ConstantLR(o, 0.25, 1),
    "LinearLR": lambda L, o: L.LinearLR(o),
    "LinearLR down": lambda L, o: L.LinearLR(o, 1.0, 0.0, 7),
    "LinearLR up": lambda L, o: L.LinearLR(o, 0.1, 0.7, total_iters=9),
    "PolynomialLR": lambda L, o: L.PolynomialLR(o),
    "PolynomialLR 2": lambda L, o: L.PolynomialLR(o, 13, 2.5),
    "CosineAnnealingLR": lambda L, o: L.CosineAnnealingLR(o, 4, 0.001),
    "CosineAnnealingLR 1": lambda L, o: L.CosineAnnealingLR(o, 1),
    "CosineAnnealingLR long": lambda L, o: L.CosineAnnealingLR(o, 40),
    "MultiplicativeLR": lambda L, o: L.MultiplicativeLR(o, lambda step: 0.8 + 0.05 * (step % 5)),
}
ABSOLUTE = {
    "LambdaLR": lambda L, o: L.LambdaLR(o, lambda step: 0.95**step),
    "CosineAnnealingWarmRestarts": lambda L, o: L.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "CosineAnnealingWarmRestarts alike": lambda L, o: L.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": lambda L, o: L.CyclicLR(o, 0.01, 0.3, 4),
    "CyclicLR triangular2": lambda L, o: L.CyclicLR(
        o, 0.01, 0.3, 3, 2, "triangular2", base_momentum=0.6, max_momentum=0.95
    ),
    "CyclicLR exp_range": lambda L, o: L.CyclicLR(
        o, 0.01, 0.3, 5, 1, "exp_range", 0.97, cycle_momentum=False
    ),
    "CyclicLR scale_fn": lambda L, o: L.CyclicLR(
        o, 0.01, 0.3, 3, scale_fn=lambda step: 1 / (1 + step), scale_mode="iterations"
    ),
    "OneCycleLR": lambda L, o: L.OneCycleLR(o, 0.5, 20),
    "OneCycleLR epochs": lambda L, o: L.OneCycleLR(
        o, 0.5, None, 4, 5, 0.4, "linear", True, 0.8, 0.9, 10.0, 100.0
    ),
    "OneCycleLR three phases": lambda L, o: L.OneCycleLR(
        o, 0.5, 20, three_phase=True, pct_start=0.35
    ),
    "OneCycleLR linear phases": lambda L, o: L.OneCycleLR(
        o, 0.5, 20, three_phase=True, anneal_strategy="linear", cycle_momentum=False
    ),
    "OneCycleLR down": lambda L, o: L.OneCycleLR(o, 0.5, 20, pct_start=0.0),
    "OneCycleLR up": lambda L, o: L.OneCycleLR(o, 0.5, 20, pct_start=0.99),
}
COMBINED = {
    "Sequential": lambda L, o: L.SequentialLR(
        o, [L.LinearLR(o, 0.1, total_iters=5), L.CosineAnnealingLR(o, 12)], [5]
    ),
    "Sequential of three": lambda L, o: L.SequentialLR(
        o, [L.ConstantLR(o, 0.1, 3), L.ExponentialLR(o, 0.8), L.StepLR(o, 2, 0.1)], [3, 6]
    ),
    "Sequential from 0": lambda L, o: L.SequentialLR(
        o, [L.LinearLR(o), L.PolynomialLR(o, 15)], [0]
    ),
    "Sequential absolute": lambda L, o: L.SequentialLR(
        o,
        [
            L.ExponentialLR(o, 0.9),
            L.CosineAnnealingWarmRestarts(o, 3),
            L.LambdaLR(o, lambda s: 0.9**s),
        ],
        [4, 11],
    ),
    "Sequential continuing": lambda L, o: L.SequentialLR(
        o, [L.ExponentialLR(o, 0.9), L.MultiplicativeLR(o, lambda step: 0.7)], [6]
    ),
    "Sequential to a cycle": lambda L, o: L.SequentialLR(
        o, [L.LinearLR(o, 0.1, total_iters=4), L.OneCycleLR(o, 0.2, 30)], [5]
    ),
    "Sequential to milestones": lambda L, o: L.SequentialLR(
        o, [L.LinearLR(o, 0.1, total_iters=4), L.MultiStepLR(o, [0, 2, 6])], [5]
    ),
    "Chained": lambda L, o: L.ChainedScheduler(
        [L.ConstantLR(o, 0.1, 2), L.ExponentialLR(o, 0.9), L.StepLR(o, 4)]
    ),
    "Chained with cosine": lambda L, o: L.ChainedScheduler(
        [L.LinearLR(o, 0.2), L.CosineAnnealingLR(o, 30)], optimizer=o
    ),
    "Chained sequence": lambda L, o: L.ChainedScheduler(
        [L.SequentialLR(o, [L.LinearLR(o), L.ExponentialLR(o, 0.9)], [6]), L.MultiStepLR(o, [3, 9])]
    ),
}
ALL = {**CHAINABLE, **ABSOLUTE, **COMBINED}
OPTIMIZERS = {
    "SGD": lambda module, p: module.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.5}], lr=0.1),
    "momentum": lambda module, p: module.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda module, p: module.Adam(
        [{"params": p[:1], "lr": 0.03}, {"params": p[1:]}], lr=0.1
    ),
    "RMSprop": lambda module, p: module.RMSprop(p, lr=0.1),
}


def pair(optimizer="SGD"):
    """The same optimizer here and in PyTorch."""
    theirs = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    for tensor in theirs:
        tensor.grad = torch.zeros(1)
    return OPTIMIZERS[optimizer](optim, [nn.Parameter((1,)) for _ in range(2)]), OPTIMIZERS[
        optimizer
    ](torch.optim, theirs)


def schedules(name, ours, theirs):
    """The same schedule here and in PyTorch."""
    return ALL[name](lr_scheduler, ours), ALL[name](torch.optim.lr_scheduler, theirs)


def assert_same(ours, theirs):
    for group, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        for key in ("lr", "initial_lr", "momentum", "betas"):
            if key in other:
                np.testing.assert_allclose(
                    group[key], other[key], rtol=1e-12, atol=1e-17, err_msg=key
                )


def run(ours, theirs, pairs, steps=20):
    """Step pairs of schedulers and compare what they leave."""
    assert_same(ours, theirs)
    for _ in range(steps):
        theirs.step()
        for pair in pairs:
            for scheduler in pair:
                scheduler.step()
        assert_same(ours, theirs)
        for scheduler, other in pairs:
            np.testing.assert_allclose(
                scheduler.get_last_lr(), other.get_last_lr(), rtol=1e-12, atol=1e-17
            )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ALL)
def test_rates_are_those_of_pytorch(name, optimizer):
    ours, theirs = pair(optimizer)
    steps = (
        19 if "linear" in name or "epochs" in name else 20
    )  # PyTorch's line continues below zero after its last step
    run(ours, theirs, [schedules(name, ours, theirs)], steps)


# Pairs whose rates fall below zero in PyTorch, where a cosine rises from below its minimum; here
# that is an error.
BELOW_ZERO = [
    ("LinearLR down", "CosineAnnealingLR"),
    ("CosineAnnealingLR", "LinearLR down"),
    ("CosineAnnealingLR", "PolynomialLR"),
    ("CosineAnnealingLR", "CosineAnnealingLR 1"),
    ("CosineAnnealingLR 1", "CosineAnnealingLR"),
]


@pytest.mark.parametrize("first", ALL)
def test_two_schedules_compose_as_in_pytorch(first):
    for second in ALL if first in CHAINABLE else CHAINABLE:
        if (first, second) not in BELOW_ZERO:
            ours, theirs = pair("momentum")
            run(ours, theirs, [schedules(first, ours, theirs), schedules(second, ours, theirs)], 8)


@pytest.mark.parametrize(("first", "second"), BELOW_ZERO)
def test_a_rate_below_zero_is_rejected(first, second):
    ours, _ = pair("momentum")
    both = [ALL[name](lr_scheduler, ours) for name in (first, second)]

    def steps():
        for scheduler in both * 12:
            scheduler.step()

    with pytest.raises(ValueError, match=r"CosineAnnealingLR.get_lr\(\) is -"):
        steps()


@pytest.mark.parametrize("when", [0, 3, 8])
@pytest.mark.parametrize("name", CHAINABLE)
def test_a_change_by_hand_stays(name, when):
    ours, theirs = pair()
    schedule = schedules(name, ours, theirs)
    run(ours, theirs, [schedule], when)
    for optimizer in (ours, theirs):
        optimizer.param_groups[1]["lr"] *= 1.75
    run(ours, theirs, [schedule], 10)


@pytest.mark.parametrize("name", ALL)
def test_a_new_schedule_begins_as_in_pytorch(name):
    ours, theirs = pair("momentum")
    run(ours, theirs, [schedules("StepLR", ours, theirs)], 4)
    for optimizer in (ours, theirs):
        optimizer.param_groups[0]["lr"] = 0.001
    run(ours, theirs, [schedules(name, ours, theirs)], 15)


@pytest.mark.parametrize("name", [*CHAINABLE, *ABSOLUTE])
def test_a_schedule_goes_on_from_a_step(name):
    """`last_epoch`, with groups as `Optimizer.load_state_dict` leaves them."""
    if name == "CosineAnnealingWarmRestarts":
        # PyTorch continues elsewhere where cycles differ in length; tests/test_lr_scheduler.py has
        # the right rates
        return
    ours, theirs = pair("momentum")
    run(ours, theirs, [schedules(name, ours, theirs)], 5)

    def resumed(module):
        class Resumed:
            def __getattr__(self, kind):
                return lambda *arguments, **settings: getattr(module, kind)(
                    *arguments, **settings, last_epoch=5
                )

        return Resumed()

    run(
        ours,
        theirs,
        [
            (
                ALL[name](resumed(lr_scheduler), ours),
                ALL[name](resumed(torch.optim.lr_scheduler), theirs),
            )
        ],
        9,
    )


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("optimizer", ["momentum", "Adam"])
@pytest.mark.parametrize("name", ALL)
def test_states_of_optimizer_and_schedule_go_on_as_in_pytorch(name, optimizer, late):
    """Also if the schedule is constructed after the state of the optimizer was loaded, where
    PyTorch's begins again.
    """
    first, theirs = pair(optimizer)
    schedule, other = schedules(name, first, theirs)
    run(first, theirs, [(schedule, other)], 7)
    ours, _ = pair(optimizer)
    if late:
        ours.load_state_dict(first.state_dict())
    again = ALL[name](lr_scheduler, ours)
    if not late:
        ours.load_state_dict(first.state_dict())
    again.load_state_dict(schedule.state_dict())
    run(ours, theirs, [(again, other)], 9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mode": "max", "threshold": 0.1},
        {"threshold_mode": "abs", "threshold": 0.2, "cooldown": 2, "min_lr": 1e-3},
        {"mode": "max", "threshold_mode": "abs", "min_lr": [0.05, 0.2], "eps": 0.1},
        {"patience": 0, "factor": 0.0, "min_lr": 1e-4},
    ],
    ids=str,
)
def test_plateaus_are_those_of_pytorch(settings, rng):
    ours, theirs = pair()
    settings = {"patience": 2, "factor": 0.5, **settings}
    schedule, other = (
        module.ReduceLROnPlateau(o, **settings)
        for module, o in ((lr_scheduler, ours), (torch.optim.lr_scheduler, theirs))
    )
    for metric in (*(1 + rng.random(40)), np.nan, *rng.random(20), 1.0):
        schedule.step(metric)
        other.step(metric)
        assert [group["lr"] for group in ours.param_groups] == [
            group["lr"] for group in theirs.param_groups
        ]
        assert (schedule.best, schedule.num_bad_epochs, schedule.cooldown_counter) == (
            other.best,
            other.num_bad_epochs,
            other.cooldown_counter,
        )


@pytest.mark.parametrize("name", ALL)
def test_a_plateau_beside_another_schedule(name, rng):
    ours, theirs = pair("momentum")
    schedule = schedules(name, ours, theirs)
    plateaus = [
        module.ReduceLROnPlateau(o, patience=0, factor=0.5)
        for module, o in ((lr_scheduler, ours), (torch.optim.lr_scheduler, theirs))
    ]
    for metric in 1 + rng.random(12):
        theirs.step()
        for scheduler, plateau in zip(schedule, plateaus, strict=True):
            scheduler.step()
            plateau.step(metric)
        assert_same(ours, theirs)


def test_warm_restarts_at_any_point():
    ours, theirs = pair()
    schedule, other = schedules("CosineAnnealingWarmRestarts", ours, theirs)
    theirs.step()
    for epoch in (
        0.1,
        0.5,
        2.9,
        3.0,
        3.3,
        8.9,
        9,
        20.75,
        4.5,
        None,
        None,
        0.0,
        None,
        None,
        None,
        None,
    ):
        schedule.step(epoch)
        other.step(epoch)
        assert_same(ours, theirs)


REFUSED = {
    "no optimizer": lambda L, o: L.StepLR([1], 2),
    "StepLR gamma": lambda L, o: L.LambdaLR(o, [lambda s: 1.0]),
    "MultiplicativeLR": lambda L, o: L.MultiplicativeLR(o, 0.5),
    "milestones": lambda L, o: L.MultiStepLR(o, 3),
    "factor above": lambda L, o: L.ConstantLR(o, 1.1),
    "factor below": lambda L, o: L.ConstantLR(o, -0.1),
    "start_factor 0": lambda L, o: L.LinearLR(o, 0),
    "start_factor above": lambda L, o: L.LinearLR(o, 1.1),
    "end_factor": lambda L, o: L.LinearLR(o, end_factor=-0.1),
    "end_factor above": lambda L, o: L.LinearLR(o, end_factor=1.5),
    "T_0": lambda L, o: L.CosineAnnealingWarmRestarts(o, 0),
    "T_0 float": lambda L, o: L.CosineAnnealingWarmRestarts(o, 2.5),
    "T_0 text": lambda L, o: L.CosineAnnealingWarmRestarts(o, "2"),
    "T_mult": lambda L, o: L.CosineAnnealingWarmRestarts(o, 2, 0),
    "T_mult float": lambda L, o: L.CosineAnnealingWarmRestarts(o, 2, 1.5),
    "eta_min": lambda L, o: L.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
    "cyclic lists": lambda L, o: L.CyclicLR(o, [0.1], 0.2),
    "cyclic mode": lambda L, o: L.CyclicLR(o, 0.1, 0.2, mode="square"),
    "total_steps": lambda L, o: L.OneCycleLR(o, 0.1, 0),
    "total_steps float": lambda L, o: L.OneCycleLR(o, 0.1, 10.5),
    "epochs alone": lambda L, o: L.OneCycleLR(o, 0.1, epochs=3),
    "epochs": lambda L, o: L.OneCycleLR(o, 0.1, epochs=-3, steps_per_epoch=2),
    "steps_per_epoch": lambda L, o: L.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=2.5),
    "pct_start": lambda L, o: L.OneCycleLR(o, 0.1, 10, pct_start=1.1),
    "pct_start integer": lambda L, o: L.OneCycleLR(o, 0.1, 10, pct_start=1),
    "anneal_strategy": lambda L, o: L.OneCycleLR(o, 0.1, 10, anneal_strategy="step"),
    "max_lr": lambda L, o: L.OneCycleLR(o, [0.1, 0.2, 0.3], 10),
    "plateau mode": lambda L, o: L.ReduceLROnPlateau(o, "least"),
    "plateau factor": lambda L, o: L.ReduceLROnPlateau(o, factor=1.0),
    "plateau threshold_mode": lambda L, o: L.ReduceLROnPlateau(o, threshold_mode="no"),
    "plateau min_lr": lambda L, o: L.ReduceLROnPlateau(o, min_lr=[0.1]),
    "nothing in sequence": lambda L, o: L.SequentialLR(o, [], []),
    "no scheduler": lambda L, o: L.SequentialLR(o, [3], []),
    "plateau in sequence": lambda L, o: L.SequentialLR(o, [L.ReduceLROnPlateau(o)], []),
    "milestones in sequence": lambda L, o: L.SequentialLR(o, [L.StepLR(o, 2)], [2]),
    "nothing chained": lambda L, o: L.ChainedScheduler([]),
    "plateau chained": lambda L, o: L.ChainedScheduler([L.ReduceLROnPlateau(o)]),
    "no initial_lr": lambda L, o: L.StepLR(o, 2, last_epoch=3),
}


@pytest.mark.parametrize("construct", REFUSED.values(), ids=REFUSED)
def test_wrong_settings_raise_the_errors_of_pytorch(construct):
    ours, theirs = pair()
    with pytest.raises((TypeError, ValueError, KeyError)) as expected:
        construct(torch.optim.lr_scheduler, theirs)
    with pytest.raises(expected.type):
        construct(lr_scheduler, ours)


def test_one_cycle_ends_where_pytorchs_does():
    ours, theirs = pair()
    schedule, other = schedules("OneCycleLR", ours, theirs)
    run(ours, theirs, [(schedule, other)], 20)
    for scheduler in (schedule, other):
        with pytest.raises(ValueError, match="20"):
            scheduler.step()
