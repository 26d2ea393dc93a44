"""scikit-learn's checks of data, which drop the mask of a masked array: where a value is masked, it is refused first."""

from typing import Any

from sklearn.utils import validation

from cnet._arrays import Array, refuse_masked


def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **settings: Any) -> Any:
    """As scikit-learn's function of this name."""
    refuse_masked(X, "X")
    refuse_masked(y, "y")
    return validation.validate_data(estimator, X, y, **settings)


def check_sample_weight(sample_weight: Any, X: Any) -> Array:
    """As scikit-learn's function of nearly this name."""
    refuse_masked(sample_weight, "sample_weight")
    weights: Array = validation._check_sample_weight(sample_weight, X)
    return weights
