"""The command ``python -m sklearn_ferroic``."""

import sys

from .analysis._command import main

if __name__ == "__main__":
    sys.exit(main())
