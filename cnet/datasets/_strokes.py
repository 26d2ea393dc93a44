"""Pen strokes of the ten digits, as text, and the curves that they describe.

Each variant of a digit is a line of text, similar to an SVG path: points ``x,y`` joined by a smooth
curve, and strokes separated by ``;``. ``x`` points to the right and ``y`` down, in percent of the
height of the digit.

* A curve is a uniform Catmull-Rom spline (Catmull & Rom, 1974), which passes through its points.
* A stroke whose last point equals its first one is a smooth closed loop.
* A corner is a point where one stroke ends and the next one starts.

The variants were designed manually for this package, without any font or data set.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# For each digit, its variants and their relative frequencies.
VARIANTS: dict[int, dict[str, float]] = {
    0: {
        "35,0 8,20 0,52 10,86 35,100 62,82 70,48 60,14 35,0": 3,  # an ellipse
        "43,4 19,8 2,36 3,70 23,98 49,88 62,55 56,22 37,3 16,10": 2,  # the end runs over the start
        "39,3 14,14 0,50 12,88 35,100 56,80 62,46 52,12": 1,  # not quite closed
        "31,8 10,22 0,55 14,90 39,98 60,70 58,30 39,6 27,4 37,16 56,8": 1,  # closed by a small loop
        "52,2 19,6 0,40 16,72 58,74 87,40 78,10 45,4": 1,  # lying
        "31,0 6,20 0,52 10,86 31,100 56,82 62,48 54,14 31,0; 52,10 31,50 12,90": 0.4,  # slashed
        "49,10 21,4 2,40 6,84 35,100 64,72 64,30 41,8 31,18 29,36": 0.7,  # the end runs inwards
        "21,4 2,36 6,84 37,100 66,74 68,30 54,0": 0.7,  # open at the top
        "58,0 14,24 0,64 16,98 45,88 66,50; 66,50 68,20 56,2": 0.7,  # pointed at the top
    },
    1: {
        "0,0 0,50 0,100": 8,  # a bare stem
        "8,0 6,50 0,100": 2,  # a bent stem
        "0,24 20,0; 20,0 20,50 20,100": 1,  # with a flag
        "0,14 14,0; 14,0 13,50 12,100": 1,  # with a short flag
        "0,18 20,0; 20,0 20,50 20,100; 0,100 22,99 44,100": 1,  # with a flag and a base
        "0,22 28,0; 28,0 28,50 28,98; 0,100 32,98 66,96": 0.7,  # with a flag and a wide base
        "0,34 26,0; 26,0 26,50 26,100": 0.7,  # with a long flag
    },
    2: {
        # with a corner and a straight base
        "2,24 16,4 40,0 58,18 50,44 28,70 0,98; 0,98 32,94 68,98": 2,
        "0,10 28,0 50,10 46,38 14,84; 14,84 46,92 90,86": 1,  # the same, wide
        "4,24 20,2 50,2 60,28 44,58 20,86 4,96 0,84 12,74 38,86 70,96": 3,  # with a loop
        # a round head, a large loop
        "10,28 34,0 60,22 52,50 30,82 10,98 0,80 14,60 42,70 70,96": 2.5,
        # the head curls, the tail falls
        "8,40 6,14 34,0 58,14 56,42 36,76 14,98 0,84 14,64 38,72 58,98": 2,
        # a wide head, a large loop
        "0,22 24,0 52,6 58,34 42,66 20,92 2,94 4,76 30,72 60,88 86,96": 2,
        "0,14 24,0 44,8 44,34 24,68 4,92 0,80 18,72 50,84 80,82": 1,  # a small head, a long tail
        # with a loop above the end of the tail
        "4,20 26,0 54,8 54,40 32,74 10,84 2,74 20,66 50,76 90,70": 1,
        "2,20 26,0 56,14 48,44 22,74 4,92 24,98 68,94": 1,  # with a rounded corner
        # with a hook and a wavy base
        "10,32 2,16 26,0 54,8 56,32 34,62 0,98; 0,98 22,88 42,98 68,90": 1,
        "14,34 4,18 20,2 44,4 50,26 40,60 24,96; 0,92 32,96 78,84": 1,  # the base crosses the stem
        "4,16 20,0 30,14 24,50 8,96; 8,96 30,94 56,92": 1,  # a narrow head
        "0,16 30,0 54,10 36,46 0,80; 0,80 54,80 116,70": 0.7,  # low and wide
        "0,8 30,0 54,14 42,44 0,96; 0,96 38,96 68,98": 1,  # flat, almost a Z
    },
    3: {
        # two bows and a corner
        "4,12 28,0 52,12 50,34 20,48; 20,48 52,54 60,76 42,98 18,100 0,88": 3,
        # a small loop at the waist
        "4,14 30,0 52,18 42,40 20,50 14,44 30,46 56,62 54,86 30,100 0,90": 2,
        "0,4 28,3 54,2; 54,2 38,24 22,42; 22,42 52,50 60,74 42,98 0,92": 1,  # flat-topped
        "2,8 28,0 48,12 46,34 34,46 48,58 54,80 34,100 0,96": 1,  # a shallow waist
        "6,12 36,0 52,12 40,34 16,46; 16,46 40,48 46,66 30,90 0,98": 1,  # leaning forward
        "0,6 34,0 60,10 44,32 16,42; 16,42 46,52 50,80 26,100 0,88": 1,  # a large upper bow
        "4,6 30,2 46,14 30,40 14,46; 14,46 44,44 54,66 36,94 0,96": 1,  # upright, a large lower bow
        "0,20 24,0 48,16 36,40 22,46 40,52 50,72 34,96 4,94 0,80": 1,  # round ends
        "0,4 40,0 62,8 40,30 24,44; 24,44 44,50 52,70 32,94 0,100": 1,  # a long roof
        "8,18 30,0 50,14 44,34 26,44; 26,44 54,52 62,76 40,98 10,98 0,80": 1.5,  # the ends curl in
        "0,10 26,0 50,10 48,30 24,46 46,52 50,74 28,100": 1,  # the end hangs down
        # round, without a corner
        "4,20 20,2 46,4 54,24 36,42 24,46 48,52 62,72 50,94 20,100 0,86": 1.5,
    },
    4: {
        "6,0 2,28 0,54; 0,54 28,54 60,50; 50,6 48,50 44,100": 2,  # open, angular
        "8,2 0,34 12,54 36,52 54,40; 56,0 52,50 48,100": 2,  # open, round
        "24,4 10,28 0,52; 0,52 30,52 70,44; 58,6 46,50 34,100": 2,  # open, both stems slanted
        "0,0 0,24 2,48; 2,48 30,48 64,44; 48,20 48,60 48,100": 1,  # open, the right stem starts low
        "46,0 22,34 0,66; 0,66 30,66 64,64; 46,0 45,50 44,100": 2,  # closed, a triangle
        # closed at the top, a short triangle
        "40,0 18,26 0,50; 0,50 26,50 56,46; 44,4 42,50 38,100": 1,
        "50,4 24,14 0,44 16,54 48,46; 52,4 50,50 44,100": 0.5,  # closed, round
        "10,0 0,30 6,44 30,42 54,14; 54,14 46,56 36,100": 1,  # one stroke, like a y
    },
    5: {
        # with corners
        "11,4 7,24 4,46; 4,46 28,38 53,48 59,72 45,94 19,100 0,90; 11,4 36,2 61,0": 2,
        "36,6 28,22 17,42; 17,42 42,42 49,62 34,88 0,98; 36,6 64,4 98,0": 2,  # slanted, a long hat
        "28,10 21,26 15,44; 15,44 42,44 53,66 36,92 0,94; 32,4 61,6 89,2": 1,  # the hat apart
        "61,2 36,2 11,6; 11,6 6,26 15,42 45,52 57,76 36,98 0,94": 2,  # with a rounded waist
        "64,2 30,2 11,20 19,40 47,54 55,78 36,98 0,94": 1,  # almost an S
        "8,16 6,32 6,50; 6,50 36,42 59,58 55,86 30,100 0,88; 8,14 32,4 59,0": 1,  # a rising hat
        "15,0 8,22 8,42; 8,42 42,36 68,56 59,86 28,100 0,80; 15,0 38,2 66,4": 1,  # a large bowl
        # the bowl curls in
        "13,2 9,22 6,42; 6,42 32,36 58,50 62,76 40,98 10,94 0,82; 13,2 42,2 68,0": 1.5,
        "56,0 28,4 18,20 13,38; 13,38 36,40 48,60 38,86 12,100 0,92": 1,  # a short rounded hat
        # the bowl ends at the bottom
        "21,4 13,24 8,44; 8,44 32,36 52,52 48,80 22,100; 21,4 46,2 72,0": 1,
        "16,0 11,26 6,52; 6,52 32,46 54,60 50,86 26,100 0,92; 16,0 40,2 64,0": 1,  # a long neck
        "36,2 24,18 16,36; 16,36 34,42 40,60 28,84 0,98; 36,2 50,4 64,0": 1,  # slanted, narrow
    },
    6: {
        "41,0 17,26 2,62 9,92 32,100 50,82 45,60 24,56 6,74": 3,
        "32,0 9,30 0,70 13,98 35,96 46,76 33,60 13,68 6,84": 2,  # a small loop
        "52,8 33,0 11,24 0,62 11,94 33,100 52,82 46,60 24,54 4,72": 1,  # a curled top
        "19,0 6,30 0,66 11,96 35,98 50,78 37,58 15,64 4,80": 1,  # an upright stem
        "20,0 6,30 0,64 9,94 37,98 60,78 52,58 30,66 19,92": 1,  # a wide loop, closed inside
        "28,0 7,30 0,64 9,92 35,100 65,84 67,64 45,60 26,84": 1,  # a loop to the right
        "46,2 19,20 0,58 7,92 33,98 48,72 37,44 17,50 4,68": 1,  # a large loop
        "37,0 19,30 4,64 2,90 17,100 32,84 24,68 7,82": 1,  # slanted, a tiny loop
        "9,0 2,40 0,80 13,100 41,92 48,70 28,60 4,78": 0.7,  # like a b
        "10,0 0,36 2,76 22,98 52,90 66,68 54,52 36,62 28,88": 1,  # wide, like a u
    },
    7: {
        "0,6 30,6 59,2; 59,2 38,48 23,100": 3,
        "0,20 2,5; 2,5 30,7 57,4; 57,4 38,48 23,100": 1,  # with a serif
        "0,6 30,6 59,2; 59,2 38,48 23,100; 15,54 36,52 57,50": 1.5,  # with a bar
        # with a serif and a bar
        "0,20 2,4; 2,4 30,4 57,2; 57,2 42,48 32,100; 13,50 38,50 64,46": 0.5,
        "0,14 13,4 36,8 59,2; 59,2 47,40 38,100": 1,  # a wavy top
        "0,10 25,3 53,4 55,22 38,58 25,100": 2,  # a rounded corner
        "0,28 8,6 32,2 53,14 51,44 36,72 21,100": 1,  # an arch
        "0,10 42,8 89,0; 89,0 59,40 42,90": 1,  # a long roof
        "0,4 23,4 47,2; 47,2 45,48 42,100": 1,  # an upright stem
        "0,30 6,6; 6,6 30,4 53,4; 53,4 51,50 47,100": 0.7,  # upright with a long serif
        "0,6 26,6 55,4; 55,4 34,50 17,100; 4,60 32,54 59,42": 0.7,  # with a rising bar
        "0,26 10,6 36,10 58,2; 58,2 50,40 42,100": 1,  # with a rounded serif
        "2,10 28,8 56,4; 56,4 40,48 30,100; 8,60 36,58 66,52": 0.7,  # upright with a bar
    },
    8: {
        # one stroke, a figure of eight
        "45,14 26,0 7,12 12,34 36,56 47,80 26,100 4,84 12,60 36,38 45,14": 2,
        # two circles
        "26,0 7,10 9,36 26,48 43,36 45,10 26,0; 26,48 4,62 4,88 26,100 48,88 48,62 26,48": 1,
        # two wide circles
        "36,0 6,8 10,36 40,46 66,34 66,10 36,0; 40,46 2,60 6,90 40,100 74,86 74,60 40,46": 1,
        "47,8 26,2 9,16 18,38 40,60 44,86 22,100 6,84 14,60 38,34 50,12": 2,  # open at the top
        # a narrow lower loop
        "52,14 30,0 7,12 9,32 30,48 36,70 24,98 10,94 10,74 28,50 52,26 52,14": 2,
        "54,10 28,2 4,14 7,34 26,50 31,76 21,98 9,94 10,74 30,48 64,8": 2,  # the same, open
        # slanted, even loops
        "44,16 30,0 8,4 4,24 22,44 34,66 32,92 16,100 8,84 20,56 38,36 44,16": 1,
        "38,14 24,0 14,12 19,32 43,54 50,80 28,100 2,84 9,60 31,34 38,14": 1,  # a narrow upper loop
        # narrow
        "36,12 24,0 10,10 14,30 26,44 40,66 38,92 22,100 8,90 8,68 24,44 34,28 36,12": 0.5,
        "66,8 34,10 10,12 9,30 34,50 36,80 19,98 5,84 18,60 38,40 50,20": 1,  # a long flag
        # leaning back
        "56,14 40,2 14,6 0,22 10,38 40,48 56,66 46,92 22,100 10,84 24,58 56,36 56,14": 1,
        # the upper loop open to the right
        "60,6 34,0 12,10 10,28 30,44 48,64 44,90 22,100 8,86 22,62 44,44 56,26": 1,
    },
    9: {
        "43,14 24,0 3,14 3,38 21,50 38,38 43,14; 43,14 42,56 38,100": 2,  # a straight tail
        "50,12 26,0 3,18 2,44 21,54 41,36 50,12; 50,12 46,56 41,100": 2,  # a wide loop
        "43,16 24,0 3,14 3,38 21,50 38,38 43,16; 43,16 45,60 33,92 7,98": 1.5,  # a curved tail
        "46,20 29,0 9,12 2,38 17,50 36,34 45,10 43,50 36,100": 2,  # one stroke
        "40,6 15,6 2,30 12,48 33,40 43,20; 43,20 34,62 22,100": 1,  # a slanted tail
        "38,10 15,0 0,12 5,30 24,34 38,14; 38,14 36,50 31,100": 1,  # a small loop, a long tail
        "45,10 19,8 0,28 10,44 38,36 53,18; 50,22 38,56 26,100": 1,  # an open loop, slanted
        "53,4 29,4 3,24 7,50 33,48 50,26 53,4; 53,4 52,60 55,100": 0.7,  # the tail bends outwards
        "43,10 26,0 5,16 5,36 19,42 34,28 43,10; 43,10 38,60 34,100": 1,  # a small loop
        "43,12 24,0 3,18 7,40 28,42 43,14; 43,14 45,70 29,98 0,86": 1,  # a hooked tail
        # an open loop, a curved tail
        "52,10 31,0 7,12 5,34 24,46 43,36 46,24; 46,24 46,60 33,96 9,96": 1,
        # the loop pointed at the top
        "56,8 32,0 4,20 0,42 22,50 46,34 56,8; 53,20 46,66 42,100": 1,
        "48,14 18,4 0,26 12,48 40,40 52,12; 52,12 44,56 34,100": 1,  # the loop ends above its start
    },
}

# At a height of 20 pixels, 72 samples are at most about a pixel apart, which is less than the width
# of the narrowest pen.
SAMPLES = 72

_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
_STEPS_PER_SPAN = 128


class Glyphs(NamedTuple):
    """The variants of all digits, one entry each, ordered by digit.

    Attributes
    ----------
    share : float64 array, shape (glyphs,)
        The digit plus the cumulative probability of its variants up to and including this one, so
        that ``searchsorted(share, digit + u, side="right")`` chooses a variant for ``u`` uniform in
        [0, 1).
    curves : float32 array, shape (glyphs, SAMPLES, 2)
        Equidistant points x, y along the strokes, in units of the digit's height.
    length : float32 array, shape (glyphs,)
        Total length of the strokes, in the same units.
    pen_down : float32 array, shape (glyphs, SAMPLES - 1)
        1 where the pen draws from one sample to the next, 0 where it is lifted.
    """

    share: NDArray[np.float64]
    curves: NDArray[np.float32]
    length: NDArray[np.float32]
    pen_down: NDArray[np.float32]


def _parse(path: str) -> list[NDArray[np.float64]]:
    """Read the control points of each stroke, shape (points, 2), from a glyph's line of text."""
    strokes = ([pair.split(",") for pair in stroke.split()] for stroke in path.split(";"))
    return [np.array(stroke, np.float64) / 100 for stroke in strokes]


