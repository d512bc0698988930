"""Keras is compared with on PyTorch, which brings its own reference for gradients."""
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch  # noqa: E402

try:
    import torchvision  # noqa: F401
except RuntimeError:  # the wheel is for CUDA: beside a PyTorch without it, operators are missing that nothing here uses
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        LIBRARY.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
