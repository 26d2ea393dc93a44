"""Options of compiled programs. Tests replace `options.current` by others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Limits that change when a program works, and never its results."""

    max_block: int = 1024
    """Samples in a block. A larger batch is processed block by block."""
    cached_bytes: int = 1_500_000
    """Bytes of activations above which blocks are small, so that they stay in the L2 cache."""
    seconds_per_call: float = 0.02
    """Duration of a call of a program, for which its number of steps is chosen."""
    max_seconds: float = 0.03
    """Time after which a call returns, if its steps turn out to be slower than expected."""
    trial_seconds: float = 0.005
    """Duration of a call that times another number of threads."""


current = Options()
