"""Output functions shared by the commands."""

import contextlib
import os
import sys

INTERRUPTED = 130  # the exit code that shells report for a command ended by Ctrl-C


class CommandError(Exception):
    """An error whose message is complete. It is shown as one line, without a traceback."""


def one_line(text: str) -> str:
    """Return text as one line without control characters: file names may contain anything."""
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def complain(text: str) -> None:
    """Print a line to standard error, if there is one."""
    with contextlib.suppress(OSError):
        print(f"cnet: {one_line(text)}", file=sys.stderr, flush=True)


def count(number: int, singular: str) -> str:
    """Return a count with its noun: ``1 epoch``, ``10 epochs``, ``60,000 images``."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def writes_unicode() -> bool:
    """Whether standard output can encode any character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8")


def shows_grays() -> bool:
    """Whether standard output appears to be a terminal with block characters and 256 colors."""
    if not (sys.stdout.isatty() and writes_unicode()) or os.environ.get("NO_COLOR"):
        return False
    # Older Windows consoles, unlike Windows Terminal, print the escape codes.
    return (
        "256" in os.environ.get("TERM", "")
        or "COLORTERM" in os.environ
        or "WT_SESSION" in os.environ
    )
