"""Data to train on: each loader returns a `Dataset` of train, validation and test splits."""

from ._dataset import Dataset, Split
from ._digits import digits, draw_digits
from ._mnist import mnist

__all__ = ["Dataset", "Split", "digits", "draw_digits", "mnist"]
