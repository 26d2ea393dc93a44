"""Mean metrics of the batches of an epoch."""

from cnet._training.steps import StepResults


class Mean:
    """Means of the losses and accuracies of batches, over their samples."""

    def __init__(self) -> None:
        self.rows, self.weight, self.total = 0, 0.0, 0.0
        self.correct: dict[str, int] = {}

    def add(self, part: StepResults) -> None:
        """Add the results of some batches."""
        self.rows += part.samples
        for loss, weight in zip(part.losses, part.weights, strict=True):
            self.total += loss * weight
            self.weight += weight
        for name, correct in part.correct.items():
            self.correct[name] = self.correct.get(name, 0) + correct

    def logs(self, prefix: str = "") -> dict[str, float]:
        """Return the means, under their names in the history.

        Raises ValueError if all sample weights are 0.
        """
        if not self.weight:
            raise ValueError(
                f"{prefix}sample_weight is 0 for every sample: expected a positive weight for at "
                "least one"
            )
        return {"loss": self.total / self.weight} | {
            name: count / self.rows for name, count in self.correct.items()
        }
