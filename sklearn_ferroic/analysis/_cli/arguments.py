"""Arguments of the command, read before the packages that it needs are imported."""

import argparse
from pathlib import Path

from ... import __version__

EXAMPLES = ("film", "superlattice", "multislice")


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
    command.add_argument("folder", type=Path, help="folder of analyze or locate")
    _add_output(command, "folder to write into (default: the same folder)")
    _add_mapping(command)
    command.set_defaults(command="map")

    command = commands.add_parser(
        "report", help="draw figures and report of a stored analysis again"
    )
    command.add_argument("folder", type=Path, help="folder of analyze, locate or map")
    _add_output(command, "folder to write into (default: the same folder)")
    command.set_defaults(command="report")
    return parser


def _add_output(command, text):
    """Add the arguments that all commands have."""
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help=text)
    command.add_argument(
        "--quiet", action="store_true", help="no progress in the terminal"
    )


def _add_images(command):
    """Add the arguments about the images."""
    command.add_argument("images", nargs="*", metavar="IMAGE", help="image files")
    _add_output(
        command,
        "folder to write into; one folder in it for each of several images "
        "(default: the name of the image with _analysis)",
    )
    add = command.add_argument_group("image").add_argument
    add("--example", choices=EXAMPLES, help="a generated image instead of a file")
    add("--pixel-size", type=_positive, metavar="NM", help="nm per pixel")
    add("--signal", type=_name_or_number, help="title or number, from 0, in the file")
    add("--dataset", help="name of the dataset in an HDF5 or .npz file")
    add(
        "--frame",
        type=_frame,
        metavar="N|average|mean|pair",
        help="image of a stack, the average of all, registered, their plain mean, or "
        "two scans at 0 and 90 degrees, corrected by each other",
    )
    add("--crop", type=_whole_numbers, metavar="ROW0,ROW1,COL0,COL1", help="part, px")
    add("--mask", metavar="FILE", help="image, above 0 where pixels are used")
    add("--invert", action="store_true", help="dark columns on bright ground (ABF)")


def _add_locating(command):
    """Add the arguments about locating columns."""
    add = command.add_argument_group("columns").add_argument
    add("--spacing", type=_positive, metavar="PX", help="distance of nearest columns")
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
    add("--jobs", type=_count, metavar="N", help="processes for large images")


def _add_mapping(command):
    """Add the arguments about variants and domains.

    Those that are not given are absent, so that `map` uses the stored ones.
    """
    group = command.add_argument_group("variants")

    def add(*names, **options):
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    add(
        "--sublattice",
        type=_count_or_auto(0),
        metavar="N|auto",
        help="centres of the windows, 0 = brightest (auto: 1 if there is one)",
    )
    add(
        "--window-size",
        type=_count_or_auto(2),
        metavar="PX|auto",
        help="side of the windows (auto: 2.4 unit cells, or 3.4)",
    )
    add(
        "--clusters",
        dest="n_clusters",
        type=_count_or_auto(1),
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
        type=_count,
        metavar="N",
        help="of the training, at most (20)",
    )
    add("--seed", dest="random_state", type=int, metavar="N", help="seed (0)")


def _add_reference(group):
    """Add the argument of the reference region, absent if it is not given."""
    group.add_argument(
        "--reference",
        default=argparse.SUPPRESS,
        type=_numbers,
        metavar="ROW0,ROW1,COL0,COL1",
        help="region that is not polar, px; also corners row,col,row,col,... of a "
        "polygon. Its displacement is subtracted",
    )


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive(text):
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number")
    return number


def _frame(text):
    return text if text in ("average", "mean", "pair") else int(text)


def _name_or_number(text):
    return int(text) if text.isdigit() else text


def _numbers(text):
    return tuple(float(part) for part in text.split(","))


def _whole_numbers(text):
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError("four whole numbers, separated by commas")
    return numbers


def _count_or_auto(least):
    """Return a function that reads a whole number or "auto"."""

    def read(text):
        if text == "auto":
            return text
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, or auto")
        return number

    read.__name__ = "number"
    return read
