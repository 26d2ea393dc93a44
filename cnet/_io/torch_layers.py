"""Layers that PyTorch lacks, as modules of PyTorch. Imported where PyTorch is there."""

import torch


class Rescale(torch.nn.Module):  # type: ignore[misc] # PyTorch's types are not read
    """``scale * x + offset`` for each element: `cnet.nn.Rescale`.

    Parameters
    ----------
    scale, offset : float
    """

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Integers become floating point, as in cnet."""
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
