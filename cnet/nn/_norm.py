"""Normalization to mean 0 and variance 1, followed by a learned scale and shift."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, as_input, as_real, real_dtype
from cnet._utils.validation import integer, real
from cnet.nn import init
from cnet.nn._checks import check_grad, check_row_shape, training_state
from cnet.nn._images import as_image_grad, as_images, channels_first, check_images
from cnet.nn._module import Module
from cnet.nn._neutral import neutral
from cnet.nn._parameter import Buffer, Parameter, make_writable


class Norm(Module):
    """Base of batch and layer normalization, with a learned scale and shift of each feature."""

    _saved = ("_xhat", "_rstd", "_out_shape")
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, shape: tuple[int, ...], eps: float, affine: bool, bias: bool, dtype: np.dtype[Any]
    ) -> None:
        self.eps = real("eps", eps, 0, wrong_type=ValueError)
        self.weight = (
            Parameter(shape[::-1], dtype=dtype, initializer=init.Ones()) if affine else None
        )
        self.bias = (
            Parameter(shape[::-1], dtype=dtype, initializer=init.Zeros())
            if affine and bias
            else None
        )
        self._xhat: Array | None = None
        self._rstd: Array | None = None
        self._out_shape: tuple[int, ...] | None = None

    def _affine(self) -> tuple[Array | None, Array | None]:
        """Return weight and bias in the form for the kernels."""
        weight, bias = (
            None if parameter is None else parameter.data.T.reshape(-1)
            for parameter in (self.weight, self.bias)
        )
        return weight, bias

    def _set_gradients(self, dout: Array) -> Array:
        """Set the gradients of weight and bias, if they exist.

        Returns both, of shape (2, n), with those of the bias first, even without parameters.
        """
        xhat = training_state(self, "_xhat")
        m, n = xhat.shape
        sums = np.empty((2, n), dout.dtype)
        loops(dout.dtype).norm_backward_params(
            sums, dout, xhat, np.empty((loops(dout.dtype).norm_blocks(m), 2 * n), dout.dtype)
        )
        for parameter, gradient in zip((self.bias, self.weight), sums, strict=True):
            if parameter is not None:
                parameter.grad = np.ascontiguousarray(gradient.reshape(parameter.shape[::-1]).T)
        return sums


class TooFewValues(ValueError):
    """A training mini-batch has too few values of a feature to be normalized."""


class _BatchNorm(Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        device: Any = None,
    ) -> None:
        neutral(track_running_stats=track_running_stats, bias=bias, device=device)
        self.num_features = integer("num_features", num_features, 1)
        dtype = real_dtype(dtype)
        super().__init__((self.num_features,), eps, affine, affine, dtype)
        self.momentum = (
            None if momentum is None else real("momentum", momentum, 0, 1, wrong_type=ValueError)
        )
        self.running_mean = Buffer((self.num_features,), dtype=dtype)
        self.running_var = Buffer((self.num_features,), dtype=dtype, fill=1)
        self.num_batches_tracked = Buffer((), dtype=np.int64)

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"num_features": self.num_features}
        defaults = {"eps": 1e-5, "momentum": 0.1}
        config |= {
            name: getattr(self, name)
            for name, default in defaults.items()
            if getattr(self, name) != default
        }
        return config if self.weight else {**config, "affine": False}

    def _rows(self, x: Array) -> Array:
        """Return a batch as a matrix (m, num_features), with a column for each feature."""
        raise NotImplementedError

    def _grad_rows(self, grad: Array) -> Array:
        raise NotImplementedError

    def _from_rows(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Return a batch of `shape` from a matrix as `_rows` returns it."""
        raise NotImplementedError

    def check_batch(self, values: int) -> None:
        """Raise TooFewValues if a training mini-batch has fewer than 2 values of each feature."""
        if values < 2:
            raise TooFewValues(
                f"{self!r} got a mini-batch of 1 sample with 1 value of each feature, and needs "
                "at least 2 values to compute a variance: choose a batch_size that leaves no "
                "single sample for the last mini-batch of an epoch, leave that sample out, or "
                "use nn.LayerNorm"
            )

    def _moments(self, rows: Array, training: bool) -> tuple[Array, Array]:
        """Return mean and reciprocal deviation of each column.

        In training, they are those of the mini-batch, which also updates the running statistics.
        Otherwise they are the running statistics.
        """
        (m, n), kernels = rows.shape, loops(rows.dtype)
        mean, var, rstd = np.empty((3, n), rows.dtype)
        if not training or not m:  # a batch of no samples changes nothing
            mean[:], var[:] = self.running_mean.data, self.running_var.data
            kernels.inverse_deviation(rstd, var, self.eps)
            return mean, rstd
        self.check_batch(m)
        scratch = np.empty((kernels.norm_blocks(m), 2 * n), rows.dtype)
        kernels.batch_norm_moments(mean, var, rstd, rows, self.eps, scratch)
        running_mean, running_var, tracked = map(
            make_writable, (self.running_mean, self.running_var, self.num_batches_tracked)
        )
        kernels.batch_norm_track(
            running_mean, running_var, tracked.reshape(1), rows, mean, var, self.kernel_momentum
        )
        return mean, rstd

    @property
    def kernel_momentum(self) -> float:
        """Momentum in the form for the kernels: -1 for None."""
        return -1.0 if self.momentum is None else self.momentum

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_array(x, "x")
        self.output_shape(x.shape[1:])
        rows = self._rows(x)
        mean, rstd = self._moments(rows, training)
        out, xhat = np.empty_like(rows), np.empty_like(rows) if training else None
        loops(rows.dtype).batch_norm_forward(out, xhat, rows, mean, rstd, *self._affine())
        self._xhat, self._rstd, self._out_shape = (
            (xhat, rstd, x.shape) if training else (None, None, None)
        )
        return self._from_rows(out, x.shape)

    def backward(self, grad: ArrayLike) -> Array:
        xhat, rstd = training_state(self, "_xhat"), training_state(self, "_rstd")
        grad = as_array(grad, "grad")
        assert self._out_shape is not None
        check_grad(self, grad.shape, self._out_shape)
        dout = self._grad_rows(grad)
        sums, dx = self._set_gradients(dout), np.empty_like(xhat)
        loops(xhat.dtype).batch_norm_backward(dx, dout, xhat, rstd, self._affine()[0], sums)
        return self._from_rows(dx, grad.shape)


