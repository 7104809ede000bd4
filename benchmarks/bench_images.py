"""Compare AtomLocator and UNetAtomLocator on generated, multislice and real images.

    python benchmarks/bench_images.py --multislice FOLDER --real FOLDER [--only NAME]

Writes docs/benchmarks_images.md. Without the folders, which may also be given by the
environment variables MULTISLICE_IMAGES and REAL_IMAGES, the generated images and the
multislice image of the package remain.
"""

import argparse
import json
import os
import platform
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
from _images import (
    generated_cases,
    ideal_cases,
    multislice_cases,
    real_cases,
    shipped_cases,
    typical_spacing,
)
from _overlays import draw_overlay
from _report_images import write_report
from _scores_images import score

from sklearn_ferroic import AtomLocator, UNetAtomLocator, __version__

DOCS = Path(__file__).parents[1] / "docs"
LOCATORS = {
    "AtomLocator": AtomLocator,
    "UNetAtomLocator": UNetAtomLocator.from_pretrained,
}
GROUPS = ("ideal", "generated", "multislice", "real")


def cases_of(arguments):
    """Yield the images that the command line asks for."""

    def wanted(name):
        return not arguments.only or any(
            part.lower() in name.lower() for part in arguments.only.split(",")
        )

    groups = arguments.groups.split(",")
    sources = []
    if "ideal" in groups:
        sources.append(ideal_cases())
    if "generated" in groups:
        sources.append(generated_cases())
    if "multislice" in groups:
        sources.append(shipped_cases())
    if "multislice" in groups and arguments.multislice:
        sources.append(multislice_cases(arguments.multislice))
    if "real" in groups and arguments.real:
        sources += [real_cases(folder, wanted) for folder in arguments.real]
    for source in sources:
        yield from (case for case in source if wanted(case.name))


def measure(case, locator_name):
    """Locate the columns of one image once, timed.

    Returns
    -------
    sites : AtomSites or None
        None if the locator raised.
    outcome : dict
        Figures as JSON can hold them.
    """
    outcome = {"group": case.group, "note": case.note}
    if case.image is None:
        return None, outcome | {"error": case.note}
    outcome |= {"shape": list(np.shape(case.image))}
    locator = LOCATORS[locator_name]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.process_time()
        try:
            if isinstance(locator, AtomLocator):
                sites = locator.fit_transform(case.image)
            else:
                sites = locator.transform(case.image)
        except ValueError as error:
            sites, outcome["error"] = None, str(error)
        outcome["seconds"] = time.process_time() - start
    outcome["warnings"] = [str(one.message) for one in caught]
    if sites is None:
        return None, outcome
    outcome |= {
        "spacing": _spacing(locator, sites),
        "n_sites": np.bincount(sites.sublattice, minlength=2).tolist(),
        "converged": float(np.mean(sites.converged)) if len(sites) else np.nan,
        "median_std_px": float(np.nanmedian(sites.position_std)),
    }
    if case.positions is not None:
        figures = score(case, sites)
        outcome |= {
            "true_spacing": case.spacing,
            "n_true": figures.n_true,
            "n_invented": figures.n_invented,
            "n_duplicates": figures.n_duplicates,
            "accuracy": {k: asdict(v) for k, v in figures.by_sublattice.items()},
        }
    return sites, outcome


def _spacing(locator, sites):
    """Return the spacing a locator estimated, else that of its sites, px."""
    if hasattr(locator, "spacing_"):
        return float(locator.spacing_)
    return typical_spacing(sites.positions)


def describe(name, locator_name, outcome):
    """Return one line for the terminal."""
    start = f"{outcome['group']:10} {name[:28]:28} {locator_name[:4]}"
    if "error" in outcome:
        return f"{start} {outcome['error'][:100]}"
    line = f"{start} spacing {outcome['spacing']:.2f}"
    if "accuracy" not in outcome:
        line += f" n {outcome['n_sites']}"
    else:
        line += f"/{outcome['true_spacing']:.2f} inv {outcome['n_invented']}"
        line += f" dup {outcome['n_duplicates']}"
        for label, own in outcome["accuracy"].items():
            line += (
                f" | {'AB'[label]} miss {own['n_missed']}/{own['n_true']}"
                f" lab {100 * own['labels_right']:.2f} rms {own['rms_px']:.3f}"
                f" e/s {own['rms_ratio']:.2f} rob {own['robust_ratio']:.2f}"
                f" loc {own['local_rms_ratio']:.2f} rob {own['local_robust_ratio']:.2f}"
            )
    line += f" | conv {outcome['converged']:.3f} {outcome['seconds']:.2f} s"
    return line + (f" warn {len(outcome['warnings'])}" if outcome["warnings"] else "")


def main():
    """Locate, print a line per image and locator, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--multislice",
        default=os.environ.get("MULTISLICE_IMAGES"),
        help="folder of .npz files with truth",
    )
    parser.add_argument(
        "--real",
        nargs="+",
        default=os.environ.get("REAL_IMAGES", "").split(os.pathsep),
        help="folders of microscope files, or files",
    )
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--only", default="", help="parts of names, with commas")
    parser.add_argument("--locators", default=",".join(LOCATORS))
    parser.add_argument("--overlays", type=Path, help="folder for PNG overlays")
    parser.add_argument(
        "--zoom", type=int, default=None, help="side of the crops of overlays, px"
    )
    parser.add_argument(
        "--crops", type=int, default=3, help="crops of overlays along each side"
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument(
        "--no-page", action="store_true", help="print only, leave the page as it is"
    )
    arguments = parser.parse_args()
    arguments.real = [folder for folder in arguments.real if folder]
    outcomes = {}
    for case in cases_of(arguments):
        for locator_name in arguments.locators.split(","):
            sites, outcome = measure(case, locator_name)
            outcomes.setdefault(case.name, {})[locator_name] = outcome
            print(describe(case.name, locator_name, outcome), flush=True)
            if arguments.overlays and sites is not None:
                draw_overlay(case, sites, locator_name, outcome, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(outcomes, indent=1))
    if not arguments.no_page:
        machine = f"{platform.machine()}, sklearn-ferroic {__version__}"
        write_report(DOCS / "benchmarks_images.md", outcomes, machine)


if __name__ == "__main__":
    main()
