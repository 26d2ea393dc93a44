"""The argument parser and the strict conversion of option values, with messages for users."""

import argparse
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn

from cnet._utils.hints import did_you_mean
from cnet._utils.threads import MAX_THREADS
from cnet._utils.validation import integer, integer_text, real, real_text
from cnet.cli._console import one_line

LARGEST_LAYER = 65536

Commands = Any
"""Return type of `add_subparsers`, which has no public name."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that keeps line breaks, rejects abbreviations and prints short errors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        self.exit(
            2,
            f"{self.prog}: error: {one_line(message.removeprefix('argument '))}\nTry: {self.prog} "
            "--help\n",
        )

    def reject_options(self, arguments: list[str]) -> NoReturn:
        """Report unknown options, or an unexpected argument."""
        known = re.findall(r"--[a-z-]+", self.format_help())
        first = arguments[0]
        if first.startswith("-"):
            self.error(f"unknown option {first.partition('=')[0]}{did_you_mean(first, known)}")
        self.error(f"unexpected argument {first!r}")


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser of integers within bounds."""

    def parse(text: str) -> int:
        # int() would also accept underscores, spaces and the digits of other scripts.
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            with suppress(ValueError):
                return integer("", int(text), minimum, maximum)
        raise argparse.ArgumentTypeError(f"{text!r} is not {integer_text(minimum, maximum)}")

    return parse


def number(**bounds: Any) -> Callable[[str], float]:
    """Return a parser of finite numbers within bounds, which are those of `validation.real`."""

    def parse(text: str) -> float:
        if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            with suppress(ValueError):
                return real("", float(text), **bounds)
        raise argparse.ArgumentTypeError(f"{text!r} is not {real_text(**bounds)}")

    return parse


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """Return a parser of names."""
    known = tuple(names)

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not one of {', '.join(known)}{did_you_mean(text, known)}"
            )
        return text

    return parse


def layer_sizes(text: str) -> tuple[int, ...]:
    """Parse sizes such as ``128,64``. An empty text or ``none`` means no sizes."""
    if text.strip().lower() in ("", "none"):
        return ()
    size = whole_number(1, LARGEST_LAYER)
    try:
        return tuple(size(part.strip()) for part in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}: expected sizes such as 128 or 128,64, or none"
        ) from None


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help="digits: synthetic digits, nothing to download; mnist: downloaded once; or a folder "
        "or file of MNIST's formats: IDX, .npz, .pkl.gz, .csv (default: %(default)s)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=whole_number(1, MAX_THREADS),
        metavar="N",
        help="maximum number of threads (default: one per processor; results do not depend on it)",
    )
