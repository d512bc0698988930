"""Model files: data only, checked before anything is allocated, written so that a crash leaves the old file."""
from chainrule.saving.format import describe_model, load_model, load_weights, save_model, save_weights
from chainrule.saving.keras_h5 import read_keras
from chainrule.saving.pytorch import read_pytorch

__all__ = ["describe_model", "load_model", "load_weights", "read_keras", "read_pytorch", "save_model", "save_weights"]