def _spline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return dense points, shape (steps, 2), on the curve through a stroke's control points."""
    if np.array_equal(points[0], points[-1]):
        before, after = points[-2], points[1]
    else:
        before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    padded = np.vstack([before, points, after])
    t = np.arange(_STEPS_PER_SPAN)[:, None] / _STEPS_PER_SPAN
    weights = t ** np.arange(4) @ _CATMULL_ROM
    spans = [weights @ padded[k : k + 4] for k in range(len(points) - 1)]
    return np.vstack([*spans, points[-1:]])


def _sample(path: str) -> tuple[NDArray[np.float64], float, NDArray[np.bool_]]:
    """Return a glyph's samples, its length, and whether the pen is down between samples."""
    strokes = [_spline(points) for points in _parse(path)]
    dense = np.vstack(strokes)
    stroke_of = np.repeat(np.arange(len(strokes)), [len(stroke) for stroke in strokes])
    step = np.hypot(*np.diff(dense, axis=0).T)
    lifted = (np.diff(stroke_of) > 0) & (step > 0)
    travelled = np.append(0, np.cumsum(np.where(lifted, 0, step)))
    lifts = np.append(0, np.cumsum(lifted))
    chosen = np.searchsorted(travelled, np.linspace(0, travelled[-1], SAMPLES)).clip(
        max=len(dense) - 1
    )
    return dense[chosen], travelled[-1], np.diff(lifts[chosen]) == 0


@cache
def load_glyphs() -> Glyphs:
    """Sample all variants. This runs on first use, so that the import of cnet is not slowed."""
    share = []
    for digit, variants in VARIANTS.items():
        cumulative = np.cumsum(list(variants.values()))
        share.append(digit + cumulative / cumulative[-1])
    samples = [_sample(path) for variants in VARIANTS.values() for path in variants]
    curves, length, pen_down = (
        np.array(column, np.float32) for column in zip(*samples, strict=True)
    )
    return Glyphs(np.concatenate(share), curves, length, pen_down)