class BatchNorm1d(_BatchNorm):
    """Batch normalization of each feature of samples with one axis.

    Input and output have shape (n, num_features). Each feature is transformed by::

        y = (x - mean) / sqrt(var + eps) * weight + bias

    In training, `mean` and `var` are those of the mini-batch, so the result of a sample depends on
    the others; `var` is the biased variance. In inference, they are `running_mean` and
    `running_var`, which training updates with the mean and the unbiased variance.

    Parameters
    ----------
    num_features : int
        Number of features, at least 1.
    eps : float
        Term that avoids division by 0, at least 0.
    momentum : float or None
        Weight of a new mini-batch in the running statistics, from 0 to 1: ``running = (1 -
        momentum) * running + momentum * new``. With None, they are the means over all mini-batches.
    affine : bool
        Whether the layer has `weight` and `bias`; otherwise they are 1 and 0 in the formula.
    track_running_stats, bias : bool
        For code written for PyTorch: True.
    dtype : {"float32", "float64"}
        Dtype of the parameters and of the arithmetic.
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        Scale and shift, initially 1 and 0.
    running_mean, running_var, num_batches_tracked : Buffer
        Running statistics, and the number of training mini-batches. `state_dict` has them.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range; in training, if the mini-batch has a single sample.

    References
    ----------
    Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing internal
    covariate shift, ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.BatchNorm1d(1, eps=0).forward(np.array([[1.0], [3.0]]), training=True)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.num_features,)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_row_shape(self, input_shape, (self.num_features,))
        return input_shape

    def _rows(self, x: Array) -> Array:
        return as_input(x, self.running_mean.dtype)

    def _grad_rows(self, grad: Array) -> Array:
        return as_real(grad, self.running_mean.dtype, "grad")

    def _from_rows(self, rows: Array, shape: tuple[int, ...]) -> Array:
        return rows


class BatchNorm2d(_BatchNorm):
    """Batch normalization of each channel of images, over all their pixels.

    Input and output have shape (n, num_features, height, width). Each channel is transformed by::

        y = (x - mean) / sqrt(var + eps) * weight + bias

    In training, `mean` and `var` are those of all pixels of the mini-batch, so the result of an
    image depends on the others; `var` is the biased variance. In inference, they are `running_mean`
    and `running_var`, which training updates with the mean and the unbiased variance.

    Parameters
    ----------
    num_features : int
        Number of channels, at least 1.
    eps : float
        Term that avoids division by 0, at least 0.
    momentum : float or None
        Weight of a new mini-batch in the running statistics, from 0 to 1: ``running = (1 -
        momentum) * running + momentum * new``. With None, they are the means over all mini-batches.
    affine : bool
        Whether the layer has `weight` and `bias`; otherwise they are 1 and 0 in the formula.
    track_running_stats, bias : bool
        For code written for PyTorch: True.
    dtype : {"float32", "float64"}
        Dtype of the parameters and of the arithmetic.
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        Scale and shift, initially 1 and 0.
    running_mean, running_var, num_batches_tracked : Buffer
        Running statistics, and the number of training mini-batches. `state_dict` has them.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range; in training, if the mini-batch has a single pixel.

    References
    ----------
    Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing internal
    covariate shift, ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.BatchNorm2d(1, eps=0).forward(np.array([[[[1.0, 3.0]]]]), training=True)
    array([[[[-1.,  1.]]]], dtype=float32)
    """

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(self, input_shape, self.num_features)
        return input_shape

    def _rows(self, x: Array) -> Array:
        return as_images(x, self.running_mean.dtype).reshape(-1, self.num_features)

    def _grad_rows(self, grad: Array) -> Array:
        return as_image_grad(grad, self.running_mean.dtype).reshape(-1, self.num_features)

    def _from_rows(self, rows: Array, shape: tuple[int, ...]) -> Array:
        batch, channels, height, width = shape
        return channels_first(rows.reshape(batch, height, width, channels))
