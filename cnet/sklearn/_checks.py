"""Checks of data: those of scikit-learn, and rejection of masked and sparse arrays."""

from typing import Any

from scipy.sparse import issparse
from sklearn.utils import validation

from cnet._utils.arrays import Array, reject_masked


def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **settings: Any) -> Any:
    """Call scikit-learn's function of this name, after rejecting masked and sparse arrays.

    scikit-learn would drop the mask.
    """
    reject_masked(X, "X")
    reject_masked(y, "y")
    if issparse(X):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. Use '.toarray()' to "
            "convert it to a dense numpy array or, where a transformer returns it, "
            "OneHotEncoder(sparse_output=False) or ColumnTransformer(..., sparse_threshold=0)"
        )
    return validation.validate_data(estimator, X, y, **settings)


def check_sample_weight(sample_weight: Any, X: Any) -> Array:
    """Call scikit-learn's ``_check_sample_weight``, after rejecting masked arrays."""
    reject_masked(sample_weight, "sample_weight")
    weights: Array = validation._check_sample_weight(sample_weight, X)
    return weights
