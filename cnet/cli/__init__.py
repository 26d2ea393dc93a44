"""The ``cnet`` command: train, evaluate and use a network from the command line.

Each command is a module with ``add_parser``, which declares the options, and a function that runs
the command and returns the exit code. Expected errors are printed here as one line.
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
Train and use small neural networks that classify handwritten digits on a CPU.
"""

_EPILOG = """\
examples:
  cnet train                             ten epochs on synthetic digits
  cnet train --data mnist --out m.safetensors
  cnet evaluate m.safetensors --data mnist
  cnet predict m.safetensors photo.png   show the image as the network sees it
  cnet info                              version, instruction set, threads

exit codes:
  0    success
  1    failure: one line on standard error describes the error
  2    usage error: an unknown option, or an invalid value
  130  interrupted by Ctrl-C; "cnet train" saves the network trained so far
  141  the reader of the output has exited, as in "cnet info | head -1"

environment:
  CNET_NUM_THREADS  number of threads, unless --threads is given
  CNET_ISA          instruction set, instead of the best one available
  CNET_DATA         folder of data sets, instead of the user's cache folder
  CNET_DEBUG        1 shows the traceback of an error
"""

# Errors that a user can cause: by invalid arguments, files, missing modules or sizes. Any other
# exception is a bug in cnet, and its traceback is shown.
_EXPECTED = (CommandError, OSError, ValueError, FloatingPointError, ImportError, MemoryError)
_FAILED = 1
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``cnet`` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the command name. The default is those of the process.

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
            args.parser.reject_options(unknown)
        if args.run is None:
            parser.print_help()
            return 0
        code: int = args.run(args)
        return code
    except SystemExit as exit:  # argparse has printed the help, the version, or an error
        return exit.code if isinstance(exit.code, int) else 0


def _parser() -> Parser:
    parser = Parser(prog="cnet", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"cnet {__version__}", help="print the version"
    )
    parser.set_defaults(parser=parser, run=None)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", help='"cnet COMMAND --help" describes a command'
    )
    for command in (_train, _evaluate, _predict, _info):
        command.add_parser(commands)
    return parser


def _text(error: BaseException) -> str:
    """Return the message of an error, as shown to the user."""
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
    """Escape characters that the terminal's encoding lacks, such as those of file names."""
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush_or_abandon_output() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_output()


def _abandon_output() -> None:
    """Redirect standard output to nothing, so that Python's flush at exit does not fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
