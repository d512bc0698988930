"""Callbacks: what acts on the host between the steps or epochs of a fit."""
from chainrule.callbacks.early_stopping import EarlyStopping
from chainrule.callbacks.lambda_callback import LambdaCallback
from chainrule.callbacks.learning_rate_scheduler import LearningRateScheduler
from chainrule.training.events import EVENTS, Callback
from chainrule.training.history import History

__all__ = ["EVENTS", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler"]
