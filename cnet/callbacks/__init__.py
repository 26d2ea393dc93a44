"""Callbacks: objects that `Trainer.fit` notifies of its progress.

A callback is a `Callback`, or any function ``f(trainer, logs)``, which is called after each epoch.
Without callbacks there is no overhead.
"""

from cnet.callbacks._callback import Callback
from cnet.callbacks._callback import Logs as Logs
from cnet.callbacks._callback import as_callback as as_callback
from cnet.callbacks._callback import as_list as as_list
from cnet.callbacks._checkpoint import ModelCheckpoint
from cnet.callbacks._early_stopping import EarlyStopping
from cnet.callbacks._listeners import Listeners as Listeners
from cnet.callbacks._logs import CSVLogger, TensorBoard
from cnet.callbacks._progress import ProgressBar
from cnet.callbacks._weights import WeightRecorder

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "ProgressBar",
    "TensorBoard",
    "WeightRecorder",
]
