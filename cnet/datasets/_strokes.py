"""How people write the ten digits: pen strokes, and the splines that turn them into curves.

Each variant of a digit is a line of text, in the manner of an SVG path: points ``x,y`` joined by a smooth curve,
strokes separated by ``;``. ``x`` runs to the right and ``y`` downwards, in per cent of the height of the digit.

* A curve passes through its points (a uniform Catmull-Rom spline; Catmull & Rom, 1974).
* A stroke that ends on its first point is a closed loop without a corner there.
* A corner is made by ending a stroke and starting the next on the same point: points written with the same
  coordinates are one point, so that strokes that touch stay together when points are jittered.

A spline is linear in its control points. ``GLYPHS`` therefore holds one matrix for each variant, and drawing any number
of distorted copies of it is a matrix product.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: The variants of each digit, each with how often it is drawn relative to the other variants of the digit.
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
        "2,24 15,4 40,0 57,18 49,44 28,70 0,98; 0,98 32,94 68,98": 2,  # with a corner and a straight base
        "0,10 28,0 51,10 47,38 15,84; 15,84 47,92 91,86": 1,  # the same, wide
        "4,22 21,2 49,4 57,28 42,58 19,86 4,94 0,82 13,74 38,88 70,94": 2,  # with a loop
        "0,22 23,0 51,6 57,34 42,66 19,92 2,94 4,76 30,72 59,88 85,96": 2,  # with a large loop
        "4,20 25,0 53,8 53,40 32,74 11,84 2,74 19,66 51,76 89,70": 1,  # with a loop above the end of the tail
        "2,20 25,0 55,14 49,44 21,74 4,92 23,98 68,94": 1,  # with a rounded corner
        "11,32 2,16 25,0 53,8 55,32 34,62 0,98; 0,98 21,88 42,98 68,90": 1,  # with a hook and a wavy base
        "15,34 4,18 19,2 45,4 51,26 40,60 23,96; 0,92 32,96 78,84": 1,  # the base crosses the stem
        "0,8 30,0 53,14 42,44 0,96; 0,96 38,96 68,98": 1,  # flat, almost a Z
        "0,34 11,8 34,0 55,14 51,42 32,66 11,88 0,80 15,66 36,76 55,98": 1,  # with a loop and a falling tail
        "4,34 21,2 53,8 53,40 28,74 4,98 0,84 17,76 42,86 70,80": 1,  # with a large head
        "0,16 30,0 53,10 36,46 0,80; 0,80 53,80 117,70": 0.7,  # low and wide
    },
    3: {
        "4,12 28,0 52,12 50,34 20,48; 20,48 52,54 60,76 42,98 18,100 0,88": 3,  # two bows and a corner
        "4,14 30,0 52,18 42,40 20,50 14,44 30,46 56,62 54,86 30,100 0,90": 2,  # a small loop at the waist
        "0,4 28,3 54,2; 54,2 38,24 22,42; 22,42 52,50 60,74 42,98 0,92": 1,  # flat-topped
        "2,8 28,0 48,12 46,34 34,46 48,58 54,80 34,100 0,96": 1,  # a shallow waist
        "6,12 36,0 52,12 40,34 16,46; 16,46 40,48 46,66 30,90 0,98": 1,  # leaning forward
        "0,6 34,0 60,10 44,32 16,42; 16,42 46,52 50,80 26,100 0,88": 1,  # a large upper bow
        "4,6 30,2 46,14 30,40 14,46; 14,46 44,44 54,66 36,94 0,96": 1,  # upright, a large lower bow
        "0,20 24,0 48,16 36,40 22,46 40,52 50,72 34,96 4,94 0,80": 1,  # round ends
        "0,4 40,0 62,8 40,30 24,44; 24,44 44,50 52,70 32,94 0,100": 1,  # a long roof
    },
    4: {
        "6,0 2,28 0,54; 0,54 28,54 60,50; 50,6 48,50 44,100": 2,  # open, angular
        "8,2 0,34 12,54 36,52 54,40; 56,0 52,50 48,100": 2,  # open, round
        "24,4 10,28 0,52; 0,52 30,52 70,44; 58,6 46,50 34,100": 2,  # open, both stems slanted
        "0,0 0,24 2,48; 2,48 30,48 64,44; 48,20 48,60 48,100": 1,  # open, the right stem starts low
        "46,0 22,34 0,66; 0,66 30,66 64,64; 46,0 45,50 44,100": 2,  # closed, a triangle
        "40,0 18,26 0,50; 0,50 26,50 56,46; 44,4 42,50 38,100": 1,  # closed at the top, a short triangle
        "50,4 24,14 0,44 16,54 48,46; 52,4 50,50 44,100": 0.7,  # closed, round
        "10,0 0,30 6,44 30,42 54,14; 54,14 46,56 36,100": 1,  # one stroke, like a y
    },
    5: {
        "11,4 7,24 4,46; 4,46 28,38 53,48 59,72 45,94 19,100 0,90; 11,4 36,2 61,0": 2,  # with corners
        "36,6 28,22 17,42; 17,42 42,42 49,62 34,88 0,98; 36,6 64,4 98,0": 2,  # slanted, a long hat
        "28,10 21,26 15,44; 15,44 42,44 53,66 36,92 0,94; 32,4 61,6 89,2": 1,  # the hat apart
        "61,2 36,2 11,6; 11,6 6,26 15,42 45,52 57,76 36,98 0,94": 2,  # with a rounded waist
        "64,2 30,2 11,20 19,40 47,54 55,78 36,98 0,94": 1,  # almost an S
        "8,16 6,32 6,50; 6,50 36,42 59,58 55,86 30,100 0,88; 8,14 32,4 59,0": 1,  # a rising hat
        "15,0 8,22 8,42; 8,42 42,36 68,56 59,86 28,100 0,80; 15,0 38,2 66,4": 1,  # a large bowl
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
    },
    7: {
        "0,6 30,6 59,2; 59,2 38,48 23,100": 3,
        "0,20 2,5; 2,5 30,7 57,4; 57,4 38,48 23,100": 1,  # with a serif
        "0,6 30,6 59,2; 59,2 38,48 23,100; 15,54 36,52 57,50": 1.5,  # with a bar
        "0,20 2,4; 2,4 30,4 57,2; 57,2 42,48 32,100; 13,50 38,50 64,46": 0.5,  # with a serif and a bar
        "0,14 13,4 36,8 59,2; 59,2 47,40 38,100": 1,  # a wavy top
        "0,10 25,3 53,4 55,22 38,58 25,100": 2,  # a rounded corner
        "0,28 8,6 32,2 53,14 51,44 36,72 21,100": 1,  # an arch
        "0,10 42,8 89,0; 89,0 59,40 42,90": 1,  # a long roof
        "0,4 23,4 47,2; 47,2 45,48 42,100": 1,  # an upright stem
        "0,30 6,6; 6,6 30,4 53,4; 53,4 51,50 47,100": 0.7,  # upright with a long serif
        "0,6 26,6 55,4; 55,4 34,50 17,100; 4,60 32,54 59,42": 0.7,  # with a rising bar
    },
    8: {
        "45,14 26,0 7,12 12,34 37,56 47,80 26,100 3,84 12,60 37,38 45,14": 3,  # one stroke, a figure of eight
        "26,0 7,10 9,36 26,48 44,36 45,10 26,0; 26,48 3,62 3,88 26,100 49,88 49,62 26,48": 1,  # two circles
        "47,8 26,2 9,16 17,38 40,60 44,86 23,100 5,84 14,60 38,34 50,12": 2,  # open at the top
        "52,14 30,0 7,12 9,32 30,48 37,70 24,98 10,94 10,74 28,50 52,26 52,14": 2,  # a narrow lower loop
        "54,10 28,2 3,14 7,34 26,50 31,76 21,98 9,94 10,74 30,48 64,8": 2,  # the same, open
        "38,14 24,0 14,12 19,32 44,54 50,80 28,100 2,84 9,60 31,34 38,14": 1,  # a narrow upper loop
        "66,8 35,10 10,12 9,30 35,50 37,80 19,98 5,84 17,60 38,40 50,20": 1,  # a long flag
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
        "52,10 31,0 7,12 5,34 24,46 43,36 46,24; 46,24 46,60 33,96 9,96": 1,  # an open loop, a curved tail
    },
}

#: Points at which each glyph is sampled, equally far apart along its strokes.
SAMPLES = 56

_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
_STEPS_PER_SPAN = 32


class Glyphs(NamedTuple):
    """The variants of all digits as arrays, one row for each variant, digit by digit.

    Attributes
    ----------
    share : float64 array, shape (glyphs,)
        The digit plus the cumulative probability of its variants, up to and including this one.
    points : float32 array, shape (glyphs, points, 2)
        Control points in units of the digit's height; unused ones are zero.
    spline : float32 array, shape (glyphs, SAMPLES, points)
        ``spline[g] @ points[g]`` samples the strokes of glyph ``g``.
    pen_down : float32 array, shape (glyphs, SAMPLES - 1)
        1 where a sample and the next lie on one stroke or on strokes that touch, else 0.
    """

    share: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    spline: npt.NDArray[np.float32]
    pen_down: npt.NDArray[np.float32]


_Point = tuple[float, float]
_Matrix = npt.NDArray[np.float64]


def _parse(path: str) -> list[list[_Point]]:
    """Read the strokes of a glyph from its line of text."""
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in s.split())] for s in path.split(";")]


def _dense_spline(stroke: list[_Point]) -> _Matrix:
    """Return the matrix, shape (steps, len(stroke)), that takes a stroke's points to closely spaced ones on its curve."""
    identity = np.eye(len(stroke))
    if stroke[0] == stroke[-1]:
        before, after = identity[-2], identity[1]
    else:
        before, after = 2 * identity[0] - identity[1], 2 * identity[-1] - identity[-2]
    padded = np.vstack([before, identity, after])
    t = np.arange(_STEPS_PER_SPAN)[:, None] / _STEPS_PER_SPAN
    weights = t ** np.arange(4) @ _CATMULL_ROM
    spans = [weights @ padded[k : k + 4] for k in range(len(stroke) - 1)]
    return np.vstack([*spans, identity[-1:]])


