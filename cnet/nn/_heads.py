"""Several output heads of one network, and the loss that trains them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import Array, as_array, as_input, as_real, float_dtype, shape_text
from cnet._utils.validation import real
from cnet.nn._checks import check_grad
from cnet.nn._functions import as_loss
from cnet.nn._losses import Loss
from cnet.nn._module import Module


class Heads(Module):
    """Several heads with the same input, whose outputs are concatenated.

    ``y = concatenate([head(x) for head in heads], axis=1)``. It is the last layer of a network that
    predicts several targets, and is trained with `HeadsLoss`. The input has shape (n, ...), as the
    heads require it. The output has shape (n, outputs), where `outputs` is the sum of the widths of
    the heads.

    Parameters
    ----------
    *heads : Module
        Layers or networks with outputs of one axis. Their names are "0", "1" and so on.
    **named_heads : Module
        Heads with names, which the history and `state_dict` use.

    Attributes
    ----------
    heads : dict of Module
        Heads by name.
    widths : tuple of int, or None
        Number of outputs of each head; None until an input shape is known.

    Raises
    ------
    TypeError
        If an argument is not a layer or network.
    ValueError
        If there are no heads, only some have names, a name contains a dot, or the heads require
        different inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> heads = nn.Heads(digit=nn.Linear(64, 10), parity=nn.Linear(64, 2))
    >>> model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), heads, seed=0)
    >>> output = model(np.zeros((5, 784)))
    >>> output.shape
    (5, 12)
    >>> digit, parity = heads.split(output)
    >>> parity.shape
    (5, 2)
    """

    _saved = ("_training_shape",)
    _has_branches = True

    def __init__(self, *heads: Module, **named_heads: Module) -> None:
        if heads and named_heads:
            raise ValueError(
                "some heads have names and some have not: give names to all or to none"
            )
        self.heads: dict[str, Module] = named_heads or {
            str(i): head for i, head in enumerate(heads)
        }
        if not self.heads:
            raise ValueError("Heads has no heads, expected at least one")
        for name, head in self.heads.items():
            if not isinstance(head, Module):
                hint = ": construct it" if isinstance(head, type) else ""
                raise TypeError(
                    f"head {name} is {head!r}, expected a layer or network such as nn.Linear(64, "
                    f"10){hint}"
                )
            if not name or "." in name:
                raise ValueError(f"a head is called {name!r}, expected a name without dots")
        self.widths: tuple[int, ...] | None = None
        """Number of outputs of each head; None until an input shape is known."""
        self._training_shape: tuple[int, ...] | None = None
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return next(
            (shape for head in self.heads.values() if (shape := head.input_shape) is not None), None
        )

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        widths = []
        for name, head in self.heads.items():
            try:
                shape = head.output_shape(input_shape)
            except ValueError as error:
                raise ValueError(f"head {name}: {error}") from None
            if len(shape) != 1:
                raise ValueError(
                    f"head {name} has outputs of shape {shape_text(shape)}, expected one axis: put "
                    "nn.Flatten() at its end"
                )
            widths.append(shape[0])
        self.widths = tuple(widths)
        return (sum(widths),)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from self.heads.items()

    def split(self, output: ArrayLike) -> tuple[Array, ...]:
        """Split the output of the network into views, one for each head.

        Parameters
        ----------
        output : array-like, shape (n, outputs)
            Output of a network that ends in these heads, or a gradient of it.

        Returns
        -------
        tuple of ndarray
            Arrays of shape (n, width), in the order of the heads.

        Raises
        ------
        ValueError
            If `output` has another shape.
        """
        output = as_array(output, "output")
        if self.widths is None or output.ndim != 2 or output.shape[1] != sum(self.widths):
            raise ValueError(
                f"output has shape {output.shape}, expected samples with the outputs of "
                f"{', '.join(self.heads)}: {self.widths}"
            )
        return tuple(np.split(output, np.cumsum(self.widths)[:-1], axis=1))

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_input(x, self._own_dtype())
        self.output_shape(x.shape[1:])
        out = np.concatenate([head.forward(x, training) for head in self.heads.values()], axis=1)
        self._training_shape = out.shape if training else None
        return out

    def backward(self, grad: ArrayLike) -> Array:
        if self._training_shape is None:
            raise RuntimeError(f"{self!r}: call forward(x, training=True) before backward")
        grad = as_array(grad, "grad")
        check_grad(self, grad.shape, self._training_shape)
        first, *others = (
            head.backward(part)
            for head, part in zip(self.heads.values(), self.split(grad), strict=True)
        )
        for dx in others:
            first = first + dx
        return first

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(head).replace("\n", "\n  ") for name, head in self.heads.items()
        ]
        return "\n".join(["Heads(", *lines, ")"])


@contextmanager
def _of_head(name: str) -> Iterator[None]:
    """Add the name of a head to the messages of errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"head {name}: {error}") from None


