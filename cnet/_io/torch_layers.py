"""Modules of PyTorch for layers that PyTorch lacks. Importing this file needs PyTorch."""

import torch


class Rescale(torch.nn.Module):  # type: ignore[misc] # PyTorch's types are not read
    """``scale * x + offset`` for each element, as `cnet.nn.Rescale`.

    Parameters
    ----------
    scale, offset : float
    """

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rescale each element. Integers become floating point, as in cnet."""
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
