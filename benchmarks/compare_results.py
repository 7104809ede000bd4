"""Check that a change of the code does not change the sites that AtomLocator finds.

    python benchmarks/compare_results.py save before.npz       # at the commit before
    python benchmarks/compare_results.py compare before.npz    # after the change

Saves all numerical fields of the sites of fixed images: generated ones (with tiles, a
mask, elliptical columns, centres of mass, isolated columns, a fit from given sites, and
the network), the multislice image, and parts of experimental images if they are at hand
in ``shared/data/real`` beside the repository. Prints the processor time, the largest
differences of fields that differ, and the differences of positions in standard errors.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from sklearn_ferroic import AtomLocator, UNetAtomLocator
from sklearn_ferroic.datasets import load_image, load_multislice, make_ferroic_image

REAL = Path(__file__).parents[2] / "shared" / "data" / "real"
REAL_NAMES = ("pzo.dm3", "sto_16_1.ser", "cdte_twin.dm3", "gold_gb.png")


def cases():
    """Generate the name, the image and the parameters of each case."""
    film = make_ferroic_image(shape=(320, 320), random_state=0).image
    masked = np.array(film, dtype=float)
    masked[100:130, 60:90] = masked[200, 10:60] = np.nan
    yield "film", film, {}
    yield "mask", np.ma.masked_invalid(masked), {}
    yield "ellipses", film[:220, :220], {"shape": "elliptical"}
    yield "centres of mass", film, {"refine": "center_of_mass"}
    yield "peaks", film, {"refine": None}
    long = make_ferroic_image(shape=(520, 300), random_state=1).image
    yield "tiles", long, {"tile_size": 256}
    layers = make_ferroic_image("superlattice", shape=(320, 320), random_state=0)
    yield "superlattice", layers.image, {}
    yield "isolated columns", isolated_columns(), {}
    yield "multislice", load_multislice().image, {}
    for name in REAL_NAMES:
        if (REAL / name).exists():
            image = np.asarray(load_image(REAL / name).image, dtype=float)
            yield name, image[40:360, 40:360], {}


def isolated_columns():
    """Return an image of narrow columns of one kind on a square lattice, counted."""
    random_state = np.random.default_rng(0)
    rows, cols = np.mgrid[:320, :320]
    squares = (np.mod(rows - 3.3, 17.4) - 8.7) ** 2 + (np.mod(cols, 17.4) - 8.7) ** 2
    return random_state.poisson(100 * np.exp(-squares / 18) + 10).astype(np.float32)


def locate_each():
    """Generate the name, the locator, the sites and the processor time of each case."""
    film = None
    for name, image, parameters in cases():
        film = image if film is None else film
        start = time.process_time()
        locator = AtomLocator(**parameters)
        sites = locator.fit_transform(image)
        yield name, locator, sites, time.process_time() - start
        if name in ("film", "isolated columns"):
            start = time.process_time()
            shifted = sites[:]
            shifted.positions = np.clip(sites.positions + 0.3, 0, 319)
            sites = locator.refit(shifted)
            yield f"{name}, refit", locator, sites, time.process_time() - start
    start = time.process_time()
    locator = UNetAtomLocator(weights="pretrained")
    sites = locator.fit_transform(film)
    yield "network", locator, sites, time.process_time() - start


def locate_all():
    """Return the fields of the sites of all cases by name."""
    fields = {}
    for name, locator, sites, seconds in locate_each():
        print(f"{name}: {len(sites)} sites, {seconds:.2f} s", flush=True)
        if isinstance(locator, AtomLocator):
            fields[f"{name}/scale"] = np.array([locator.spacing_, locator.width_])
        for field in sites.fields:
            values = np.asarray(getattr(sites, field.name))
            if values.dtype.kind in "fiub":
                fields[f"{name}/{field.name}"] = values
    return fields


def compare(before, after):
    """Print the fields that differ, and return their number."""
    n_different = 0
    for name in before:
        old, new = before[name], after.get(name)
        if new is None or old.shape != new.shape:
            print(f"{name}: {old.shape} before, now {getattr(new, 'shape', None)}")
        elif not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
            difference = np.abs(new.astype(float) - old.astype(float))
            print(f"{name}: differs by up to {np.nanmax(difference):.2g}")
            if name.endswith("/positions"):
                std = before.get(f"{name[:-1]}_std", np.nan)
                errors = np.nanmax(np.abs(difference / std))
                print(f"    {errors:.2g} standard errors")
        else:
            continue
        n_different += 1
    print(f"{n_different} of {len(before.files)} fields differ")
    return n_different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["save", "compare"])
    parser.add_argument("file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    fields = locate_all()
    if arguments.action == "save":
        np.savez(arguments.file, **fields)
    else:
        sys.exit(compare(np.load(arguments.file), fields) > 0)
