"""Keras is compared with on PyTorch, which brings its own reference for gradients."""
import os

os.environ.setdefault("KERAS_BACKEND", "torch")
