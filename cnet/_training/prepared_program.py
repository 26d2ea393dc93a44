"""A compiled program with the current settings of the optimizer."""

from typing import Any

from cnet._utils.threads import get_num_threads
from cnet.nn import Parameter
from cnet.optim._rule import RuleOptimizer, State


class PreparedProgram:
    """A program, and all settings that it was prepared for.

    Parameters
    ----------
    program : Program
    size, threads : int
        Batch size and number of threads of the program.
    optimizer : RuleOptimizer or None
    states : list of State
        Optimizer states whose steps the program takes.
    summed : bool
        Whether a rule has a penalty that is summed, so that squares are reported.
    """

    def __init__(
        self,
        program: Any,
        size: int,
        threads: int,
        optimizer: RuleOptimizer | None,
        states: list[State],
        summed: bool,
    ) -> None:
        self.program, self.states, self.summed = program, states, summed
        self._size, self._threads, self._optimizer = size, threads, optimizer
        self._exchanges = Parameter._exchanges
        self._arrays = [id(state.arrays) for state in states]
        if optimizer:
            self._clipping = optimizer.clip_norm, optimizer.clip_value
            self._groups = [
                {**group, "params": [*group["params"]]} for group in optimizer.param_groups
            ]
            self._parameters = [p for group in self._groups for p in group["params"]]
            self._trained = [p._requires_grad for p in self._parameters]
            self._held = {**optimizer._state}
        self._steps = [state.steps for state in states]

    def count(self, steps: int) -> None:
        """Count steps of the program."""
        for state in self.states:
            state.steps += steps
        self._steps = [state.steps for state in self.states]

    def is_current(self, size: int) -> bool:
        """Whether nothing has changed since; a callback may change anything."""
        optimizer = self._optimizer
        return (
            self._size == size
            and self._threads == get_num_threads()
            and self._exchanges == Parameter._exchanges
            and (
                optimizer is None
                or (
                    self._clipping == (optimizer.clip_norm, optimizer.clip_value)
                    and self._groups == optimizer.param_groups
                    and self._trained == [p._requires_grad for p in self._parameters]
                    and self._held == optimizer._state
                )
            )
            and self._arrays == [id(state.arrays) for state in self.states]
            and self._steps == [state.steps for state in self.states]
        )
