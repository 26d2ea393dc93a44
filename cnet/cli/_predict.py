"""``cnet predict``."""

import argparse
import json
import sys
from typing import NamedTuple

from cnet._utils.arrays import Array
from cnet.cli._arguments import Commands
from cnet.cli._classifier import read_classifier
from cnet.cli._console import complain, one_line, shows_grays, writes_unicode
from cnet.cli._image import read_images
from cnet.cli._picture import Style, draw

_DESCRIPTION = """\
Classify the digits in images.

FILE is an image (PNG, JPEG and others; requires pip install "cnet[image]"), or
a NumPy array (.npy) of one or more images: 28x28 or 784 numbers each, uint8
from 0 to 255 or floats from 0 to 1, light digits on dark as in MNIST.

A network only recognizes images like those it was trained on. An image file is
therefore converted to the layout of MNIST, unless it is in that layout already:
the ink is separated from the paper, dark on light or light on dark, in uneven
light; specks, ruled lines and the surroundings of the paper are removed; the
digit is scaled to 20x20 pixels and centered by its mass in 28x28 pixels. Arrays
are used unchanged. A line on standard error explains a doubtful prediction.
"""

_EPILOG = """\
examples:
  cnet predict model.safetensors seven.png
  cnet predict model.safetensors scans/*.png
  cnet predict model.safetensors images.npy --json
"""

_SURE = 0.6  # a prediction with a lower probability is doubtful
_MAX_REMARKS = 20  # lines


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "predict",
        usage="cnet predict [options] MODEL FILE...",
        help="classify the digits in images",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "model", metavar="MODEL", help='a file saved by "cnet train" or model.save(...)'
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="images to classify")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--picture",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show each image as the network sees it, next to its probabilities, or print one "
        "line each (default: show a single image in a terminal)",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="print a JSON array with, for each image: file, index in the file, prediction, "
        "probabilities, remarks",
    )


class _Prediction(NamedTuple):
    file: str
    position: int
    name: str
    image: Array
    probabilities: Array
    remarks: list[str]

    @property
    def digit(self) -> int:
        return int(self.probabilities.argmax())

    def line(self) -> str:
        return f"{one_line(self.name)}: {self.digit} ({100 * self.probabilities[self.digit]:.1f} %)"

    def json(self) -> str:
        probabilities = [round(float(p), 6) for p in self.probabilities]
        return json.dumps(
            {
                "file": self.file,
                "index": self.position,
                "prediction": self.digit,
                "probabilities": probabilities,
                "remarks": self.remarks,
            }
        )


def run(args: argparse.Namespace) -> int:
    """Read all files before printing, so that an error is the only output."""
    classifier = read_classifier(args.model)
    predictions = []
    for file in args.files:
        images, remarks = read_images(file)
        for position, (image, probabilities) in enumerate(
            zip(images, classifier.probabilities(images), strict=True)
        ):
            name = file if len(images) == 1 else f"{file}[{position}]"
            unsure = ["the network is not sure"] if probabilities.max() < _SURE else []
            predictions.append(
                _Prediction(file, position, name, image, probabilities, [*remarks, *unsure])
            )

    if args.json:
        print("[\n" + ",\n".join(prediction.json() for prediction in predictions) + "\n]")
    elif args.picture or (args.picture is None and len(predictions) == 1 and sys.stdout.isatty()):
        style = (
            Style.GRAYS
            if shows_grays()
            else Style.UNICODE
            if writes_unicode() and sys.stdout.isatty()
            else Style.ASCII
        )
        print(
            "\n\n".join(f"{draw(p.image, p.probabilities, style)}\n{p.line()}" for p in predictions)
        )
    else:
        print("\n".join(prediction.line() for prediction in predictions))
    if not args.json:
        _print_remarks(predictions)
    return 0


def _print_remarks(predictions: list[_Prediction]) -> None:
    """Print remarks to standard error, because programs may read the predictions."""
    doubtful = [prediction for prediction in predictions if prediction.remarks]
    if doubtful:
        sys.stdout.flush()
    for prediction in doubtful[:_MAX_REMARKS]:
        complain(f"{prediction.name}: {'; '.join(prediction.remarks)}")
    if len(doubtful) > _MAX_REMARKS:
        complain(
            f"{len(doubtful) - _MAX_REMARKS} more predictions are doubtful: --json lists "
            "all remarks"
        )
