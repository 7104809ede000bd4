"""Displays, metrics, splitters and files on 10⁵ and 10⁶ sites: time and memory.

    python benchmarks/bench_sites.py                        # a table in Markdown
    python benchmarks/bench_sites.py --sites 100000 --only "SpatialBlockKFold"

The sites are a square lattice of 7 px with errors of 0.3 px in one image, with four
variants in stripes. Each row runs in a process of its own; memory is the peak of that
process minus what it held before the call; times are those of the processor. "Growth"
is the exponent p in time ∝ nᵖ between the two largest numbers of sites: 1 is linear, 2
quadratic.
"""

import argparse
import math
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SPACING_PX = 7
N_VARIANTS = 4


def make_sites(n_sites):
    """A lattice of about that many sites with all fields, and their variants."""
    from sklearn_ferroic import AtomSites

    rng = np.random.default_rng(0)
    side = round(math.sqrt(n_sites))
    index = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    positions = (index + 1.0) * SPACING_PX + rng.normal(0, 0.3, index.shape)
    image = rng.normal(100, 10, ((side + 2) * SPACING_PX,) * 2).astype(np.float32)
    image.setflags(write=False)
    variant = (index[:, 1] // 50) % N_VARIANTS
    angle = variant * np.pi / 2 + rng.normal(0, 0.2, len(index))
    sites = AtomSites(
        image,
        positions,
        pixel_size=0.02,
        polarization=np.column_stack([np.sin(angle), np.cos(angle)]),
        amplitude=rng.normal(100, 3, len(index)),
        sigma=np.full(len(index), 1.5),
        background=np.zeros(len(index)),
        position_std=np.full(index.shape, 0.05),
        lattice_position=(index + 1.0) * SPACING_PX,
    )
    return sites, variant, angle - np.pi, rng.normal(0, 1, (len(index), 2))


def _draw(display):
    display.figure_.canvas.draw()


def _domain_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import DomainMapDisplay

    magnitude = latents[:, 0]
    _draw(
        DomainMapDisplay.from_sites(sites, angle, magnitude=magnitude, labels=variant)
    )


def _loading_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import LoadingMapDisplay

    components = np.random.default_rng(0).normal(size=(2, 64))
    _draw(LoadingMapDisplay.from_sites(sites, components, latents))


def _polarization_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import PolarizationMapDisplay

    _draw(PolarizationMapDisplay.from_sites(sites))


def _site_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import SitesDisplay

    _draw(SitesDisplay.from_sites(sites, values=variant))


def _quality_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import SiteQualityDisplay

    _draw(SiteQualityDisplay.from_sites(sites))


def _cell_map(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import CellMapDisplay

    _draw(CellMapDisplay.from_sites(sites, latents[:, 0], labels=variant))


def _cluster_means(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import ClusterMeansDisplay

    windows = np.broadcast_to(latents[:, :1].astype(np.float32), (len(sites), 64))
    _draw(ClusterMeansDisplay.from_predictions(windows, variant))


def _angle_histogram(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import AngleHistogramDisplay

    _draw(AngleHistogramDisplay.from_predictions(angle))


def _latent_distribution(sites, variant, angle, latents):
    from sklearn_ferroic.inspection import LatentDistributionDisplay

    _draw(LatentDistributionDisplay.from_predictions(latents, angle=angle))


def _metric(name, *arguments):
    def call(sites, variant, angle, latents):
        from sklearn_ferroic import metrics

        known = {
            "sites": sites,
            "variant": variant,
            "angle": angle,
            "latents": latents,
        }
        getattr(metrics, name)(*[known[argument] for argument in arguments])

    return call


def _k_fold(sites, variant, angle, latents):
    from sklearn_ferroic.model_selection import SpatialBlockKFold

    list(SpatialBlockKFold(5, guard=35, random_state=0).split(sites))


def _small_blocks(sites, variant, angle, latents):
    from sklearn_ferroic.model_selection import SpatialBlockKFold

    list(SpatialBlockKFold(5, block_size=70, guard=7, random_state=0).split(sites))


def _shuffle_split(sites, variant, angle, latents):
    from sklearn_ferroic.model_selection import SpatialShuffleSplit

    list(SpatialShuffleSplit(3, guard=35, random_state=0).split(sites))


def _many_images(sites, variant, angle, latents):
    from sklearn_ferroic.model_selection import SpatialBlockKFold

    frame = np.arange(len(sites)) // 500
    cv = SpatialBlockKFold(
        5, guard=10, coordinates=sites.positions, frame=frame, random_state=0
    )
    list(cv.split(np.zeros((len(sites), 1))))


def _csv(sites, variant, angle, latents):
    with tempfile.TemporaryDirectory() as folder:
        sites.to_csv(Path(folder) / "sites.csv", labels=variant)


def _csv_and_back(sites, variant, angle, latents):
    from sklearn_ferroic import AtomSites

    with tempfile.TemporaryDirectory() as folder:
        sites.to_csv(Path(folder) / "sites.csv", labels=variant)
        AtomSites.from_csv(Path(folder) / "sites.csv")


def _hdf5(sites, variant, angle, latents):
    from sklearn_ferroic import AtomSites

    with tempfile.TemporaryDirectory() as folder:
        sites.to_hdf5(Path(folder) / "sites.h5", labels=variant)
        AtomSites.from_hdf5(Path(folder) / "sites.h5")


def _quality(sites, variant, angle, latents):
    quality = sites.quality()
    _ = quality.coverage, quality.short_pairs


def _repeated_k_fold(sites, variant, angle, latents):
    from sklearn_ferroic.model_selection import RepeatedSpatialBlockKFold

    cv = RepeatedSpatialBlockKFold(5, n_repeats=2, guard=35, random_state=0)
    list(cv.split(sites))


def _neighborhoods(sites, variant, angle, latents):
    from sklearn_ferroic import NeighborhoodDescriptor

    NeighborhoodDescriptor(n_neighbors=4).fit_transform(sites)


def _profile(sites, variant, angle, latents):
    from sklearn_ferroic.domains import profile_along
    from sklearn_ferroic.inspection import ProfileDisplay

    last = sites.positions.max(axis=0)
    profile = profile_along(sites, latents[:, 0], [[0, 0], last])
    _draw(ProfileDisplay.from_profile(profile))


def _frames_of(sites, n_frames=4):
    """Return a series of frames whose sites are as many in all."""
    from sklearn_ferroic import AtomSites

    # A corner of the lattice, so that every frame has the same columns.
    side = math.isqrt(len(sites) // n_frames)
    n_cols = math.isqrt(len(sites))
    row, col = np.divmod(np.arange(len(sites)), n_cols)
    corner = sites[(row < side) & (col < side)]
    return AtomSites(
        [corner.images[0] + number for number in range(n_frames)],
        np.tile(corner.positions, (n_frames, 1)),
        frame=np.repeat(np.arange(n_frames), len(corner)),
        polarization=np.tile(corner.polarization, (n_frames, 1)),
        lattice_position=np.tile(corner.lattice_position, (n_frames, 1)),
    )


def _track(sites, variant, angle, latents):
    _frames_of(sites).track()


def _switching(sites, variant, angle, latents):
    from sklearn_ferroic.domains import find_switching
    from sklearn_ferroic.inspection import SwitchingDisplay

    switching = find_switching(_frames_of(sites).track(), sublattice=0)
    _draw(SwitchingDisplay.from_switching(switching))


def _concatenate(sites, variant, angle, latents):
    from sklearn_ferroic import AtomSites

    AtomSites.concatenate([sites[start::100] for start in range(100)])


CALLS = {
    "DomainMapDisplay": _domain_map,
    "LoadingMapDisplay": _loading_map,
    "PolarizationMapDisplay": _polarization_map,
    "SitesDisplay": _site_map,
    "SiteQualityDisplay": _quality_map,
    "CellMapDisplay": _cell_map,
    "ClusterMeansDisplay": _cluster_means,
    "AngleHistogramDisplay": _angle_histogram,
    "LatentDistributionDisplay": _latent_distribution,
    "ProfileDisplay": _profile,
    "SwitchingDisplay": _switching,
    "angle_coherence_score": _metric(
        "angle_coherence_score", "sites", "variant", "angle"
    ),
    "spatial_coherence_score": _metric("spatial_coherence_score", "sites", "variant"),
    "wall_straightness_score": _metric("wall_straightness_score", "sites", "variant"),
    "wall_continuity_score": _metric("wall_continuity_score", "sites", "variant"),
    "variant_accuracy_score": _metric("variant_accuracy_score", "variant", "variant"),
    "circular_correlation": _metric("circular_correlation", "angle", "angle"),
    "circular_mean": _metric("circular_mean", "angle"),
    "angle_registration": _metric("angle_registration", "angle", "angle"),
    "angular_error": _metric("angular_error", "angle", "angle"),
    "latent_leakage_score": _metric("latent_leakage_score", "latents", "angle"),
    "SpatialBlockKFold": _k_fold,
    "SpatialBlockKFold, blocks of 100 sites": _small_blocks,
    "SpatialBlockKFold, images of 500 sites": _many_images,
    "RepeatedSpatialBlockKFold, two layouts": _repeated_k_fold,
    "SpatialShuffleSplit": _shuffle_split,
    "NeighborhoodDescriptor": _neighborhoods,
    "AtomSites.to_csv": _csv,
    "AtomSites.to_csv and from_csv": _csv_and_back,
    "AtomSites.to_hdf5 and from_hdf5": _hdf5,
    "AtomSites.quality": _quality,
    "AtomSites.track, four frames": _track,
    "AtomSites.concatenate, 100 parts": _concatenate,
}


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(name, n_sites, connection):
    """Run one call on sites of its own; send seconds, MiB and what went wrong."""
    import matplotlib

    matplotlib.use("Agg")
    arguments = make_sites(n_sites)
    before, start = _peak_mib(), time.process_time()
    try:
        CALLS[name](*arguments)
        error = ""
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
    connection.send((time.process_time() - start, _peak_mib() - before, error))


def run_apart(name, n_sites):
    """Measure in a fresh process, so that peaks of memory do not mix."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(name, n_sites, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return math.nan, math.nan, "the process ended"
    finally:
        process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    head = [f"{n:,} sites: s | MiB" for n in arguments.sites]
    say(f"| | {' | '.join(head)} | growth |")
    say("|---" * (2 * len(head) + 2) + "|")
    for name in CALLS:
        if arguments.only not in name:
            continue
        found = [run_apart(name, n) for n in arguments.sites]
        cells = [error or f"{seconds:.2f} | {mib:.0f}" for seconds, mib, error in found]
        growth = ""
        if len(found) > 1:
            ratio = math.log(found[-1][0] / found[-2][0])
            step = math.log(arguments.sites[-1] / arguments.sites[-2])
            growth = f"{ratio / step:.2f}"
        say(f"| {name} | {' | '.join(cells)} | {growth} |")


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
