"""Callbacks: what acts on the host between the steps or epochs of a fit."""
from chainrule.callbacks.csv_logger import CSVLogger
from chainrule.callbacks.early_stopping import EarlyStopping
from chainrule.callbacks.exponential_moving_average import ExponentialMovingAverage
from chainrule.callbacks.json_lines_logger import JSONLinesLogger
from chainrule.callbacks.lambda_callback import LambdaCallback
from chainrule.callbacks.learning_rate_scheduler import LearningRateScheduler
from chainrule.callbacks.model_checkpoint import ModelCheckpoint
from chainrule.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from chainrule.callbacks.run_recorder import RunRecorder
from chainrule.callbacks.snapshot_ensemble import SnapshotEnsemble
from chainrule.callbacks.stochastic_weight_averaging import StochasticWeightAveraging
from chainrule.callbacks.tensor_board import TensorBoard
from chainrule.callbacks.terminate_on_nan import TerminateOnNaN
from chainrule.callbacks.timer import Timer
from chainrule.training.events import EVENTS, Callback
from chainrule.training.history import History

__all__ = [
    "EVENTS", "CSVLogger", "Callback", "EarlyStopping", "ExponentialMovingAverage", "History", "JSONLinesLogger",
    "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau", "RunRecorder",
    "SnapshotEnsemble", "StochasticWeightAveraging", "TensorBoard", "TerminateOnNaN", "Timer",
]
