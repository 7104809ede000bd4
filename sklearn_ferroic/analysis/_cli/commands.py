"""The commands analyze, locate, map and report."""

import logging
import re
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..._utils.optional import import_optional
from ...datasets import load_multislice, make_ferroic_image
from .._analyze import analyze, collecting_warnings, map_sites
from .._doubts import in_terms_of_options
from .._model import LOGGER
from .._result import Analysis
from .._saving import draw_files, load_located, new_folder, write_files

LOG_FILE = "analysis.log"
# Exit codes: all done, an error in a sentence, a request to terminate.
_DONE, _FAILED, _WRONG_ARGUMENTS, _TERMINATED = 0, 1, 2, 143
# Options that apply to files only.
_FILE_OPTIONS = ("dataset", "signal", "frame")


def run(options):
    """Run a command.

    Parameters
    ----------
    options : argparse.Namespace
        Arguments of the command.

    Returns
    -------
    code : int
        0 if all is done, 1 after an error.
    """
    log = _LogLines()
    terminal = logging.StreamHandler(sys.stdout)
    terminal.setFormatter(_Terminal())
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    handlers = [log] if options.quiet else [log, terminal]
    for handler in handlers:
        LOGGER.addHandler(handler)
    # Its messages about damaged files would come before the sentence about them.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    commands = {"images": _run_images, "map": _run_map, "report": _run_report}
    try:
        with _terminating():
            return commands[options.command](options, log)
    finally:
        LOGGER.setLevel(level)
        for handler in handlers:
            LOGGER.removeHandler(handler)


_OPTIONS_OF_ANALYZE = (
    *("pixel_size", "signal", "dataset", "frame", "crop", "mask", "invert"),
    *("spacing", "locator", "sublattice", "window_size", "n_clusters", "reference"),
    *("vae", "max_epochs", "random_state", "correct_scan"),
)


def _given(options, names):
    """Return the options of these names that are given."""
    return {name: value for name, value in vars(options).items() if name in names}


# Commands ---------------------------------------------------------------------------


def _run_images(options, log):
    """Analyse images, each into a folder of its own; return the exit code."""
    images = _images(options)
    if isinstance(images, str):
        _fail(images)
        return _WRONG_ARGUMENTS
    several = len(images) > 1
    n_failed = 0
    for image in images:
        name = f"example_{options.example}" if image is None else Path(image).stem
        folder = options.output or Path(f"{name}_analysis")
        folder = folder / name if several else folder
        if several:
            LOGGER.info("%s", image)
        log.lines.clear()
        n_failed += bool(_attempt(_analyze_into, folder, image, options, log))
    if several:
        LOGGER.info("%d of %d images analysed.", len(images) - n_failed, len(images))
    return _FAILED if n_failed else _DONE


def _images(options):
    """Return the images to analyse, None for a generated one, or a message."""
    if options.example is None:
        if not options.images:
            return "No image is given. Pass the file of an image, or --example film."
        names = [Path(image).stem for image in options.images]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            return (
                f"Two images are named {sorted(twice)[0]!r}, so that their results "
                "would have one folder. Analyse them one by one."
            )
        return options.images
    if options.images:
        return "--example generates an image; use it without an image file."
    for name in _FILE_OPTIONS:
        if getattr(options, name) is not None:
            return f"--{name} applies to a file; use it without --example."
    if options.invert:
        return "--invert applies to a file; use it without --example."
    return [None]


def _analyze_into(folder, image, options, log):
    """Analyse one image and write the result."""
    started = time.perf_counter()
    _import_optional_packages()
    with _new_folder(folder) as partial:
        given = _given(options, _OPTIONS_OF_ANALYZE)
        if image is None:
            image = _generate(options.example, given.get("random_state", 0))
        else:
            LOGGER.info("Reading %s ...", image)
        analysis = analyze(
            image,
            **given,
            n_jobs=options.jobs,
            verbose=0 if options.quiet else 1,
            stages=options.stages,
        )
        _finish(analysis, partial, folder, log, started)


def _generate(name, seed):
    """Return a generated image with its truth."""
    LOGGER.info("Generating the image '%s' ...", name)
    is_simulated = name == "multislice"
    data = (
        load_multislice()
        if is_simulated
        else make_ferroic_image(name, random_state=seed)
    )
    data.path = f"example {name}"
    return data


def _run_map(options, log):
    """Find the variants of located columns; return the exit code."""
    return _attempt(_map_into, options.output or options.folder, options, log)


