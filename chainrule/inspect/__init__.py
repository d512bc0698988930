"""Looking into networks: whether gradients are right, what passes through the layers, what they look for."""
from chainrule.inspect.activations import activations
from chainrule.inspect.attribution import integrated_gradients, occlusion, saliency
from chainrule.inspect.filters import feature_maps, filters
from chainrule.inspect.grad_cam import grad_cam
from chainrule.inspect.gradients import GradientReport, WeightCheck, check_gradients
from chainrule.inspect.maximise import Maximisation, maximise
from chainrule.inspect.pictures import Picture, grid, overlay

__all__ = [
    "GradientReport", "Maximisation", "Picture", "WeightCheck", "activations", "check_gradients", "feature_maps",
    "filters", "grad_cam", "grid", "integrated_gradients", "maximise", "occlusion", "overlay", "saliency",
]
