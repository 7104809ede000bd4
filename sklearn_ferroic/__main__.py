"""The command ``sklearn-ferroic``, also as ``python -m sklearn_ferroic``."""

import os
import sys

from .analysis._cli.arguments import make_parser

_INTERRUPTED = 130


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : list of str, default=None
        Arguments of the command; those of the process by default.

    Returns
    -------
    code : int
        0 if all is done, 1 after an error and 130 after Ctrl-C. Wrong arguments end
        the process with 2.
    """
    # Threads of torch that wait actively take 3 to 10 times as long where other
    # processes use the cores. OpenMP reads this before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = make_parser().parse_args(arguments)
    try:
        from .analysis._cli.commands import run

        return run(options)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Nothing was written.\n")
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
