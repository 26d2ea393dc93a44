"""`Trainer.step`, for custom training loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._training.loop import TrainingLoop
from cnet.nn._given_gradient import GivenGradient, GradientFunction

if TYPE_CHECKING:
    from cnet._training.stepper import Stepper

_GIVEN = GivenGradient()


class CustomLoop(TrainingLoop):
    """Base of `Trainer`: single steps."""

    _stepper: Stepper | None

    def step(
        self, x: Any, y: Any = None, *, grad: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Take one training step on a mini-batch, for custom training loops.

        The step is compiled, as those of `fit` are, unless `grad` is a function. The program is
        kept for the next step, so pass mini-batches of few different sizes. Schedulers and
        callbacks are not called.

        Parameters
        ----------
        x : array-like, shape (n, ...)
            Samples of the mini-batch.
        y : array-like, shape (n, ...)
            Targets, as for `fit`.
        grad : array-like, shape (n, ...), or function
            Instead of `y`: the gradient of a custom loss with respect to the outputs of the model,
            of their shape. Or a function that takes the outputs of the model in training, and
            returns this gradient, or the loss and the gradient.
        sample_weight : array-like, shape (n,), or None
            Weights of the samples, as for `fit`. Not with `grad`.

        Returns
        -------
        float
            Mean loss of the mini-batch before the step, with `optim.LBFGS` after it; 0 with a
            gradient alone.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape.
        RuntimeError
            If the model, or one of its layers, is being trained by `fit`, or in another thread.
        FloatingPointError
            If the loss is not finite. The weights are then those from before the step.

        Examples
        --------
        Policy gradients, which reinforce an action by the reward that followed:

        >>> import cnet
        >>> import numpy as np
        >>> from cnet import nn, optim
        >>> policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2), seed=0)
        >>> trainer = cnet.Trainer(
        ...     policy, nn.CrossEntropyLoss(), optim.Adam(policy.parameters(), lr=0.01)
        ... )
        >>> states = np.random.default_rng(0).standard_normal((8, 4), np.float32)
        >>> actions, rewards = np.array([0, 1] * 4), np.linspace(-1, 1, 8, dtype=np.float32)
        >>> loss = trainer.step(states, actions, sample_weight=rewards - rewards.min())
        >>> logits = policy(states)
        >>> probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        >>> grad = (probabilities - np.eye(2)[actions]) * rewards[:, None] / len(states)
        >>> trainer.step(states, grad=grad)
        0.0
        """
        if (y is None) == (grad is None):
            raise TypeError(
                "step takes targets or a gradient: expected step(x, y) or step(x, grad=...), got "
                f"{'neither' if y is None else 'both'}"
            )
        if grad is not None and sample_weight is not None:
            raise TypeError("sample_weight is for targets: multiply grad by the weights")
        loss = self.loss
        if callable(grad):
            loss, y = GradientFunction(grad), np.zeros(len(x))
        elif grad is not None:
            loss, y = _GIVEN, grad
        stepper = self._stepper
        if stepper is None or not stepper.fits(loss):
            from cnet._training.stepper import Stepper  # when it is used

            stepper = self._stepper = Stepper(self, loss)
        value = stepper.step(x, y, sample_weight)
        self.global_step += 1
        return value
