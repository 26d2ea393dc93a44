"""The table of kernel cases: each kernel with the shapes it is tried on, its inputs, and what it
should give.

The tests of parity, of gradients, of instruction sets and of threads all walk this one table, so
that a kernel added here is tried in all these ways.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reference

from cnet import optim
from cnet._core import CODES
from cnet.nn import Parameter
from cnet.optim._rule import kinds

Arrays = dict[str, Any]

# (batch, inputs, outputs): nothing, one, odd, wider than a tile, longer than a block of the sum or
# of rows, rows of weights far enough apart that they are packed, as few of them as threads, and few
# inputs of many outputs.
LINEAR = [
    (0, 3, 2),
    (1, 1, 1),
    (3, 5, 7),
    (7, 1, 66),
    (2, 784, 10),
    (32, 33, 65),
    (37, 202, 17),
    (203, 257, 31),
    (300, 9, 4),
    (5, 64, 300),
    (40, 20, 300),
    (9, 3, 300),
    (37, 10, 150),
    (7, 16, 128),
]
ROWS = [(0, 5), (1, 1), (3, 10), (37, 10), (2, 17), (33, 64), (5, 131)]
# Convolutions by Winograd's algorithm (winograd.h): odd sizes, pads of none to beyond the kernel,
# tails of vectors, sums and filters beyond a block and a panel, and a large batch.
WINOGRAD = [
    (0, 10, 8, 16, 16, 3, 3, 1, 1, 1, 1),
    (5, 9, 12, 33, 40, 3, 3, 1, 1, 1, 1),
    (3, 13, 15, 32, 70, 3, 3, 1, 1, 0, 0),
    (2, 15, 14, 201, 34, 3, 3, 1, 1, 1, 3),
    (131, 8, 8, 16, 17, 3, 3, 1, 1, 1, 1),
]
# (batch, height, width, channels, filters, kernel height and width, strides, pads): no images, one
# number, odd ones, filters and channels beyond a panel and a block, many small images, images of
# several blocks, strides beyond the kernel, pads beyond it, and kernel columns side by side.
CONV = [
    (0, 5, 5, 2, 3, 3, 3, 1, 1, 0, 0),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
    (3, 7, 6, 3, 5, 3, 2, 1, 1, 1, 0),
    (2, 9, 11, 5, 17, 3, 3, 2, 2, 1, 1),
    (5, 4, 4, 20, 33, 3, 3, 1, 1, 1, 1),
    (3, 28, 28, 1, 32, 3, 3, 1, 1, 0, 0),
    (2, 6, 5, 70, 140, 2, 2, 1, 1, 0, 0),
    (2, 10, 9, 4, 70, 4, 5, 3, 2, 2, 4),
    (2, 8, 8, 3, 4, 1, 2, 3, 3, 0, 0),
    (2, 3, 5, 2, 9, 2, 3, 1, 2, 2, 3),
    (150, 2, 2, 3, 4, 2, 2, 1, 1, 0, 0),
    *WINOGRAD,
    (5, 12, 12, 6, 16, 5, 5, 1, 1, 0, 0),
    (3, 9, 11, 3, 5, 4, 7, 2, 1, 1, 3),
]
POOL = [
    (0, 4, 4, 3, 2, 2, 2, 2, 0, 0),
    (1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
    (3, 9, 6, 5, 2, 2, 2, 2, 0, 0),
    (2, 7, 8, 17, 3, 2, 2, 1, 1, 1),
    (1, 12, 13, 32, 2, 2, 2, 2, 0, 0),
    (2, 5, 9, 16, 4, 5, 1, 3, 2, 2),
    (2, 7, 7, 3, 1, 2, 3, 4, 0, 1),
]
NORM = [
    (5, 1),
    (6, 10),
    (37, 17),
    (300, 33),
    (1000, 5),
]  # batch normalization: rows in one block and in several
ELEMENTS = [(0, 1), (1, 1), (3, 1), (16, 1), (65, 1), (1000, 1), (0, 3), (37, 10), (2, 700)]
FLAT = [(0,), (1,), (3,), (16,), (65,), (1000,)]
# (images, channels, height, width)
IMAGES = [(0, 1, 2, 3), (1, 1, 1, 1), (2, 3, 4, 5), (5, 1, 28, 28), (3, 2, 17, 33)]


class Guarded:
    """Output arrays with a margin on both sides, to see writes beyond them."""

    MARGIN = 64

    def __init__(self, dtype) -> None:
        self.dtype = dtype
        self.buffers: list[np.ndarray] = []

    def __call__(self, *shape):
        size = int(np.prod(shape))
        buffer = np.full(size + 2 * self.MARGIN, 7, self.dtype)
        buffer[self.MARGIN : self.MARGIN + size] = np.nan  # anything not written shows
        self.buffers.append(buffer)
        return buffer[self.MARGIN : self.MARGIN + size].reshape(shape)

    def intact(self) -> bool:
        return all(
            (b[: self.MARGIN] == 7).all() and (b[len(b) - self.MARGIN :] == 7).all()
            for b in self.buffers
        )


@dataclass
class Case:
    """One kernel."""

    name: str
    shapes: list[tuple[int, ...]]
    inputs: Callable[[np.random.Generator, tuple[int, ...], Any], Arrays]
    run: Callable[[Any, Arrays, Guarded], Arrays]
    """(loops, inputs, allocator of outputs) -> outputs by name"""
    expected: Callable[[Arrays], Arrays] | None = None
    """inputs -> outputs by name; None for gradients, which are held against `loss`"""
    loss: Callable[[Arrays], float] | None = None
    """The scalar whose gradient the outputs are"""
    wrt: dict[str, str] = field(default_factory=dict)
    """Output name -> the input that it is the gradient of"""
    relative_step: bool = False
    """Finite differences in proportion to the input: for a loss that is steep near zero"""
    slack: float = 1
    """How much more the result may differ from the expected one, where rounding is magnified"""


def _normal(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def _off_zero(x):
    """Away from the kink of ReLU, where finite differences mean nothing."""
    return np.where(np.abs(x) < 1e-2, x.dtype.type(0.5), x)


def _linear_inputs(rng, shape, dtype):
    batch, n_in, n_out = shape
    return {
        "x": _normal(rng, (batch, n_in), dtype),
        "w": _normal(rng, (n_in, n_out), dtype),
        "b": _normal(rng, (n_out,), dtype),
        "dout": _normal(rng, (batch, n_out), dtype),
    }


def _linear_forward(loops, a, out):
    y = out(len(a["x"]), a["w"].shape[1])
    loops.linear_forward(y, a["x"], a["w"], a["b"])
    return {"out": y}


def _linear_forward_no_bias(loops, a, out):
    y = out(len(a["x"]), a["w"].shape[1])
    loops.linear_forward(y, a["x"], a["w"], None)
    return {"out": y}


def _linear_backward_input(loops, a, out):
    dx = out(*a["x"].shape)
    loops.linear_backward_input(dx, a["dout"], a["w"])
    return {"dx": dx}


def _linear_backward_params(loops, a, out):
    dw, db = out(*a["w"].shape), out(*a["b"].shape)
    loops.linear_backward_weight(dw, a["x"], a["dout"])
    loops.linear_backward_bias(db, a["dout"])
    return {"dw": dw, "db": db}


def _linear_loss(a):
    return (reference.linear_forward(a["x"], a["w"], a["b"]) * a["dout"]).sum()


def _windows(length, kernel, stride, pad):
    return (length + 2 * pad - kernel) // stride + 1


def _conv_inputs(rng, shape, dtype):
    batch, height, width, channels, filters, *sizes = shape
    kh, kw, sy, sx, py, px = sizes
    return {
        "x": _normal(rng, (batch, height, width, channels), dtype),
        "w": _normal(rng, (kw, kh, channels, filters), dtype),
        "b": _normal(rng, (filters,), dtype),
        "dout": _normal(
            rng, (batch, _windows(height, kh, sy, py), _windows(width, kw, sx, px), filters), dtype
        ),
        "sizes": tuple(sizes),
    }


def _conv_scratch(loops, a):
    """For three threads: more may be allowed, but there is no room for them."""
    return np.full(
        3 * loops.conv_scratch_size(*a["x"].shape[1:], a["w"].shape[3], a["sizes"]), 127, np.int8
    )


def _conv_forward(loops, a, out):
    y = out(*a["dout"].shape)
    loops.conv_forward(y, a["x"], a["w"], a["b"], a["sizes"], _conv_scratch(loops, a))
    return {"out": y}


def _conv_backward_input(loops, a, out):
    dx = out(*a["x"].shape)
    loops.conv_backward_input(dx, a["dout"], a["w"], a["sizes"], _conv_scratch(loops, a))
    return {"dx": dx}


def _conv_backward_params(loops, a, out):
    dw, db = out(*a["w"].shape), out(*a["b"].shape)
    loops.conv_backward_params(dw, db, a["x"], a["dout"], a["sizes"], _conv_scratch(loops, a))
    return {"dw": dw, "db": db}


def _conv_loss(a):
    return (reference.conv_forward(a["x"], a["w"], a["b"], a["sizes"]) * a["dout"]).sum()


def _pool(name):
    function = getattr(reference, name)

    def inputs(rng, shape, dtype):
        batch, height, width, channels, *sizes = shape
        kh, kw, sy, sx, py, px = sizes
        values = (
            rng.permutation(batch * height * width * channels) / 100
        )  # no two are near each other, where finite differences mean nothing
        return {
            "x": values.reshape(batch, height, width, channels).astype(dtype),
            "dout": _normal(
                rng,
                (batch, _windows(height, kh, sy, py), _windows(width, kw, sx, px), channels),
                dtype,
            ),
            "sizes": tuple(sizes),
        }

    def forward(loops, a, out):
        y = out(*a["dout"].shape)
        loops.pool_forward(y, a["x"], a["sizes"], name == "max_pool")
        return {"out": y}

    def backward(loops, a, out):
        y, dx = out(*a["dout"].shape), out(*a["x"].shape)
        loops.pool_forward(y, a["x"], a["sizes"], name == "max_pool")
        loops.pool_backward(dx, a["dout"], y, a["x"], a["sizes"], name == "max_pool")
        return {"dx": dx}

    return [
        Case(
            f"{name}_forward",
            POOL,
            inputs,
            forward,
            lambda a: {"out": function(a["x"], a["sizes"])},
        ),
        Case(
            f"{name}_backward",
            POOL,
            inputs,
            backward,
            loss=lambda a: (function(a["x"], a["sizes"]) * a["dout"]).sum(),
            wrt={"dx": "x"},
        ),
    ]


def _transposed_shape(a):
    batch, height, width, channels = a["x"].shape
    return batch, channels, height * width


def _transpose(loops, a, out):
    batch, channels, pixels = _transposed_shape(a)
    y = out(batch, channels, pixels)
    loops.transpose(y, a["x"].reshape(batch, pixels, channels))
    return {"out": y}


def _activation(name):
    kind = CODES[name.upper()]
    function = getattr(reference, name)
    from_input = name.startswith("gelu") or name == "silu"

    def inputs(rng, shape, dtype):
        return {
            "x": _off_zero(_normal(rng, shape, dtype)),
            "dout": _normal(rng, shape, dtype),
            "slope": 0.1,
        }

    def forward(loops, a, out):
        y = out(*a["x"].shape)
        loops.activation_forward(y, a["x"], kind, a["slope"])
        return {"out": y}

    def backward(loops, a, out):
        y, dx = out(*a["x"].shape), out(*a["x"].shape)
        loops.activation_forward(y, a["x"], kind, a["slope"])
        loops.activation_backward(dx, a["dout"], a["x"] if from_input else y, kind, a["slope"])
        return {"dx": dx}

    return [
        Case(
            f"{name}_forward",
            ELEMENTS,
            inputs,
            forward,
            lambda a: {"out": function(a["x"], a["slope"])},
        ),
        Case(
            f"{name}_backward",
            ELEMENTS,
            inputs,
            backward,
            loss=lambda a: (function(a["x"], a["slope"]) * a["dout"]).sum(),
            wrt={"dx": "x"},
        ),
    ]


def _dropout_inputs(rng, shape, dtype):
    return {
        "x": _normal(rng, shape, dtype),
        "dout": _normal(rng, shape, dtype),
        "p": float(rng.choice([0, 0.1, 0.5, 0.9, 1])),
        "key": int(rng.integers(1 << 64, dtype=np.uint64)),
        "step": int(rng.integers(1 << 40)),
    }


def _dropout(name):
    def run(loops, a, out):
        y = out(*a["x"].shape)
        loops.dropout(y, a[name], a["p"], a["key"], np.array([a["step"]]))
        return {"out": y}

    return run


def _dropped(a, name):
    return reference.dropout(a[name].ravel(), a["p"], a["key"], a["step"]).reshape(a[name].shape)


def _norm_inputs(rng, shape, dtype):
    n = shape[1]
    return {
        "x": 2 + _normal(rng, shape, dtype),
        "w": _normal(rng, (n,), dtype),
        "b": _normal(rng, (n,), dtype),
        "dout": _normal(rng, shape, dtype),
        "eps": 1e-3,
    }


def _layer_norm_forward(loops, a, out):
    y, xhat, rstd, again = (
        out(*a["x"].shape),
        out(*a["x"].shape),
        out(len(a["x"])),
        out(*a["x"].shape),
    )
    loops.layer_norm_forward(y, xhat, rstd, a["x"], a["w"], a["b"], a["eps"])
    loops.layer_norm_forward(again, None, None, a["x"], None, None, a["eps"])
    np.testing.assert_array_equal(again, xhat)
    return {"out": y, "xhat": xhat, "rstd": rstd}


def _layer_norm_backward(loops, a, out):
    y, xhat, rstd, dx, sums = (
        out(*a["x"].shape),
        out(*a["x"].shape),
        out(len(a["x"])),
        out(*a["x"].shape),
        out(2, len(a["w"])),
    )
    loops.layer_norm_forward(y, xhat, rstd, a["x"], a["w"], a["b"], a["eps"])
    loops.layer_norm_backward(dx, a["dout"], xhat, rstd, a["w"])
    loops.norm_backward_params(
        sums, a["dout"], xhat, out(loops.norm_blocks(len(a["x"])), 2 * len(a["w"]))
    )
    return {"dx": dx, "db": sums[0], "dw": sums[1]}


def _batch_norm(loops, a, out):
    m, n = a["x"].shape
    mean, var, rstd, xhat, y = out(n), out(n), out(n), out(m, n), out(m, n)
    scratch = out(loops.norm_blocks(m), 2 * n)
    loops.batch_norm_moments(mean, var, rstd, a["x"], a["eps"], scratch)
    loops.batch_norm_forward(y, xhat, a["x"], mean, rstd, a["w"], a["b"])
    again, same = out(m, n), out(n)
    loops.batch_norm_inference(again, a["x"], mean, var, a["w"], a["b"], a["eps"], out(3, n))
    loops.inverse_deviation(same, var, a["eps"])
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(same, rstd)
    return mean, var, rstd, xhat, y


def _batch_norm_forward(loops, a, out):
    mean, var, _, _, y = _batch_norm(loops, a, out)
    n = len(mean)
    running_mean, running_var = out(n), out(n)
    running_mean[:], running_var[:] = 1, 2
    tracked = np.array([3])
    loops.batch_norm_track(running_mean, running_var, tracked, a["x"], mean, var, -1.0)
    assert tracked == 4
    return {
        "out": y,
        "mean": mean,
        "var": var,
        "running_mean": running_mean,
        "running_var": running_var,
    }


def _batch_norm_expected(a):
    mean, var = a["x"].mean(axis=0), a["x"].var(axis=0)
    running = {
        "running_mean": 0.75 + 0.25 * mean,
        "running_var": 1.5 + 0.25 * a["x"].var(axis=0, ddof=1),
    }
    return {
        "out": reference.batch_norm(a["x"], a["w"], a["b"], a["eps"]),
        "mean": mean,
        "var": var,
        **running,
    }


def _batch_norm_backward(loops, a, out):
    _, _, rstd, xhat, _ = _batch_norm(loops, a, out)
    m, n = a["x"].shape
    sums, dx = out(2, n), out(m, n)
    loops.norm_backward_params(sums, a["dout"], xhat, out(loops.norm_blocks(m), 2 * n))
    loops.batch_norm_backward(dx, a["dout"], xhat, rstd, a["w"], sums)
    return {"dx": dx, "db": sums[0], "dw": sums[1]}


# (samples, pixels, channels, groups): no samples, one channel, one group, and pixels of several
# blocks.
GROUP_NORM = [
    (0, 4, 6, 2),
    (1, 1, 1, 1),
    (3, 1, 20, 2),
    (5, 9, 17, 1),
    (2, 450, 12, 4),
    (37, 4, 3, 3),
]


def _group_norm_inputs(rng, shape, dtype):
    m, pixels, n, groups = shape
    return {
        **_norm_inputs(rng, (m * pixels, n), dtype),
        "m": m,
        "pixels": pixels,
        "groups": groups,
    }


def _group_norm(loops, a, out):
    m, rows = a["m"], a["x"].shape
    y, xhat, moments = out(*rows), out(*rows), out(m, 2 * rows[1])
    scratch = out(3 * loops.group_norm_scratch(a["pixels"], rows[1]))
    loops.group_norm_forward(
        y, xhat, moments, a["x"], a["groups"], a["w"], a["b"], a["eps"], scratch
    )
    return y, xhat, moments, scratch


def _group_norm_forward(loops, a, out):
    y, xhat, _, _ = _group_norm(loops, a, out)
    return {"out": y, "xhat": xhat}


def _group_norm_backward(loops, a, out):
    _, xhat, moments, scratch = _group_norm(loops, a, out)
    sums, dx = out(2, len(a["w"])), out(*xhat.shape)
    loops.norm_backward_params(
        sums, a["dout"], xhat, out(loops.norm_blocks(len(xhat)), 2 * len(a["w"]))
    )
    loops.group_norm_backward(dx, a["dout"], xhat, moments, a["groups"], a["w"], scratch)
    return {"dx": dx, "db": sums[0], "dw": sums[1]}


def _group_normed(a):
    return reference.group_norm(a["x"], a["groups"], a["pixels"], a["w"], a["b"], a["eps"])


def _softmax_inputs(rng, shape, dtype):
    return {"x": 3 * _normal(rng, shape, dtype), "dout": _normal(rng, shape, dtype)}


def _softmax_forward(loops, a, out):
    y = out(*a["x"].shape)
    loops.softmax_forward(y, a["x"])
    return {"out": y}


def _softmax_backward(loops, a, out):
    y, dx = out(*a["x"].shape), out(*a["x"].shape)
    loops.softmax_forward(y, a["x"])
    loops.softmax_backward(dx, a["dout"], y)
    return {"dx": dx}


def _loss_cases(name, function, inputs, setting=0.0, mean=None, relative_step=False, slack=1):
    """function(inputs) -> the loss of each row; mean(rows, inputs) -> that of all."""
    kind = CODES[name.upper().split("__")[0]]
    mean = mean or (lambda rows, a: rows.mean())

    def call(loops, a, row_loss, dx):
        labels, t, weights = a.get("labels"), a["t"], a.get("weights")
        return loops.loss(
            kind,
            setting,
            row_loss,
            dx,
            a["x"],
            labels,
            t if labels is None else None,
            weights,
            a.get("row_weights"),
        )

    def forward(loops, a, out):
        rows = out(len(a["x"]))
        return {"rows": rows, "mean": np.array([call(loops, a, rows, None)])}

    def backward(loops, a, out):
        dx = out(*a["x"].shape)
        call(loops, a, None, dx)
        return {"dx": dx}

    def fused(loops, a, out):
        rows, dx = out(len(a["x"])), out(*a["x"].shape)
        value = call(loops, a, rows, dx)
        return {"rows": rows, "mean": np.array([value])}

    def expected(a):
        rows = function(a)
        return {"rows": rows, "mean": np.array([mean(rows, a) if len(rows) else 0.0])}

    return [
        Case(f"{name}_forward", ROWS, inputs, forward, expected, slack=slack),
        Case(f"{name}_fused", ROWS, inputs, fused, expected, slack=slack),
        Case(
            f"{name}_backward",
            ROWS,
            inputs,
            backward,
            loss=lambda a: mean(function(a), a),
            wrt={"dx": "x"},
            relative_step=relative_step,
        ),
    ]


def _class_inputs(*, labels, probabilities=False, weights=False):
    def inputs(rng, shape, dtype):
        m, n = shape
        x = 3 * _normal(rng, shape, dtype)
        y = rng.integers(0, n, m)
        soft = rng.random((m, n)) + 0.1
        return {
            "x": reference.softmax(x.astype(np.float64)).astype(dtype)
            if probabilities and m
            else x,
            "labels": y if labels else None,
            "t": reference.one_hot(y, n) if labels else soft.astype(dtype),
            "weights": (rng.random(n) + 0.1).astype(dtype) if weights else None,
        }

    return inputs


def _weighted(smoothing):
    return lambda a: reference.cross_entropy(
        a["x"], reference.smoothed(a["t"], smoothing, 1 if a["weights"] is None else a["weights"])
    )


def _weighted_mean(rows, a):
    return rows.sum() / (len(rows) if a["labels"] is None else a["weights"][a["labels"]].sum())


def _rows_weighted(name, function, inputs, *arguments):
    """The cases of a loss once more, where rows have weights, some of them 0."""

    def weighted_inputs(rng, shape, dtype):
        return {
            **inputs(rng, shape, dtype),
            "row_weights": (rng.integers(0, 2, shape[0]) * (rng.random(shape[0]) + 0.1)).astype(
                dtype
            ),
        }

    def mean(rows, a):
        counts = np.asarray(a["row_weights"], np.float64)
        if a.get("labels") is not None and a["weights"] is not None:
            counts = counts * a["weights"][a["labels"]]
        return rows.sum() / counts.sum() if counts.any() else 0.0

    return _loss_cases(
        f"{name}_rows_weighted",
        lambda a: a["row_weights"] * function(a),
        weighted_inputs,
        *arguments,
        mean=mean,
    )


def _element_inputs(target, *kinks, x=lambda rng, shape: 2 * rng.standard_normal(shape)):
    """Differences keep away from kinks, where finite differences mean nothing."""

    def inputs(rng, shape, dtype):
        outputs = x(rng, shape)
        t = target(rng, shape)
        for kink in kinks:
            t = np.where(np.abs(outputs - t - kink) < 0.02, t + 0.05, t)
        return {"x": outputs.astype(dtype), "t": t.astype(dtype)}

    return inputs


def _real_targets(rng, shape):
    return rng.standard_normal(shape)


def _counts(rng, shape):
    return rng.poisson(2.0, shape)


def _means(rng, shape):
    return rng.random(shape) + 0.5


def _truths(rng, shape):
    return rng.integers(0, 2, shape)


def _update(name, optimizer, function, step=7, decoupled=None, flags=(), weight=5.0, **settings):
    """A step of an optimizer that has taken some before; means of squares are larger than the
    squares of means.
    """
    rule = optimizer([Parameter((1,))], **settings)
    rule = rule._rule(rule.param_groups[0])._replace(**dict.fromkeys(flags, True))
    settings |= {} if decoupled is None else {"decoupled": decoupled}
    settings |= {"weight_decay": settings["weight_decay"] / weight} if "summed" in flags else {}
    settings |= (
        {"eps": settings["eps"] / np.sqrt(1 - settings["betas"][1] ** step)}
        if "inner" in flags
        else {}
    )

    def inputs(rng, shape, dtype):
        v = _normal(rng, (kinds.states(rule.kind), *shape), dtype) / 2
        if rule.beta2:
            v[::2] = np.abs(v[::2]) + 1
            v[1::2] = v[1::2].clip(-0.5, 0.5) if optimizer is optim.RMSprop else np.abs(v[1::2])
            v[2:] = v[2:].clip(-0.5, 0.5) if optimizer is optim.RMSprop else v[2:]
        return {"w": _normal(rng, shape, dtype), "g": _normal(rng, shape, dtype), "v": v}

    def run(loops, a, out):
        w, v = out(*a["w"].shape), out(*a["v"].shape)
        w[:], v[:] = a["w"], a["v"]
        loops.update_step(w, a["g"], v, step - 1, *rule, weight)
        return {"w": w, "v": v}

    def expected(a):
        w, v = function(a["w"], a["g"], a["v"], step, **settings)
        return {"w": w, "v": np.reshape(v, a["v"].shape)}

    return Case(name, FLAT, inputs, run, expected)


def _clip(loops, a, out):
    g, total = out(len(a["g"])), 0.5
    g[:] = a["g"]
    total = loops.clip(g, total, 0.7)
    clipped = g.copy()
    loops.scale(g, 0.3)
    return {"clipped": clipped, "scaled": g, "total": np.array([total])}


def _clip_expected(a):
    g = a["g"].clip(-0.7, 0.7)
    return {"clipped": g, "scaled": 0.3 * g, "total": np.array([0.5 + (g**2).sum()])}


def _square_sum(loops, a, out):
    return {"total": np.array([loops.square_sum(a["w"], 0.5)])}


def _gather_inputs(rng, shape, dtype):
    n, width = shape
    rows = rng.integers(0, n, 2 * n)
    return {
        "x": _normal(rng, (n, width), dtype),
        "u": rng.integers(0, 256, (n, width), np.uint8),
        "rows": rows,
    }


def _gather(loops, a, out):
    y, z = (out(len(a["rows"]), a["x"].shape[1]) for _ in range(2))
    loops.gather(y, a["x"], a["rows"])
    loops.gather_uint8(z, a["u"], a["rows"])
    return {"y": y, "z": z}


def _rescale(loops, a, out):
    y = out(*a["x"].shape)
    loops.rescale(y, a["x"], 0.3, -1.5)
    return {"y": y}


AFFINE = {"shift": 2.0, "rotation": 0.3, "scale": 0.2, "shear": 0.2, "flip": True}


def _augment(name, *, affine=None, elastic=False, noise=False, standard=False, slack=1):
    def inputs(rng, shape, dtype):
        n, channels, height, width = shape
        pixels = channels * height * width
        basis_x = np.zeros((4, -(-width // 16) * 16), dtype)
        basis_x[:, :width] = rng.random((4, width))
        return {
            "shape": shape,
            "x": rng.random((2 * n, pixels)).astype(dtype),
            "u": rng.integers(0, 3, (2 * n, pixels), np.uint8),
            "sources": rng.integers(0, max(2 * n, 1), n),
            "rows": rng.integers(0, 1 << 40, n),
            "epoch": int(rng.integers(1 << 32)),
            "key": rng.integers(0, 1 << 32, 2, np.uint32),
            "basis_y": rng.random((height, 5)).astype(dtype),
            "basis_x": basis_x,
            "quantiles": np.linspace(-2, 3, 257).astype(dtype),
            "mean": rng.random(pixels).astype(dtype),
            "factor": rng.random(pixels).astype(dtype),
        }

    def run(loops, a, out):
        n, channels, height, width = a["shape"]
        augmentation = loops.Augmentation(channels, height, width, a["key"])
        if affine:
            augmentation.affine(**affine)
        if elastic:
            augmentation.elastic(a["basis_y"], a["basis_x"])
        if noise:
            augmentation.noise(0.25, a["quantiles"])
        if standard:
            augmentation.standardize(a["mean"], a["factor"])
        results = {}
        for source in ("x", "u"):
            results[source] = out(n, channels * height * width)
            scratch = out(7 * augmentation.scratch)
            scratch[:] = 0
            augmentation.run(
                results[source], a[source], a["sources"], a["rows"], a["epoch"], scratch
            )
        return results

    def expected(a):
        n, *shape = a["shape"]
        results = {}
        for source, images in (("x", a["x"]), ("u", a["u"].astype(float))):
            results[source] = np.array(
                [
                    reference.augment(
                        images[a["sources"][i]].reshape(shape),
                        int(a["rows"][i]),
                        a["epoch"],
                        a["key"],
                        affine,
                        (a["basis_y"], a["basis_x"]) if elastic else None,
                        (0.25, a["quantiles"]) if noise else None,
                        (a["mean"], a["factor"]) if standard else None,
                    )
                    for i in range(n)
                ]
            ).reshape(n, -1 if n else np.prod(shape))
        return results

    return Case(name, IMAGES, inputs, run, expected, slack=slack)


ADAM = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
RMSPROP = {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}

CASES = [
    Case(
        "linear_forward",
        LINEAR,
        _linear_inputs,
        _linear_forward,
        lambda a: {"out": reference.linear_forward(a["x"], a["w"], a["b"])},
    ),
    Case(
        "linear_forward_no_bias",
        LINEAR,
        _linear_inputs,
        _linear_forward_no_bias,
        lambda a: {"out": reference.linear_forward(a["x"], a["w"], None)},
    ),
    Case(
        "linear_backward_input",
        LINEAR,
        _linear_inputs,
        _linear_backward_input,
        lambda a: {"dx": a["dout"] @ a["w"].T},
        _linear_loss,
        {"dx": "x"},
    ),
    Case(
        "linear_backward_params",
        LINEAR,
        _linear_inputs,
        _linear_backward_params,
        lambda a: {"dw": a["x"].T @ a["dout"], "db": a["dout"].sum(axis=0)},
        _linear_loss,
        {"dw": "w", "db": "b"},
    ),
    Case(
        "conv_forward",
        CONV,
        _conv_inputs,
        _conv_forward,
        lambda a: {"out": reference.conv_forward(a["x"], a["w"], a["b"], a["sizes"])},
    ),
    Case(
        "conv_backward_input",
        CONV,
        _conv_inputs,
        _conv_backward_input,
        lambda a: {"dx": reference.conv_backward_input(a["x"], a["w"], a["dout"], a["sizes"])},
        _conv_loss,
        {"dx": "x"},
    ),
    Case(
        "conv_backward_params",
        CONV,
        _conv_inputs,
        _conv_backward_params,
        lambda a: dict(
            zip(
                ("dw", "db"),
                reference.conv_backward_params(a["x"], a["dout"], a["sizes"]),
                strict=True,
            )
        ),
        _conv_loss,
        {"dw": "w", "db": "b"},
    ),
    Case(
        "transpose",
        CONV,
        _conv_inputs,
        _transpose,
        lambda a: {"out": a["x"].transpose(0, 3, 1, 2).reshape(_transposed_shape(a))},
    ),
    *_pool("max_pool"),
    *_pool("avg_pool"),
    *_activation("relu"),
    *_activation("leaky_relu"),
    *_activation("tanh"),
    *_activation("sigmoid"),
    *_activation("elu"),
    *_activation("gelu"),
    *_activation("gelu_tanh"),
    *_activation("silu"),
    *_activation("softplus"),
    Case(
        "dropout_forward",
        [*ELEMENTS, (63, 1), (16, 4), (40, 5)],
        _dropout_inputs,
        _dropout("x"),
        lambda a: {"out": _dropped(a, "x")},
    ),
    Case(
        "dropout_backward",
        ELEMENTS,
        _dropout_inputs,
        _dropout("dout"),
        loss=lambda a: (_dropped(a, "x") * a["dout"]).sum(),
        wrt={"out": "x"},
    ),
    Case(
        "group_norm_forward",
        GROUP_NORM,
        _group_norm_inputs,
        _group_norm_forward,
        lambda a: dict(zip(("out", "xhat"), _group_normed(a), strict=True)),
    ),
    Case(
        "group_norm_backward",
        GROUP_NORM,
        _group_norm_inputs,
        _group_norm_backward,
        loss=lambda a: (_group_normed(a)[0] * a["dout"]).sum(),
        wrt={"dx": "x", "dw": "w", "db": "b"},
    ),
    Case(
        "layer_norm_forward",
        ROWS,
        _norm_inputs,
        _layer_norm_forward,
        lambda a: dict(
            zip(
                ("out", "xhat", "rstd"),
                reference.layer_norm(a["x"], a["w"], a["b"], a["eps"]),
                strict=True,
            )
        ),
    ),
    Case(
        "layer_norm_backward",
        ROWS,
        _norm_inputs,
        _layer_norm_backward,
        loss=lambda a: (
            reference.layer_norm(a["x"], a["w"], a["b"], a["eps"])[0] * a["dout"]
        ).sum(),
        wrt={"dx": "x", "dw": "w", "db": "b"},
    ),
    Case("batch_norm_forward", NORM, _norm_inputs, _batch_norm_forward, _batch_norm_expected),
    Case(
        "batch_norm_backward",
        NORM,
        _norm_inputs,
        _batch_norm_backward,
        loss=lambda a: (reference.batch_norm(a["x"], a["w"], a["b"], a["eps"]) * a["dout"]).sum(),
        wrt={"dx": "x", "dw": "w", "db": "b"},
    ),
    Case(
        "softmax_forward",
        ROWS,
        _softmax_inputs,
        _softmax_forward,
        lambda a: {"out": reference.softmax(a["x"])},
    ),
    Case(
        "softmax_backward",
        ROWS,
        _softmax_inputs,
        _softmax_backward,
        loss=lambda a: (reference.softmax(a["x"]) * a["dout"]).sum(),
        wrt={"dx": "x"},
    ),
    *_loss_cases("cross_entropy__labels", _weighted(0), _class_inputs(labels=True)),
    *_loss_cases("cross_entropy__soft", _weighted(0), _class_inputs(labels=False)),
    *_loss_cases(
        "cross_entropy__labels_smoothed", _weighted(0.2), _class_inputs(labels=True), 0.2, slack=3
    ),
    *_loss_cases(
        "cross_entropy__labels_weighted",
        _weighted(0),
        _class_inputs(labels=True, weights=True),
        0,
        _weighted_mean,
    ),
    *_loss_cases(
        "cross_entropy__labels_weighted_smoothed",
        _weighted(0.2),
        _class_inputs(labels=True, weights=True),
        0.2,
        _weighted_mean,
        slack=3,
    ),
    *_loss_cases(
        "cross_entropy__soft_weighted_smoothed",
        _weighted(0.2),
        _class_inputs(labels=False, weights=True),
        0.2,
        _weighted_mean,
        slack=3,
    ),
    *_rows_weighted("cross_entropy__labels", _weighted(0), _class_inputs(labels=True)),
    *_rows_weighted(
        "cross_entropy__labels_weighted", _weighted(0), _class_inputs(labels=True, weights=True)
    ),
    *_rows_weighted("cross_entropy__soft", _weighted(0), _class_inputs(labels=False)),
    *_rows_weighted(
        "mse_", lambda a: reference.mse(a["x"], a["t"]), _element_inputs(_real_targets)
    ),
    *_loss_cases(
        "nll__labels",
        lambda a: reference.nll(a["x"], a["t"]),
        _class_inputs(labels=True, probabilities=True),
        relative_step=True,
    ),
    *_loss_cases(
        "nll__soft",
        lambda a: reference.nll(a["x"], a["t"]),
        _class_inputs(labels=False, probabilities=True),
        relative_step=True,
    ),
    *_loss_cases("mse", lambda a: reference.mse(a["x"], a["t"]), _element_inputs(_real_targets)),
    *_loss_cases("l1", lambda a: reference.l1(a["x"], a["t"]), _element_inputs(_real_targets, 0)),
    *_loss_cases(
        "huber",
        lambda a: reference.huber(a["x"], a["t"], 0.75),
        _element_inputs(_real_targets, -0.75, 0.75),
        0.75,
    ),
    *_loss_cases(
        "smooth_l1",
        lambda a: reference.huber(a["x"], a["t"], 0.75) / 0.75,
        _element_inputs(_real_targets, -0.75, 0.75),
        0.75,
    ),
    *_loss_cases(
        "quantile",
        lambda a: reference.quantile(a["x"], a["t"], 0.8),
        _element_inputs(_real_targets, 0),
        0.8,
    ),
    *_loss_cases(
        "poisson",
        lambda a: reference.poisson(a["x"], a["t"], 0.01),
        _element_inputs(_counts, x=_means),
        0.01,
        slack=3,
    ),
    *_loss_cases(
        "poisson_log", lambda a: reference.poisson_log(a["x"], a["t"]), _element_inputs(_counts)
    ),
    *_loss_cases("bce", lambda a: reference.bce(a["x"], a["t"]), _element_inputs(_truths)),
    _update("sgd", optim.SGD, reference.sgd, lr=0.1),
    _update("sgd_momentum", optim.SGD, reference.sgd, lr=0.1, momentum=0.9, weight_decay=0.01),
    _update(
        "sgd_nesterov",
        optim.SGD,
        reference.sgd,
        lr=0.1,
        momentum=0.9,
        weight_decay=0.01,
        nesterov=True,
    ),
    _update(
        "sgd_summed_penalty",
        optim.SGD,
        reference.sgd,
        lr=0.1,
        momentum=0.9,
        weight_decay=0.5,
        flags=["summed"],
    ),
    _update("adam", optim.Adam, reference.adam, **ADAM),
    _update("adam_inner_eps", optim.Adam, reference.adam, **ADAM, flags=["inner"]),
    _update(
        "adam_amsgrad_inner_eps_summed_penalty",
        optim.Adam,
        reference.adam,
        **ADAM,
        amsgrad=True,
        flags=["inner", "summed"],
    ),
    _update(
        "adamw_summed_penalty",
        optim.AdamW,
        reference.adam,
        **ADAM,
        decoupled=True,
        flags=["summed"],
    ),
    _update("adam_amsgrad", optim.Adam, reference.adam, **ADAM, amsgrad=True),
    _update("adamw", optim.AdamW, reference.adam, **ADAM, decoupled=True),
    _update("nadam", optim.NAdam, reference.nadam, **ADAM, momentum_decay=0.1),
    _update("rmsprop", optim.RMSprop, reference.rmsprop, **RMSPROP),
    _update("rmsprop_momentum", optim.RMSprop, reference.rmsprop, **RMSPROP, momentum=0.9),
    _update(
        "rmsprop_centered", optim.RMSprop, reference.rmsprop, **RMSPROP, momentum=0.9, centered=True
    ),
    Case(
        "clip",
        [*FLAT, (9000,)],
        lambda rng, shape, dtype: {"g": _normal(rng, shape, dtype)},
        _clip,
        _clip_expected,
        slack=3,
    ),
    Case(
        "square_sum",
        [*FLAT, (9000,)],
        lambda rng, shape, dtype: {"w": _normal(rng, shape, dtype)},
        _square_sum,
        lambda a: {"total": np.array([0.5 + (a["w"] ** 2).sum()])},
    ),
    _augment("augment_nothing"),
    _augment("augment_affine", affine=AFFINE, slack=10),
    _augment("augment_elastic", elastic=True, slack=10),
    _augment("augment_noise", noise=True),
    _augment("augment_standardize", standard=True),
    _augment("augment_all", affine=AFFINE, elastic=True, noise=True, standard=True, slack=10),
    Case(
        "gather",
        ROWS[1:],
        _gather_inputs,
        _gather,
        lambda a: {"y": a["x"][a["rows"]], "z": a["u"][a["rows"]]},
    ),
    Case(
        "rescale",
        ELEMENTS,
        lambda rng, shape, dtype: {"x": _normal(rng, shape, dtype)},
        _rescale,
        lambda a: {"y": 0.3 * a["x"] - 1.5},
        slack=2,
    ),
]
