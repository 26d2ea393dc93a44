"""Text output of an image next to a bar for the probability of each class."""

import enum

import numpy as np

from cnet._utils.arrays import Array
from cnet.cli._layout import SIDE

_RAMP = " .:-=+*#%@"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_BAR = 30
_FIRST_GRAY, _GRAYS = 232, 24  # in the 256-color palette of terminals


class Style(enum.Enum):
    """Capabilities of the output."""

    GRAYS = "half blocks in gray levels, by escape codes"
    UNICODE = "any characters, but no escape codes"
    ASCII = "printable ASCII characters"


def draw(image: Array, probabilities: Array, style: Style) -> str:
    """Return the image and the bars, side by side.

    Parameters
    ----------
    image : ndarray, shape (28, 28)
        uint8, or floats from 0 to 1.
    probabilities : ndarray, shape (classes,)
    style : Style
    """
    levels = image / 255 if image.dtype == np.uint8 else image
    picture = (_half_blocks if style is Style.GRAYS else _ramp)(levels)
    bars = [
        _bar(digit, float(p), style is not Style.ASCII) for digit, p in enumerate(probabilities)
    ]
    above = max(0, (len(picture) - len(bars)) // 2)
    bars = [""] * above + bars
    rows = max(len(picture), len(bars))
    picture += [" " * SIDE] * (rows - len(picture))
    bars += [""] * (rows - len(bars))
    return "\n".join(
        f"{left}   {right}".rstrip() for left, right in zip(picture, bars, strict=True)
    )


def _half_blocks(levels: Array) -> list[str]:
    """Draw two pixels per character: the upper one as foreground, the lower one as background."""
    codes = _FIRST_GRAY + (levels * (_GRAYS - 1)).round().astype(int)
    lines = []
    for upper, lower in zip(codes[::2].tolist(), codes[1::2].tolist(), strict=True):
        cells = "".join(
            f"\x1b[38;5;{top};48;5;{bottom}m▀" for top, bottom in zip(upper, lower, strict=True)
        )
        lines.append(f"{cells}\x1b[0m")
    return lines


def _ramp(levels: Array) -> list[str]:
    """Draw two pixels per character, by the density of a character for their mean."""
    steps = ((levels[::2] + levels[1::2]) / 2 * (len(_RAMP) - 1)).round().astype(int)
    return ["".join(_RAMP[step] for step in row) for row in steps.tolist()]


def _bar(digit: int, probability: float, unicode: bool) -> str:
    eighths = round(probability * _BAR * 8)
    bar = (
        "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        if unicode
        else "#" * round(probability * _BAR)
    )
    return f"{digit:2} {bar:{_BAR}} {100 * probability:5.1f} %"