class HeadsLoss(Loss):
    """Weighted sum of a loss for each head: ``sum_h weights[h] * losses[h](output_h, target_h)``.

    The output has shape (n, outputs), as that of `Heads`. Targets are one array for each head, in a
    list or by name. The history of `Trainer.fit` has an accuracy for each head that classifies,
    such as ``"accuracy_digit"`` for a head named "digit".

    Parameters
    ----------
    heads : Heads
        Last layer of the network.
    losses : Loss or function, or list or dict of them
        Losses, one for each head, or a single one for all. Functions are as in `Trainer`.
    weights : list or dict of float, or None
        Weights of the losses, at least 0. A missing weight is 1.

    Attributes
    ----------
    heads : Heads
        Last layer of the network.
    losses : dict of Loss
        Losses by the name of the head.
    weights : dict of float
        Weights of the losses by the name of the head.

    Raises
    ------
    TypeError
        If `heads` is not `Heads`, or a loss is not a loss.
    ValueError
        If there is not one loss for each head, a weight is negative or belongs to no head, or all
        weights are 0.

    References
    ----------
    Caruana, Multitask learning, Machine Learning 28, 1997.

    Examples
    --------
    >>> import cnet
    >>> import numpy as np
    >>> from cnet import nn, optim
    >>> heads = nn.Heads(digit=nn.Linear(8, 10), parity=nn.Linear(8, 2))
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), heads, seed=0)
    >>> loss = nn.HeadsLoss(heads, nn.CrossEntropyLoss(), weights={"parity": 0.5})
    >>> trainer = cnet.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
    >>> x, digit = np.ones((20, 4)), np.arange(20) % 10
    >>> history = trainer.fit(x, {"digit": digit, "parity": digit % 2}, verbose=False)
    >>> list(history)
    ['loss', 'accuracy_digit', 'accuracy_parity']
    """

    def __init__(
        self,
        heads: Heads,
        losses: Loss | Sequence[Loss] | Mapping[str, Loss],
        weights: Sequence[float] | Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(heads, Heads):
            raise TypeError(f"heads is {heads!r}, expected the nn.Heads at the end of the network")
        self.heads = heads
        losses = as_loss(losses)
        self.losses = (
            dict.fromkeys(heads.heads, losses)
            if isinstance(losses, Loss)
            else self._by_name(losses, "losses")
        )
        for name, loss in self.losses.items():
            self.losses[name] = loss = as_loss(loss)
            if not isinstance(loss, Loss):
                raise TypeError(
                    f"the loss of head {name} is {loss!r}, expected one such as "
                    "nn.CrossEntropyLoss()"
                )
        given = (
            dict.fromkeys(heads.heads, 1.0) | dict(weights)
            if isinstance(weights, Mapping)
            else weights
        )
        self.weights = (
            dict.fromkeys(heads.heads, 1.0) if given is None else self._by_name(given, "weights")
        )
        for name, weight in self.weights.items():
            self.weights[name] = real(
                f"the weight of head {name}", weight, 0, wrong_type=ValueError
            )
        if not any(self.weights.values()):
            raise ValueError(
                f"weights is {weights!r}: 0 for every head, so that nothing would be learned"
            )
        self._grad: Array | None = None

    def _by_name(self, values: Any, what: str) -> dict[str, Any]:
        """Return a list or a dict of values as a dict in the order of the heads."""
        names = list(self.heads.heads)
        if isinstance(values, Mapping):
            if values.keys() != set(names):
                raise ValueError(
                    f"{what} are for {', '.join(map(str, values)) or 'nothing'}, expected one for "
                    f"each head: {', '.join(names)}"
                )
            return {name: values[name] for name in names}
        if not isinstance(values, Sequence) or len(values) != len(names):
            raise ValueError(
                f"{what} is {values!r}, expected one for each head: {', '.join(names)}"
            )
        return dict(zip(names, values, strict=True))

    def prepare_target(
        self, target: Any, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        widths = self.heads.widths
        if widths is None or output_shape != (sum(widths),):
            raise ValueError(
                f"the model's outputs have shape {shape_text(output_shape)}, expected those of "
                "the heads: let the model end with them"
            )
        columns = {}
        for (name, part), width in zip(self._parts(target).items(), widths, strict=True):
            with _of_head(name):
                columns[name] = self.losses[name].prepare_target(part, (width,), dtype)
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the heads have different numbers of targets: {lengths}")
        table = np.empty(
            next(iter(lengths.values())),
            [(name, column.dtype, column.shape[1:]) for name, column in columns.items()],
        )
        for name, column in columns.items():
            table[name] = column
        return table

    def _parts(self, target: Any) -> dict[str, Any]:
        """Return the target of each head."""
        if isinstance(target, np.ndarray) and target.dtype.names == tuple(self.losses):
            return {name: target[name] for name in self.losses}
        if isinstance(target, np.ndarray) and target.ndim == 2:
            target = list(target.T)
        return self._by_name(target, "y")

    def _check_whole(self, target: Array, sample_weight: Array | None) -> None:
        for name, loss in self.losses.items():
            with _of_head(name):
                loss._check_whole(target[name], sample_weight)

    def _each(self, output: Array, target: Array) -> Iterator[tuple[str, Array, Array]]:
        """Yield the name, the outputs and the targets of each head."""
        for name, part in zip(self.losses, self.heads.split(output), strict=True):
            yield name, np.ascontiguousarray(part), np.ascontiguousarray(target[name])

    def forward(self, output: ArrayLike, target: Any) -> float:
        array = as_array(output, "output")
        array = as_real(array, float_dtype(array), "output")
        loss, self._grad = self.forward_backward(
            array, self.prepare_target(target, array.shape[1:], array.dtype)
        )
        return loss

    def backward(self) -> Array:
        if self._grad is None:
            raise RuntimeError(f"{self!r}: call forward(output, target) before backward()")
        return self._grad

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        return self._sum(
            output, target, lambda loss, part, wanted: loss.forward_backward(part, wanted)
        )

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        return self._sum(
            output, target, lambda loss, part, wanted: loss.weighted(part, wanted, sample_weight)
        )

    def _sum(
        self, output: Array, target: Array, ask: Callable[[Loss, Array, Array], tuple[float, Array]]
    ) -> tuple[float, Array]:
        """Return the weighted sum of the losses, and its gradient; `ask` computes one loss."""
        total, grads = 0.0, []
        for name, part, wanted in self._each(output, target):
            with _of_head(name):
                loss, grad = ask(self.losses[name], part, wanted)
            total += self.weights[name] * loss
            grads.append(np.multiply(grad, self.weights[name], dtype=output.dtype))
        return total, np.concatenate(grads, axis=1)

    def count_correct(self, output: Array, target: Array) -> dict[str, int] | None:  # type: ignore[override] # one number for each head
        counts = {
            name: self.losses[name].count_correct(part, wanted)
            for name, part, wanted in self._each(output, target)
        }
        return {name: count for name, count in counts.items() if count is not None} or None

    def _accuracy_names(self) -> list[str]:
        return [f"accuracy_{name}" for name, loss in self.losses.items() if loss._accuracy_names()]

    def __repr__(self) -> str:
        terms = (f"{name}={self.weights[name]:g} * {loss!r}" for name, loss in self.losses.items())
        return f"HeadsLoss({', '.join(terms)})"
