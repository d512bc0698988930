"""Looking into networks: whether gradients are right, and what passes through the layers."""
from chainrule.inspect.activations import activations
from chainrule.inspect.gradients import GradientReport, WeightCheck, check_gradients

__all__ = ["GradientReport", "WeightCheck", "activations", "check_gradients"]
