"""The methods of `Trainer` that save its state and restore it."""

from __future__ import annotations

import os

from cnet._io import checkpoint as _checkpoint
from cnet._training.exclusive import is_trained_now
from cnet.callbacks._trainer_state import TrainerState


class Checkpointed(TrainerState):
    """Base of `Trainer`: checkpoints."""

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write the state of training to a safetensors file.

        The state is that between two epochs: weights, optimizer state and settings, `epoch`,
        `global_step`, `history`, the seed of the order of samples, the state of layers that draw
        random numbers, and the states of the schedulers and callbacks of `fit`. A callback may call
        it in `on_epoch_end`; its place in the list does not matter. During an epoch, or after
        Ctrl-C, the file has the weights of that moment, and training repeats the epoch after
        loading. The file is written beside its final place and moved there when it is complete.

        Parameters
        ----------
        path : path-like
            The usual suffix is ``.safetensors``.

        Raises
        ------
        TypeError
            If the optimizer state holds something other than arrays, or the state of a callback
            cannot be written to a file.
        """
        _checkpoint.save(self, path)

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Restore the state that `save_checkpoint` wrote, in a trainer of the same kind.

        With the same data and arguments, training then continues with bitwise identical results, as
        if it had never ended. `fit` starts a new `history`. Set other learning rates after loading.

        Schedulers in the next `fit` continue from the states in the checkpoint, if they are of the
        same kinds; it does not matter when they were constructed. `fit` rejects settings that
        differ from those in the checkpoint. To start a new schedule, train with a new
        ``Trainer(trainer.model, trainer.loss, trainer.optimizer)``. Callbacks of the same kind that
        monitor the same metric continue, too: a training that `EarlyStopping` ended stays ended.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, is no checkpoint of such a model and optimizer, or holds
            impossible values. Nothing is changed then.
        RuntimeError
            If it is called during `fit`.

        Examples
        --------
        >>> import cnet, os, tempfile
        >>> from cnet import nn, optim
        >>> def trainer():
        ...     model = nn.Sequential(nn.Linear(2, 1), seed=0)
        ...     optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        ...     return cnet.Trainer(model, nn.MSELoss(), optimizer)
        >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
        >>> first, second = trainer(), trainer()
        >>> history = first.fit([[1.0, 2.0], [2.0, 1.0]], [3.0, 0.0], epochs=5, verbose=False)
        >>> first.save_checkpoint(path)
        >>> second.load_checkpoint(path)
        >>> second.epoch
        5
        """
        if is_trained_now(self.model):
            raise RuntimeError(
                "load_checkpoint was called while this model is being trained: call it when fit "
                "has returned"
            )
        _checkpoint.load(self, path)