def _sampled_glyph(path: str) -> tuple[_Matrix, _Matrix, _Matrix]:
    """Return a glyph's distinct control points, its spline matrix and where its pen is down."""
    strokes = _parse(path)
    points = list(dict.fromkeys(point for stroke in strokes for point in stroke))
    place = np.eye(len(points))
    dense = [_dense_spline(stroke) @ place[[points.index(point) for point in stroke]] for stroke in strokes]
    control = np.array(points) / 100
    steps = [np.hypot(*np.diff(rows @ control, axis=0).T) for rows in dense]
    travelled = np.cumsum(np.concatenate([np.append(0, step) for step in steps]))
    wanted = np.linspace(0, travelled[-1], SAMPLES)
    chosen = np.searchsorted(travelled, wanted - 1e-9)
    stroke_of = np.repeat(np.arange(len(strokes)), [len(rows) for rows in dense])[chosen]
    touching = np.array([True, *(a[-1] == b[0] for a, b in zip(strokes, strokes[1:]))])
    pen_down = (np.diff(stroke_of) == 0) | touching[stroke_of[1:]]
    return control, np.vstack(dense)[chosen], pen_down


def _build_glyphs() -> Glyphs:
    glyphs = [_sampled_glyph(path) for digit in range(10) for path in VARIANTS[digit]]
    size = max(len(control) for control, _, _ in glyphs)
    points = np.zeros((len(glyphs), size, 2), np.float32)
    spline = np.zeros((len(glyphs), SAMPLES, size), np.float32)
    for g, (control, matrix, _) in enumerate(glyphs):
        points[g, : len(control)] = control
        spline[g, :, : len(control)] = matrix
    share = []
    for digit in range(10):
        cumulative = np.cumsum(list(VARIANTS[digit].values()))
        share.append(digit + cumulative / cumulative[-1])
    return Glyphs(np.concatenate(share), points, spline, np.array([p for _, _, p in glyphs], np.float32))


GLYPHS = _build_glyphs()