def _map_into(folder, options, log):
    """Find the variants of located columns and write the result."""
    started = time.perf_counter()
    _import_optional_packages()
    with _new_folder(folder) as partial:
        LOGGER.info("Reading the columns in %s ...", options.folder)
        sites, source, stored, caught = load_located(options.folder)
        given = _given(options, _OPTIONS_OF_ANALYZE)
        stored = replace(stored, **given, verbose=0 if options.quiet else 1)
        with collecting_warnings(caught):
            analysis = map_sites(sites, source, stored, caught)
        _finish(analysis, partial, folder, log, started, options.folder)


def _run_report(options, log):
    """Draw the figures and the report again; return the exit code."""
    return _attempt(_report_into, options.output or options.folder, options, log)


def _report_into(folder, options, log):
    """Draw the figures and the report of a stored analysis."""
    _import_optional_packages()
    with _new_folder(folder) as partial:
        LOGGER.info("Reading %s ...", options.folder)
        analysis = Analysis.load(options.folder)
        with _writing(folder):
            draw_files(analysis, partial)
    LOGGER.info("Report: %s", folder / "report.html")


def _finish(analysis, partial, folder, log, started, earlier=None):
    """Log the result and write all files."""
    LOGGER.info("\nResult")
    for line in analysis.describe():
        LOGGER.info("%s", line)
    LOGGER.info("")
    with _writing(folder):
        write_files(analysis, partial)
        LOGGER.info("Report: %s", folder / "report.html")
        LOGGER.info("Table:  %s", folder / "sites.csv")
        LOGGER.info("Time:   %.0f s", time.perf_counter() - started)
        before = "" if earlier is None else _read_log(earlier / LOG_FILE)
        text = before + "".join(f"{line}\n" for line in log.lines)
        (partial / LOG_FILE).write_text(text, encoding="utf-8")


def _read_log(path):
    """Return the lines of an earlier log."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _import_optional_packages():
    """Import the packages that results are written with, before a long analysis."""
    for module, extra in (
        ("pandas", "plot,io"),
        ("h5py", "plot,io"),
        ("matplotlib", "plot,io"),
        ("cmcrameri", "plot,io"),
    ):
        import_optional(module, extra)


# Errors -----------------------------------------------------------------------------


class _OutputError(Exception):
    """Results cannot be written."""


def _attempt(work, folder, *arguments):
    """Run a command; write an error as a sentence and return the exit code."""
    try:
        work(Path(folder), *arguments)
    except MemoryError:
        return _fail("The image is too large for the memory of this computer.")
    except _OutputError as error:
        return _fail(str(error))
    except (ImportError, OSError, TypeError, ValueError, TimeoutError) as error:
        return _fail(in_terms_of_options(str(error)))
    except Exception as error:  # a fault of this program, in one sentence, too
        return _fail(
            f"The analysis failed with {type(error).__name__}: {error}. This is a "
            "fault of sklearn-ferroic; please report it with the image."
        )
    return _DONE


def _fail(message):
    """Write an error as one line and return the exit code."""
    text = " ".join(message.split())
    sys.stdout.flush()
    sys.stderr.write(f"error: {text}\n")
    return _FAILED


@contextmanager
def _new_folder(folder):
    """Make the folder of the results, with a readable message on errors."""
    context = new_folder(folder)
    with _writing(folder):
        partial = context.__enter__()
    try:
        yield partial
    except BaseException:
        context.__exit__(*sys.exc_info())
        raise
    with _writing(folder):
        context.__exit__(None, None, None)


@contextmanager
def _writing(folder):
    """Convert errors of writing into a sentence that names the folder."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # HDF5 reports errors of the system in its own text.
        found = re.search(r"error message = '([^']+)'", str(error))
        reason = found[1] if found else getattr(error, "strerror", None) or str(error)
        raise _OutputError(
            f"Cannot write into the folder {str(folder)!r} ({reason}). Nothing was "
            "written. Choose another with --output."
        ) from error


@contextmanager
def _terminating():
    """End by an exception on a request to terminate, so that nothing is left behind."""

    def stop(number, frame):
        sys.stderr.write("\nTerminated. Nothing was written.\n")
        raise SystemExit(_TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# Log --------------------------------------------------------------------------------


class _LogLines(logging.Handler):
    """Keep the records as plain lines with the time."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        """Add the lines of a record."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        kind = "note: " if record.levelno >= logging.WARNING else ""
        for line in record.getMessage().splitlines():
            if line:
                self.lines.append(f"{now} {kind}{in_terms_of_options(line)}")


class _Terminal(logging.Formatter):
    """Format records for the terminal."""

    def format(self, record):
        """Return the text of a record."""
        text = in_terms_of_options(record.getMessage())
        return f"Note: {text}" if record.levelno >= logging.WARNING else text
