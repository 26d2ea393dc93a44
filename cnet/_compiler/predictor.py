"""Compiled prediction: a program for each model, which is kept between calls of the model."""

from __future__ import annotations

import math
import os
import time
import weakref
from typing import Any

import numpy as np

from cnet._compiler.ops import ProgramBuilder
from cnet._compiler.program import emit_forward, lower_model
from cnet._core import loops
from cnet._utils.arrays import Array, empty
from cnet._utils.builtin import is_builtin
from cnet._utils.thread_autotuner import autotuner
from cnet._utils.threads import get_num_threads
from cnet.nn import Module, Parameter
from cnet.nn._module import provide

_MIN_TUNED_FLOPS = 1e6
"""Operations of a prediction for which it pays to choose the number of threads."""
_MAX_FLOPS_PER_CALL = 2e9
"""Operations of a call, about: some tens of milliseconds, after which Python handles signals."""
_MIN_ROWS_PER_CALL = 128
"""Samples of a call, at least: with fewer, a wide network would pack its weights too often."""


class _Predictor:
    """The program of a model, valid while no parameter or layer of it is replaced."""

    def __init__(self, model: Module, x: Array) -> None:
        key = id(model)
        self.model = weakref.ref(model, lambda _: _predictors.pop(key, None))
        self.changes, self.exchanges = Module._changes, Parameter._exchanges
        self.row_shape, self.dtype = x.shape[1:], x.dtype
        self.width = math.prod(self.row_shape)
        outputs = model.output_shape(self.row_shape)
        compiles = model.dtype == x.dtype and len(outputs) == 1
        lowered = lower_model(model, self.row_shape) if compiles else None
        self.program: Any = None
        if lowered is not None:
            (self.outputs,) = outputs
            kernels, threads = loops(x.dtype), get_num_threads()
            capacity = kernels.MIN_CAPACITY
            self.program = kernels.Program(capacity, 0, threads)
            builder = ProgramBuilder(kernels, self.program, capacity, threads, x.dtype, False, {})
            emit_forward(builder, lowered, empty((0, self.width), x.dtype))
            self.flops = self.program.flops_per_row
            self.min_tuned = _MIN_TUNED_FLOPS / max(self.flops, 1)
            """Samples from which on the number of threads is chosen."""

    def is_valid(self, model: Module, x: Array) -> bool:
        """Whether it is for this model, as it is now, and for such samples."""
        return (
            self.model() is model
            and self.changes == Module._changes
            and self.exchanges == Parameter._exchanges
            and x.dtype == self.dtype
            and x.shape[1:] == self.row_shape
        )

    def predict(self, x: Array, out: Array) -> bool:
        """Write the outputs for x (n, width) to out. False if another thread uses the program."""
        rows = max(_MIN_ROWS_PER_CALL, int(_MAX_FLOPS_PER_CALL / max(self.flops, 1)))
        for start in range(0, len(x), rows):
            block = x[start : start + rows]
            flops = self.flops * len(block)
            rounded = 2.0 ** math.ceil(math.log2(flops))
            choice = autotuner.choose("predict", rounded)
            began = time.perf_counter()
            if not self.program.predict(block, out[start : start + rows], choice.threads):
                return False
            autotuner.record(choice, time.perf_counter() - began, flops / rounded)
        return True


_predictors: dict[int, _Predictor] = {}
"""Predictors by `id` of the model: the lookup before a prediction of one sample has to be quick."""


def predict(model: Module, x: Array) -> Array | None:
    """The outputs for x (n, ...), or None.

    It is None if the model has no compiled form, or if another thread uses its program.
    """
    predictor = _predictors.get(id(model))
    if predictor is None or not predictor.is_valid(model, x):
        if not is_builtin(model):
            return None
        predictor = _predictors[id(model)] = _Predictor(model, x)
    if predictor.program is None:
        return None
    n = len(x)
    out = np.empty((n, predictor.outputs), predictor.dtype)
    run = predictor.program.predict if n < predictor.min_tuned else predictor.predict
    return out if run(x if x.ndim == 2 else x.reshape(n, predictor.width), out) else None


provide(predict=predict)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_predictors.clear)  # another thread may have been using one
