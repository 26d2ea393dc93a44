"""Warnings that point to the line that called cnet."""

import sys
import warnings

_WITHIN = ("cnet.", "sklearn.callback.", "contextlib")
"""Modules that stand between that line and the warning; cnet.sklearn is called through the latter
two.
"""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside of this package: that of a script or, for an estimator, of
    a pipeline or a search.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(
        _WITHIN
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
