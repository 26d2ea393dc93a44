"""Group normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, as_input, as_real, real_dtype
from cnet._utils.threads import get_num_threads
from cnet._utils.validation import integer
from cnet.nn._checks import check_grad, check_row_shape, training_state
from cnet.nn._images import as_image_grad, as_images, channels_first, check_images
from cnet.nn._neutral import neutral
from cnet.nn._norm import Norm


class GroupNorm(Norm):
    """Group normalization: groups of channels of a sample, by their own mean and variance.

    For images (n, channels, height, width), or samples (n, channels). A group has ``num_channels /
    num_groups`` consecutive channels, and all their pixels::

        y = weight * (x - mean) / sqrt(variance + eps) + bias

    The result for a sample does not depend on the other samples of the mini-batch, so that the
    layer suits small batches.

    Parameters
    ----------
    num_groups : int
        At least 1; a divisor of `num_channels`.
    num_channels : int
        At least 1.
    eps : float
        Added to the variance.
    affine : bool
        Whether the result is scaled by a weight and shifted by a bias, both learned.
    dtype : {"float32", "float64"}
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None
        Initially 1 and 0.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.

    References
    ----------
    Wu and He, Group normalization, ECCV 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.GroupNorm(2, 4, eps=0)(np.array([[1.0, 3.0, 5.0, 9.0]]))
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    _settings = ("num_groups", "num_channels", "eps", "affine")

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        device: Any = None,
    ) -> None:
        neutral(device=device)
        self.num_groups = integer("num_groups", num_groups, 1)
        self.num_channels = integer("num_channels", num_channels, 1)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"num_channels is {num_channels}, expected a multiple of num_groups, which is "
                f"{num_groups}"
            )
        super().__init__((self.num_channels,), eps, affine, affine, real_dtype(dtype))

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "num_groups": self.num_groups,
            "num_channels": self.num_channels,
        }
        if self.eps != 1e-5:
            config["eps"] = self.eps
        return config if self.weight else {**config, "affine": False}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) == 1:
            check_row_shape(self, input_shape, (self.num_channels,))
        else:
            check_images(self, input_shape, self.num_channels)
        return input_shape

    def _scratch(self, rows: Array, samples: int) -> Array:
        """Return a workspace for all threads."""
        each = loops(rows.dtype).group_norm_scratch(len(rows) // max(samples, 1), self.num_channels)
        return np.empty(get_num_threads() * each, rows.dtype)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_array(x, "x")
        self.output_shape(x.shape[1:])
        dtype = self._own_dtype()
        source = as_images(x, dtype) if x.ndim == 4 else as_input(x, dtype)
        rows = source.reshape(-1, self.num_channels)
        out = np.empty_like(rows)
        xhat = np.empty_like(rows) if training else None
        moments = np.empty((len(x), 2 * self.num_channels), rows.dtype)
        loops(rows.dtype).group_norm_forward(
            out,
            xhat,
            moments,
            rows,
            self.num_groups,
            *self._affine(),
            self.eps,
            self._scratch(rows, len(x)),
        )
        self._xhat, self._rstd, self._out_shape = (
            (xhat, moments, x.shape) if training else (None, None, None)
        )
        result = out.reshape(source.shape)
        return channels_first(result) if x.ndim == 4 else result

    def backward(self, grad: ArrayLike) -> Array:
        xhat, moments = training_state(self, "_xhat"), training_state(self, "_rstd")
        grad = as_array(grad, "grad")
        assert self._out_shape is not None
        check_grad(self, grad.shape, self._out_shape)
        images = grad.ndim == 4
        source = as_image_grad(grad, xhat.dtype) if images else as_real(grad, xhat.dtype, "grad")
        dout, dx = source.reshape(xhat.shape), np.empty_like(xhat)
        if self.weight is not None:
            self._set_gradients(dout)
        loops(xhat.dtype).group_norm_backward(
            dx,
            dout,
            xhat,
            moments,
            self.num_groups,
            self._affine()[0],
            self._scratch(dout, len(grad)),
        )
        dx = dx.reshape(source.shape)
        return channels_first(dx) if images else dx
