"""``cnet evaluate``."""

import argparse

import cnet
from cnet.cli._arguments import Commands, add_data, add_threads
from cnet.cli._classifier import read_classifier
from cnet.cli._console import one_line
from cnet.cli._data import load_data

_DESCRIPTION = """\
Print the loss, the accuracy and the confusion matrix of a saved network on the
test images of a data set. Data without a test set, such as a single .csv file,
are evaluated as a whole.
"""

_EPILOG = """\
examples:
  cnet evaluate model.safetensors
  cnet evaluate model.safetensors --data mnist
  cnet evaluate model.safetensors --data more/mnist_test.csv
"""


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "evaluate",
        usage="cnet evaluate [options] MODEL",
        help="evaluate a saved network on labeled images",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "model", metavar="MODEL", help='a file saved by "cnet train" or model.save(...)'
    )
    add_data(parser)
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    if args.threads:
        cnet.set_num_threads(args.threads)
    classifier = read_classifier(args.model)
    data = load_data(args.data)
    split = data.train if data.test is None else data.test
    part = "all" if data.test is None else "test"
    verdict = classifier.judge(split)
    print(
        f"{one_line(args.data)}, {part} {len(split.x):,} images: {verdict.line()}\n\n"
        f"{verdict.matrix()}"
    )
    return 0
