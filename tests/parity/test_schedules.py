"""The curves of the schedules, against Keras and PyTorch."""
import keras
import numpy as np
import pytest
import torch

from chainrule import schedules

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

theirs = keras.optimizers.schedules


@pytest.mark.parametrize(("ours", "reference"), [
    (schedules.ExponentialDecay(0.3, 7, 0.6), theirs.ExponentialDecay(0.3, 7, 0.6)),
    (schedules.ExponentialDecay(0.3, 7, 0.6, True), theirs.ExponentialDecay(0.3, 7, 0.6, True)),
    (schedules.PiecewiseConstant([5, 11, 30], [0.1, 0.4, 0.2, 0.3]),
     theirs.PiecewiseConstantDecay([5, 11, 30], [0.1, 0.4, 0.2, 0.3])),
    (schedules.PolynomialDecay(0.3, 20), theirs.PolynomialDecay(0.3, 20)),
    (schedules.PolynomialDecay(0.3, 20, 0.01, 0.5, True), theirs.PolynomialDecay(0.3, 20, 0.01, 0.5, True)),
    (schedules.InverseTimeDecay(0.3, 7, 0.6), theirs.InverseTimeDecay(0.3, 7, 0.6)),
    (schedules.InverseTimeDecay(0.3, 7, 0.6, True), theirs.InverseTimeDecay(0.3, 7, 0.6, True)),
    (schedules.CosineDecay(0.3, 40), theirs.CosineDecay(0.3, 40)),
    (schedules.CosineDecay(0.3, 40, 0.1), theirs.CosineDecay(0.3, 40, 0.1)),
    (schedules.CosineDecay(0.01, 40, 0.1, warmup_target=0.3, warmup_steps=9),
     theirs.CosineDecay(0.01, 40, 0.1, warmup_target=0.3, warmup_steps=9)),
    (schedules.CosineRestarts(0.3, 9), theirs.CosineDecayRestarts(0.3, 9)),
    (schedules.CosineRestarts(0.3, 9, 1.0, 0.7, 0.1), theirs.CosineDecayRestarts(0.3, 9, 1.0, 0.7, 0.1)),
    (schedules.CosineRestarts(0.3, 9, 1.7, 0.7, 0.1), theirs.CosineDecayRestarts(0.3, 9, 1.7, 0.7, 0.1)),
], ids=lambda value: repr(value) if isinstance(value, schedules.Schedule) else "")
def test_curve_is_that_of_keras(ours, reference):
    steps = range(100)
    np.testing.assert_allclose([ours(step) for step in steps],
                               [float(reference(step)) for step in steps], rtol=2e-5, atol=2e-7)


@pytest.mark.parametrize("settings", [{}, {"warmup_fraction": 0.1, "initial_divisor": 4.0, "final_divisor": 50.0}])
def test_one_cycle_is_that_of_torch(settings):
    total, names = 80, {"warmup_fraction": "pct_start", "initial_divisor": "div_factor",
                        "final_divisor": "final_div_factor"}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.2, total, **{names[name]: value for name, value in settings.items()})
    ours = schedules.OneCycle(0.2, total, **settings)
    for step in range(total):
        group = optimizer.param_groups[0]
        np.testing.assert_allclose(ours(step), group["lr"], rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(ours.momentum(step), group["momentum"], rtol=1e-5)
        optimizer.step()
        if step < total - 1:
            reference.step()


def test_step_decay_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.2)
    reference, ours = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.3), schedules.StepDecay(0.2, 7, 0.3)
    for step in range(40):
        np.testing.assert_allclose(ours(step), optimizer.param_groups[0]["lr"], rtol=1e-5)
        optimizer.step()
        reference.step()
