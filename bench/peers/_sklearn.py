"""scikit-learn's ``MLPClassifier``."""

import warnings

import sklearn
from sklearn.neural_network import MLPClassifier

from _cases import Case
from peers._peer import ADAM, LEARNING_RATE, Floats, Ints, Peer, Weights


class Classifier(Peer):
    """Plain SGD, or Adam, by ``partial_fit``, which runs one epoch a call."""

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        if case.activation == "leaky_relu":
            self.remark = "with ReLU for LeakyReLU, which it has not"
        learning_rate, (beta1, beta2), eps = ADAM
        self.model = MLPClassifier(
            case.sizes[1:-1],
            activation={"": "identity", "relu": "relu", "leaky_relu": "relu", "tanh": "tanh"}[
                case.activation
            ],
            solver="adam" if case.adam else "sgd",
            alpha=0,
            batch_size=self.batch,
            learning_rate_init=learning_rate if case.adam else LEARNING_RATE,
            beta_1=beta1,
            beta_2=beta2,
            epsilon=eps,
            momentum=0,
            nesterovs_momentum=False,
            random_state=0,
        )
        self.classes = list(range(case.sizes[-1]))
        # The first call makes the arrays of weights, which later calls update in place.
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Got `batch_size` less than 1 or larger than sample size"
            )
            self.model.partial_fit(x[:10], y[:10], classes=self.classes)

    @staticmethod
    def version() -> str:
        return sklearn.__version__

    def set_weights(self, weights: Weights) -> None:
        for coefficients, intercepts, (w, b) in zip(
            self.model.coefs_, self.model.intercepts_, weights, strict=True
        ):
            coefficients[...] = w
            intercepts[...] = b

    def get_weights(self) -> Weights:
        return [
            (w.copy(), b.copy())
            for w, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)
        ]

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.model.shuffle = shuffle and not self.full_batch
        for _ in range(epochs):
            self.model.partial_fit(self.x, self.y)

    def predict(self, row: Floats) -> Floats:
        """Probabilities: it gives no logits."""
        return self.model.predict_proba(row)
