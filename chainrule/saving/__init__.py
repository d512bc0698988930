"""Model files: data only, checked before anything is allocated, written so that a crash leaves the old file."""
from chainrule.saving.format import load_model, load_weights, save_model, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]
