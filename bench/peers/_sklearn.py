"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor``."""

import warnings
from typing import Any

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from _cases import CROSS_ENTROPY, SQUARES, Adam, Case
from peers._peer import Floats, Peer, Targets, Weights


class Estimator(Peer):
    """SGD or Adam, by ``partial_fit``, which runs one epoch a call."""

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        if case.activation == "leaky_relu":
            self.remark = "with ReLU for LeakyReLU, which it has not"
        self.y = y.ravel() if case.outputs == 1 else y
        settings = case.optimizer
        options: dict[str, Any] = {"learning_rate_init": settings.learning_rate}
        if isinstance(settings, Adam):
            beta_1, beta_2 = settings.betas
            options |= {"beta_1": beta_1, "beta_2": beta_2, "epsilon": settings.eps}
        else:
            options |= {"momentum": settings.momentum, "nesterovs_momentum": settings.nesterov}
        self.model = (MLPRegressor if case.loss == SQUARES else MLPClassifier)(
            hidden_layer_sizes=case.sizes[1:-1],
            activation={"": "identity", "relu": "relu", "leaky_relu": "relu", "tanh": "tanh"}[
                case.activation
            ],
            solver="adam" if isinstance(settings, Adam) else "sgd",
            alpha=0,
            batch_size=self.batch,
            random_state=0,
            **options,
        )
        # The first call makes the arrays of weights, which later calls update in place.
        classes = {} if case.loss == SQUARES else {"classes": range(max(2, case.outputs))}
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Got `batch_size` less than 1 or larger than sample size"
            )
            self.model.partial_fit(x[:10], self.y[:10], **classes)

    @staticmethod
    def supports(case: Case) -> bool:
        # Predictions are probabilities, and half the squared error has half the gradient.
        same_loss = case.loss != SQUARES or isinstance(case.optimizer, Adam)
        two_logits = case.loss == CROSS_ENTROPY and case.outputs == 2  # it has one for two classes
        return case.dense and not case.predict and same_loss and not two_logits

    @staticmethod
    def version() -> str:
        return sklearn.__version__

    def set_weights(self, weights: Weights) -> None:
        for coefficients, intercepts, (w, b) in zip(
            self.model.coefs_, self.model.intercepts_, weights, strict=True
        ):
            coefficients[...] = w
            intercepts[...] = b
        self.model.__dict__.pop("_optimizer", None)  # the next call makes a new one

    def get_weights(self) -> Weights:
        return [
            (w.copy(), b.copy())
            for w, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)
        ]

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.model.shuffle = shuffle and not self.full_batch
        for _ in range(epochs):
            self.model.partial_fit(self.x, self.y)

    def predict(self, x: Floats) -> Floats:
        raise NotImplementedError
