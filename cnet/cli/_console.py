"""What the commands have in common in how they talk to people."""

import contextlib
import os
import sys

INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C ended


class CommandError(Exception):
    """Something went wrong that the message explains: it is shown as one line, without a
    traceback.
    """


def one_line(text: str) -> str:
    """Text as one line that does nothing to a terminal: names and metadata of files may hold
    anything.
    """
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def complain(text: str) -> None:
    """Print a line to standard error, as far as there is one."""
    with contextlib.suppress(OSError):
        print(f"cnet: {one_line(text)}", file=sys.stderr, flush=True)


def count(number: int, singular: str) -> str:
    """``1 epoch``, ``10 epochs``, ``60,000 images``."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def writes_unicode() -> bool:
    """Whether standard output takes any character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8")


def shows_grays() -> bool:
    """Whether standard output is a terminal that shows block characters in 256 colors, as far as
    one can know.
    """
    if not (sys.stdout.isatty() and writes_unicode()) or os.environ.get("NO_COLOR"):
        return False
    # Older consoles of Windows, unlike its Terminal, print the codes.
    return (
        "256" in os.environ.get("TERM", "")
        or "COLORTERM" in os.environ
        or "WT_SESSION" in os.environ
    )
