"""Networks as scikit-learn estimators: `MLPClassifier` and `MLPRegressor`, with scikit-learn's own
parameters and attributes.

A script changes one import. Needs ``pip install "cnet[sklearn]"``.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError:
    raise ImportError(
        'cnet.sklearn needs scikit-learn 1.6 or later: pip install "cnet[sklearn]"'
    ) from None

from cnet.sklearn._classifier import MLPClassifier
from cnet.sklearn._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
