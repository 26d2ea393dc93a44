"""``cnet info``."""

import argparse
import os
from pathlib import Path

import cnet
from cnet.cli._arguments import Commands
from cnet.cli._console import one_line

_DESCRIPTION = """\
Without a file: print the version of cnet and its configuration.
With a file: print the layers of a saved network and the metadata of the file.
"""

_EPILOG = """\
examples:
  cnet info
  cnet info model.safetensors
"""


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "info",
        help="show this installation, or a saved network",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help='a file saved by "cnet train" or model.save(...)',
    )


def run(args: argparse.Namespace) -> int:
    if args.model is None:
        cnet.show_config()
    else:
        _show_model(Path(os.path.expanduser(args.model)))
    return 0


def _show_model(path: Path) -> None:
    model = cnet.load(path)
    metadata = {"file": str(path), "bytes": f"{path.stat().st_size:,}", **_metadata(path)}
    for key, value in metadata.items():
        print(f"{one_line(key):12} {one_line(value)}")
    print()
    model.summary()


def _metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file, without the architecture, which the summary shows better."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {
            key: value
            for key, value in sorted((file.metadata() or {}).items())
            if key != "architecture"
        }
