"""Arguments of the command, read before the packages that it needs are imported."""

import argparse
import math
from pathlib import Path

from ... import __version__

EXAMPLES = ("film", "superlattice", "multislice")
# Number of seeds that NumPy accepts, from 0 on.
_N_SEEDS = 2**32


def make_parser():
    """Return the parser of the arguments.

    Returns
    -------
    parser : argparse.ArgumentParser
        Its result has `command`, "images", "map" or "report", and the options.
    """
    parser = argparse.ArgumentParser(
        prog="sklearn-ferroic",
        description="From atomically resolved STEM images to maps of ferroic variants.",
        epilog="Begin with: sklearn-ferroic analyze --example film --output example. "
        "Then open example/report.html. Options: sklearn-ferroic analyze --help.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "analyze", help="columns, variants, domains and a report of images"
    )
    _add_images(command)
    _add_locating(command)
    _add_mapping(command)
    command.set_defaults(command="images", stages="all")

    command = commands.add_parser("locate", help="the columns of images alone")
    _add_images(command)
    _add_locating(command)
    _add_reference(command.add_argument_group("variants"))
    command.set_defaults(command="images", stages="locate")

    command = commands.add_parser(
        "map", help="variants and domains of columns that are located"
    )
    command.add_argument("folder", type=_path, help="folder of analyze or locate")
    _add_output(command, "folder to write into (default: the same folder)")
    _add_mapping(command)
    command.set_defaults(command="map")

    command = commands.add_parser(
        "report", help="draw figures and report of a stored analysis again"
    )
    command.add_argument("folder", type=_path, help="folder of analyze, locate or map")
    _add_output(command, "folder to write into (default: the same folder)")
    command.set_defaults(command="report")
    return parser


def _add_output(command, text):
    """Add the arguments that all commands have."""
    command.add_argument("-o", "--output", type=_path, metavar="DIR", help=text)
    command.add_argument(
        "--quiet", action="store_true", help="no progress in the terminal"
    )


def _add_images(command):
    """Add the arguments about the images."""
    command.add_argument(
        "images", nargs="*", type=_text, metavar="IMAGE", help="image files"
    )
    _add_output(
        command,
        "folder to write into; one folder in it for each of several images "
        "(default: the name of the image with _analysis)",
    )
    add = command.add_argument_group("image").add_argument
    add("--example", choices=EXAMPLES, help="a generated image instead of a file")
    add("--pixel-size", type=_length, metavar="NM", help="nm per pixel")
    add("--signal", type=_name_or_number, help="title or number, from 0, in the file")
    add("--dataset", type=_text, help="name of the dataset in an HDF5 or .npz file")
    add(
        "--frame",
        type=_whole_number(0, words=("average", "mean", "pair")),
        metavar="N|average|mean|pair",
        help="image of a stack, the average of all, registered, their plain mean, or "
        "two scans at 0 and 90 degrees, corrected by each other",
    )
    add("--crop", type=_crop, metavar="ROW0,ROW1,COL0,COL1", help="part, px")
    add(
        "--mask",
        type=_text,
        metavar="FILE",
        help="image, above 0 where pixels are used",
    )
    add("--invert", action="store_true", help="dark columns on bright ground (ABF)")


def _add_locating(command):
    """Add the arguments about locating columns."""
    add = command.add_argument_group("columns").add_argument
    add("--spacing", type=_spacing, metavar="PX", help="distance of nearest columns")
    add(
        "--locator",
        choices=["peaks", "unet"],
        default="peaks",
        help="unet, a trained network, finds faint columns (%(default)s)",
    )
    add(
        "--correct-scan",
        action="store_true",
        help="correct jitter of the scan lines, and drift by --reference, a perfect "
        "lattice",
    )
    add("--jobs", type=_whole_number(1), metavar="N", help="processes for large images")


