"""``cnet train``."""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cnet
from cnet import nn, optim
from cnet._core import _isa
from cnet.cli._arguments import (
    Commands,
    add_data,
    add_threads,
    layer_sizes,
    number,
    one_of,
    whole_number,
)
from cnet.cli._classifier import ACTIVATIONS, Classifier, build
from cnet.cli._console import INTERRUPTED, CommandError, complain, count, one_line
from cnet.cli._data import describe, load_data
from cnet.datasets import Dataset

_POSITIVE = number(above=0)
_NOT_NEGATIVE = number(minimum=0)
_SHARE = number(minimum=0, below=1)

_DESCRIPTION = """\
Train a network of dense layers by stochastic gradient descent, then save and
test it.

Ctrl-C ends training early and saves the network in its current state. The
network has one output per digit and no softmax: its outputs are logits. In
Python, nn.Softmax()(cnet.load("model.safetensors")(x)) returns probabilities.
"""

_EPILOG = """\
examples:
  cnet train
  cnet train --hidden 100,200,200 --momentum 0.9 --nesterov --lr 0.02
  cnet train --data mnist --epochs 20 --validation 5000 --out mnist.safetensors
  cnet train --hidden none          softmax regression: no hidden layer
"""


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "train",
        usage="cnet train [options]",
        help="train a network and save it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(parser=parser, run=run)

    data = parser.add_argument_group("data")
    add_data(data)
    data.add_argument(
        "--validation",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="training images to hold out and evaluate after each epoch (default: %(default)s)",
    )

    net = parser.add_argument_group("network")
    net.add_argument(
        "--hidden",
        type=layer_sizes,
        default=(128,),
        metavar="SIZES",
        help="sizes of the hidden layers, in order from the input, such as 128,64; none for no "
        "hidden layer (default: 128)",
    )
    net.add_argument(
        "--activation",
        type=one_of(ACTIVATIONS),
        default="relu",
        metavar="NAME",
        help=f"after each hidden layer: {', '.join(ACTIVATIONS)} (default: %(default)s)",
    )

    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=whole_number(1),
        default=10,
        metavar="N",
        help="passes over the training images (default: %(default)s)",
    )
    training.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=32,
        metavar="N",
        help="images per step (default: %(default)s)",
    )
    training.add_argument(
        "--lr",
        type=_POSITIVE,
        default=0.1,
        metavar="X",
        help="learning rate (default: %(default)s)",
    )
    training.add_argument(
        "--momentum",
        type=_SHARE,
        default=0.0,
        metavar="X",
        help="fraction of the previous step to keep, 0 to below 1 (default: %(default)g)",
    )
    training.add_argument(
        "--nesterov", action="store_true", help="use Nesterov momentum; requires --momentum"
    )
    training.add_argument(
        "--weight-decay",
        type=_NOT_NEGATIVE,
        default=0.0,
        metavar="X",
        help="L2 penalty on weights and biases (default: %(default)g)",
    )
    training.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="seed of initial weights and of the order of images (default: %(default)s)",
    )
    add_threads(training)

    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        default="model.safetensors",
        metavar="FILE",
        help="file to save the network to, in an existing folder; replaces the file (default: "
        "%(default)s)",
    )
    output.add_argument(
        "--quiet",
        action="store_true",
        help="print only the test result, in one line, and errors",
    )


def run(args: argparse.Namespace) -> int:
    """Train, save and test. Saving comes first, so that Ctrl-C during the test loses nothing."""
    if args.nesterov and not args.momentum:
        args.parser.error("--nesterov requires --momentum, such as --momentum 0.9")
    out = _check_output(args.out)
    if args.threads:
        cnet.set_num_threads(args.threads)
    data = load_data(args.data, args.validation)
    model = build(args.hidden, args.activation, args.seed)
    optimizer = optim.SGD(
        model.parameters(),
        lr=args.lr,
        momentum=args.momentum,
        nesterov=args.nesterov,
        weight_decay=args.weight_decay,
    )
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    if not args.quiet:
        print(_heading(args, data, model), flush=True)

    started = time.monotonic()
    try:
        _fit(trainer, data, args)
    except KeyboardInterrupt:
        model.save(out)
        complain(
            f"interrupted in epoch {min(trainer.epoch + 1, args.epochs)} of {args.epochs}: saved "
            f"the network trained so far to {args.out}"
        )
        return INTERRUPTED
    except FloatingPointError as error:
        if not trainer.epoch:
            raise
        model.save(out)
        raise FloatingPointError(
            f"{error}. Saved the network of epoch {trainer.epoch} to {args.out}"
        ) from error
    seconds = time.monotonic() - started
    model.save(out)
    if not args.quiet:
        print(
            f"Trained for {count(args.epochs, 'epoch')} in {seconds:.1f} s, saved to "
            f"{one_line(args.out)}",
            flush=True,
        )
    _print_result(Classifier(model, args.out), data, args.quiet)
    return 0


def _check_output(name: str) -> Path:
    """Return the path to save to, after checking before training that it is writable."""
    path = Path(os.path.expanduser(name))
    if not path.parent.is_dir():
        raise CommandError(f"--out: there is no folder {str(path.parent)!r} to save to")
    if path.exists() and not path.is_file():
        raise CommandError(
            f"--out: {name!r} is {'a folder' if path.is_dir() else 'not a regular file'}, "
            "expected a file name"
        )
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise CommandError(f"--out: {name!r} cannot be written: {error.strerror}") from error
    return path


def _heading(args: argparse.Namespace, data: Dataset, model: nn.Sequential) -> str:
    """Return a description of the data, the network, the options and the machine."""
    sizes = " - ".join(map(str, (784, *args.hidden, 10)))
    activation = f", {args.activation}" if args.hidden else ""
    momentum = (
        f", {'Nesterov ' if args.nesterov else ''}momentum {args.momentum:g}"
        if args.momentum
        else ""
    )
    decay = f", weight decay {args.weight_decay:g}" if args.weight_decay else ""
    steps = -(-len(data.train.x) // args.batch_size)
    lines = {
        "data": one_line(describe(args.data, data)),
        "network": f"{sizes}{activation}: "
        f"{sum(parameter.size for parameter in model.parameters()):,} "
        "parameters",
        "optimizer": f"SGD, learning rate {args.lr:g}{momentum}{decay}",
        "training": (
            f"{count(args.epochs, 'epoch')} of {count(steps, 'step')}, batches of "
            f"{args.batch_size}, seed {args.seed}"
        ),
        "machine": (
            f"{count(cnet.get_num_threads(), 'thread')}, {_isa.active_isa()}; cnet "
            f"{cnet.__version__}"
        ),
    }
    return "\n".join(f"{key:10} {value}" for key, value in lines.items())


def _fit(trainer: cnet.Trainer, data: Dataset, args: argparse.Namespace) -> None:
    trainer.fit(
        *data.train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        validation_data=data.validation,
        verbose=not args.quiet,
    )


def _print_result(classifier: Classifier, data: Dataset, quiet: bool) -> None:
    name, split = ("test", data.test) if data.test is not None else ("validation", data.validation)
    if split is None:
        print("The data has no test images: hold some out with --validation")
        return
    verdict = classifier.judge(split)
    print(f"{name.capitalize()}: {verdict.line()}")
    if not quiet:
        print(f"\n{verdict.matrix()}")
