"""Data to train on: each loader returns a `Dataset` of train, validation and test splits."""

from ._dataset import Dataset, Split
from ._mnist import mnist

__all__ = ["Dataset", "Split", "mnist"]
