"""L-BFGS, by SciPy, for data sets that are small enough to be taken whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.arrays import Array
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.nn._neutral import neutral
from cnet.optim._optimizer import Optimizer, check_numbers


class LBFGS(Optimizer):
    """Limited-memory BFGS: for small data, all of it in each step. SciPy's ``L-BFGS-B`` does the
    work.

    A step is a whole minimization, of up to `max_iter` iterations, each of which evaluates the loss
    and its gradient once or a few times. It remembers nothing from one step to the next, so one
    step of many iterations is better than many of a few. `Trainer.fit` takes one step per epoch, on
    all rows; ``epochs=1`` is the usual number. The network must give the same result each time, so
    dropout and augmentation are rejected there. Needs ``pip install "cnet[lbfgs]"``.

    Parameters
    ----------
    params : iterable of Parameter
        ``model.parameters()``; one group.
    lr : float
        For code written for PyTorch: 1. There is a line search.
    max_iter : int
        At least 1.
    max_eval : int or None
        The most evaluations of the loss, at least 1, but for those of the last iteration; None: as
        many as it takes.
    tol : float
        The largest element of the gradient at which it ends; at least 0. (It also ends where an
        iteration gains less than 2e-9 of the loss.)
    history_size : int
        How many pairs of steps and gradients stand for the curvature; at least 1.

    Attributes
    ----------
    losses : list of float
        Of the last step: the loss before it and after each iteration.
    converged : bool
        Whether the last step ended because there was nothing left to gain.
    message : str
        Why the last step ended, in SciPy's words.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    TypeError, ValueError
        If there are no parameters or several groups, or a setting is out of bounds or unknown.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu, A limited memory algorithm for bound constrained optimization, SIAM
    Journal on Scientific Computing 16, 1995.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.LBFGS(model.parameters()))
    >>> history = trainer.fit([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], [1.0, 3.0, 4.0], verbose=False)
    >>> history["loss"][0] < 1e-6
    True

    By hand, with a function that sets gradients and returns the loss:

    >>> criterion = nn.MSELoss()
    >>> def closure():
    ...     loss = criterion.forward(model.forward([[1.0, 2.0]], training=True), [5.0])
    ...     model.backward(criterion.backward())
    ...     return loss
    >>> optimizer = optim.LBFGS(model.parameters())
    >>> before = optimizer.step(closure)
    >>> optimizer.losses[-1] < 1e-6
    True
    """

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1,
        max_iter: int = 200,
        max_eval: int | None = None,
        *,
        tol: float = 1e-5,
        history_size: int = 10,
    ) -> None:
        neutral(lr=lr)
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise ImportError('LBFGS needs SciPy: pip install "cnet[lbfgs]"') from None
        super().__init__(
            params,
            {"max_iter": max_iter, "tol": tol, "history_size": history_size, "max_eval": max_eval},
        )
        if len(self.param_groups) > 1:
            raise ValueError(
                f"LBFGS got {len(self.param_groups)} groups of parameters, expected one: it moves "
                "all together"
            )
        self._minimize = minimize
        self.losses: list[float] = []
        self.converged, self.message = False, ""

    def _check(self, settings: dict[str, Any]) -> None:
        check_numbers(settings, "tol")
        for name in ("max_iter", "history_size", "max_eval"):
            value = settings[name]
            if (value is not None or name != "max_eval") and (
                not isinstance(value, int | np.integer) or value < 1
            ):
                raise ValueError(f"{name} is {value!r}, expected an integer of at least 1")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ValueError(
            "LBFGS has one group of parameters, which it moves all together: construct it with "
            "all parameters"
        )

    def step(self, closure: Callable[[], float] | None = None) -> float:
        """Minimize what `closure` returns.

        After an error within, an interrupt for one, the parameters are those of the last iteration.

        Parameters
        ----------
        closure : callable
            Sets the gradients of the parameters, as a backward pass does, and returns the loss.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        TypeError, ValueError
            If there is no closure, or every parameter is frozen.
        """
        if closure is None:
            raise TypeError(
                "LBFGS evaluates the loss several times: call step(closure), where closure() "
                "sets the gradients and returns the loss"
            )
        self.check_groups()
        settings = self.param_groups[0]
        parameters: list[Parameter] = [
            parameter for parameter in settings["params"] if parameter.requires_grad
        ]
        if not parameters:
            raise ValueError(
                "every parameter of the optimizer is frozen (requires_grad is False): there is "
                "nothing to minimize over"
            )
        ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
        self.losses, reached = [], _packed([parameter.data for parameter in parameters])

        def move(packed: Array) -> None:
            for parameter, values in zip(parameters, np.split(packed, ends), strict=True):
                parameter.data = values.reshape(parameter.shape)

        def objective(packed: Array) -> tuple[float, Array]:
            move(packed)
            loss = float(closure())
            if not self.losses:
                self.losses.append(loss)
            return loss, _packed(
                [
                    np.zeros(parameter.shape) if parameter.grad is None else parameter.grad
                    for parameter in parameters
                ]
            )

        def note(intermediate_result: Any) -> None:
            nonlocal reached
            reached = intermediate_result.x.copy()
            self._reached(float(intermediate_result.fun))

        options = {
            "maxiter": settings["max_iter"],
            "gtol": settings["tol"],
            "maxcor": settings["history_size"],
            "maxfun": settings["max_eval"] or np.iinfo(np.int32).max,
        }
        try:
            result = self._minimize(
                objective, reached, method="L-BFGS-B", jac=True, options=options, callback=note
            )
            reached, self.converged, self.message = (
                result.x,
                bool(result.success),
                str(result.message),
            )
        finally:
            move(reached)
        return self.losses[0]

    def _reached(self, loss: float) -> None:
        """After an iteration."""
        self.losses.append(loss)


def _packed(arrays: list[Array]) -> Array:
    """Many arrays as one of float64."""
    return np.concatenate([array.reshape(-1) for array in arrays], dtype=np.float64)