def _add_mapping(command):
    """Add the arguments about variants and domains.

    Those that are not given are absent, so that `map` uses the stored ones.
    """
    group = command.add_argument_group("variants")

    def add(*names, **options):
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    add(
        "--sublattice",
        type=_whole_number(0, words=("auto",)),
        metavar="N|auto",
        help="centres of the windows, 0 = brightest (auto: 1 if there is one)",
    )
    add(
        "--window-size",
        type=_whole_number(2, words=("auto",)),
        metavar="PX|auto",
        help="side of the windows (auto: 2.4 unit cells, or 3.4)",
    )
    add(
        "--clusters",
        dest="n_clusters",
        type=_whole_number(1, words=("auto",)),
        metavar="N|auto",
        help="at least variants plus non-polar materials; clusters of one direction "
        "are merged (auto)",
    )
    _add_reference(group)
    add(
        "--no-vae",
        dest="vae",
        action="store_false",
        help="no network: cluster the measured displacements alone",
    )
    add(
        "--epochs",
        dest="max_epochs",
        type=_whole_number(1),
        metavar="N",
        help="of the training, at most (20)",
    )
    add(
        "--seed",
        dest="random_state",
        type=_whole_number(0, _N_SEEDS - 1),
        metavar="N",
        help="seed (0)",
    )


def _add_reference(group):
    """Add the argument of the reference region, absent if it is not given."""
    group.add_argument(
        "--reference",
        default=argparse.SUPPRESS,
        type=_region,
        metavar="ROW0,ROW1,COL0,COL1",
        help="region that is not polar, px; also corners row,col,row,col,... of a "
        "polygon. Its displacement is subtracted",
    )


def _whole_number(least, largest=None, words=()):
    """Return a function that reads a whole number in a range, or one of some words."""
    wanted = f"a whole number of at least {least}"
    if largest is not None:
        wanted = f"a whole number from {least} to {largest}"
    wanted = ", ".join([wanted, *words[:-1]]) + "".join(f" or {w}" for w in words[-1:])

    def read(text):
        if text in words:
            return text
        number = _convert(int, text, wanted)
        if number < least or (largest is not None and number > largest):
            raise _error(wanted, text)
        return number

    return read


def _length(text, least=None):
    """Return a length, positive or of at least some px."""
    wanted = "a positive number" if least is None else f"a number of at least {least}"
    number = _convert(float, text, wanted)
    is_large = number > 0 if least is None else number >= least
    if not (is_large and math.isfinite(number)):
        raise _error(wanted, text)
    return number


def _spacing(text):
    """Return a distance of columns, which is at least one pixel."""
    return _length(text, 1)


def _name_or_number(text):
    """Return a number where the text consists of digits, else a name."""
    return int(text) if text.isdecimal() else _text(text)


def _text(text):
    """Return a text that is not empty."""
    if not text.strip():
        raise _error("a name", text)
    return text


def _path(text):
    """Return a path; an empty one would be that of the current folder."""
    return Path(_text(text))


def _crop(text):
    """Return first row, last row, first column and last column of a part."""
    wanted = (
        "first row, last row, first column and last column in this order, four whole "
        "numbers from 0 on, separated by commas"
    )
    numbers = tuple(_convert(int, part, wanted, text) for part in text.split(","))
    if len(numbers) != 4 or min(numbers) < 0 or not _are_ordered(numbers):
        raise _error(wanted, text)
    return numbers


def _region(text):
    """Return the edges of a region, or the corners of a polygon."""
    wanted = (
        "first row, last row, first column and last column in this order, or row and "
        "column of three or more corners, finite numbers, separated by commas"
    )
    numbers = tuple(_convert(float, part, wanted, text) for part in text.split(","))
    is_polygon = len(numbers) >= 6 and len(numbers) % 2 == 0
    is_rectangle = len(numbers) == 4 and _are_ordered(numbers)
    if not all(map(math.isfinite, numbers)) or not (is_polygon or is_rectangle):
        raise _error(wanted, text)
    return numbers


def _are_ordered(edges):
    """Return whether the first row and column come before the last ones."""
    first_row, last_row, first_col, last_col = edges
    return first_row < last_row and first_col < last_col


def _convert(kind, part, wanted, text=None):
    """Return a number, or raise the error of an argument."""
    try:
        return kind(part)
    except ValueError:
        raise _error(wanted, part if text is None else text) from None


def _error(wanted, text):
    """Return the error of an argument, which ends the process with the code 2."""
    return argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
