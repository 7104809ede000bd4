"""
From a microscope image to a map of ferroic variants
====================================================

The command ``sklearn-ferroic analyze``, for a generated image by default, whose result
is compared with the truth. The arguments are those of the command::

    python examples/demo.py image.tif --pixel-size 0.0195 --output demo_output
"""

import sys

from sklearn_ferroic.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["analyze", *(sys.argv[1:] or ["--example", "film"])]))
