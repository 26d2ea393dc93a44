"""``python -m cnet`` is the command ``cnet``."""

import sys

from cnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
