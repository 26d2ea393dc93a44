"""L-BFGS, by SciPy, for small data sets that are evaluated as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.arrays import Array
from cnet._utils.hints import answers_keywords
from cnet._utils.validation import integer
from cnet.nn import Parameter
from cnet.nn._neutral import neutral
from cnet.optim._optimizer import Optimizer, check_numbers


class LBFGS(Optimizer):
    """Limited-memory BFGS on the whole data set, for small data sets.

    SciPy's ``L-BFGS-B`` computes the iterations. Iteration `k` updates all parameters `w` with
    gradient `g`::

        w[k + 1] = w[k] - a * H @ g

    A line search chooses the step length `a`. The matrix `H` approximates the inverse Hessian. It
    is defined by the last `history_size` pairs ``w[i + 1] - w[i]`` and ``g[i + 1] - g[i]``, and is
    never stored.

    A call of `step` is a whole minimization of up to `max_iter` iterations, in float64 whatever the
    dtype of the network. Each iteration evaluates the loss and its gradient once or a few times.
    The pairs are discarded after the call, so that one step of many iterations is better than many
    steps of few.

    `Trainer.fit` takes one step per epoch, on all samples; ``epochs=1`` is the usual number. The
    loss must be a deterministic function of the parameters, so that `Trainer.fit` rejects dropout
    and augmentation. Requires ``pip install "cnet[lbfgs]"``.

    Parameters
    ----------
    params : iterable of Parameter
        ``model.parameters()``; one group.
    lr : float
        For code written for PyTorch: 1. The line search chooses the step length.
    max_iter : int
        Maximum number of iterations of a step, at least 1.
    max_eval : int or None
        Maximum number of evaluations of the loss, at least 1. The iteration that reaches it is
        completed. None sets no limit.
    tol : float
        A step ends when no element of the gradient is larger than this in absolute value; at least
        0. It also ends when an iteration reduces the loss by less than the fraction 2e-9.
    history_size : int
        Number of pairs that define `H`, at least 1.

    Attributes
    ----------
    losses : list of float
        Losses of the last step: before its first iteration, and after each iteration.
    converged : bool
        Whether the last step met a convergence criterion.
    message : str
        SciPy's message about the end of the last step.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    TypeError
        If `params` holds something other than parameters, or a keyword is unknown.
    ValueError
        If there are no parameters or several groups, or a setting is out of bounds.

    References
    ----------
    Liu and Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
    Programming 45, 1989.

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

    In your own loop, with a function that sets gradients and returns the loss:

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
        for name in ("max_iter", "history_size"):
            integer(name, settings[name], 1, wrong_type=ValueError)
        if settings["max_eval"] is not None:
            integer("max_eval", settings["max_eval"], 1, wrong_type=ValueError, alternative="None")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ValueError(
            "LBFGS has one group of parameters, which it moves all together: construct it with "
            "all parameters"
        )

    def step(self, closure: Callable[[], float] | None = None) -> float:
        """Minimize the loss that `closure` returns.

        After an error, such as a keyboard interrupt, the parameters are those of the last complete
        iteration.

        Parameters
        ----------
        closure : callable
            A function that sets the gradients of the parameters, as a backward pass does, and
            returns the loss.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        TypeError
            If there is no closure.
        ValueError
            If every parameter is frozen, or a setting of the group is out of bounds or unknown.
        """
        if closure is None:
            raise TypeError(
                "LBFGS evaluates the loss several times: call step(closure), where closure() "
                "sets the gradients and returns the loss"
            )
        self._check_groups()
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
        """Record the loss after an iteration. Subclasses may override it to stop early."""
        self.losses.append(loss)


def _packed(arrays: list[Array]) -> Array:
    """Return a flat float64 array of all elements of `arrays`, in order."""
    return np.concatenate([array.reshape(-1) for array in arrays], dtype=np.float64)
