"""The command ``cnet``: train, evaluate and use a network without writing a line of Python.

Each command is a module with ``add_parser``, which declares its options, and a function that runs
it and returns the exit code. What they raise for people to read becomes one line here.
"""

import io
import os
import sys
from collections.abc import Sequence

from cnet._version import __version__
from cnet.cli import _evaluate, _info, _predict, _train
from cnet.cli._arguments import Parser
from cnet.cli._console import INTERRUPTED, CommandError, complain

_DESCRIPTION = """\
Train small neural nets that read handwritten digits, on the CPU, and use them.
"""

_EPILOG = """\
examples:
  cnet train                             ten epochs on digits that cnet draws
  cnet train --data mnist --out m.safetensors
  cnet evaluate m.safetensors --data mnist
  cnet predict m.safetensors photo.png   show the image and what the net sees
  cnet info                              version, instruction set, threads

exit codes:
  0    done
  1    something went wrong: one line on standard error says what
  2    wrong usage: an unknown option, or a value out of its range
  130  interrupted by Ctrl-C; "cnet train" saves what was trained so far
  141  nobody reads the output any more, as in "cnet info | head -1"

environment:
  CNET_NUM_THREADS  threads, where --threads does not say
  CNET_ISA          instruction set, instead of the best one
  CNET_DATA         folder of data sets, instead of the user's cache folder
  CNET_DEBUG        1 shows where in the code an error came from
"""

# Errors of the user's making: of the library's own checks, of files, of modules that are not
# installed, of sizes. Anything else is a mistake in cnet, and shows its traceback.
_EXPECTED = (CommandError, OSError, ValueError, FloatingPointError, ImportError, MemoryError)
_FAILED = 1
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``cnet``.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the command's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    _prepare_output()
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _abandon_output()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except _EXPECTED as error:
        if os.environ.get("CNET_DEBUG", "0") not in ("", "0"):
            raise
        _flush_or_abandon_output()
        complain(f"error: {_text(error)}")
        return _FAILED


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        args, unknown = parser.parse_known_args(argv)
        if unknown:
            args.parser.refuse_options(unknown)
        if args.run is None:
            parser.print_help()
            return 0
        code: int = args.run(args)
        return code
    except SystemExit as exit:  # argparse has printed help, the version, or what is wrong
        return exit.code if isinstance(exit.code, int) else 0


def _parser() -> Parser:
    parser = Parser(prog="cnet", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"cnet {__version__}", help="print the version"
    )
    parser.set_defaults(parser=parser, run=None)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", help='"cnet COMMAND --help" explains it'
    )
    for command in (_train, _evaluate, _predict, _info):
        command.add_parser(commands)
    return parser


def _text(error: BaseException) -> str:
    """What an error says, for people."""
    if isinstance(error, OSError) and error.strerror:
        return (
            f"{os.fsdecode(error.filename)}: {error.strerror}"
            if isinstance(error.filename, str | bytes)
            else error.strerror
        )
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return str(error) or type(error).__name__


def _prepare_output() -> None:
    """Names of files may hold what the terminal's encoding has not: show them escaped instead of
    failing.
    """
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush_or_abandon_output() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_output()


def _abandon_output() -> None:
    """Point standard output at nothing: Python flushes it once more at its end, and would
    complain.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
