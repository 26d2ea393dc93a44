"""Estimators with the interface of scikit-learn: `MLPClassifier` and `MLPRegressor`.

They have the parameters and attributes of scikit-learn's classes of these names, so a script
changes only its import. Requires ``pip install "cnet[sklearn]"``.
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
