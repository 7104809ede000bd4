"""Frames and scan distortion: accuracy, memory, time, and other packages.

    python benchmarks/bench_registration.py series --seeds 10
    python benchmarks/bench_registration.py series --seeds 6 --flyback 2 --method lines
    python benchmarks/bench_registration.py series --seeds 3 --gain 1.4
    python benchmarks/bench_registration.py relaxation
    python benchmarks/bench_registration.py pair --size 340 2048
    python benchmarks/bench_registration.py multislice FOLDER   # of *_distorted_*.npz
    python benchmarks/bench_registration.py memory --frames 100 --size 2048
    python benchmarks/bench_registration.py peers               # what is installed

Errors are those of positions against the truth. Memory is anonymous memory, without
pages of the memory-mapped file, which the system may drop. Other packages that are
compared if they are installed: pyStackReg and quantem.
"""

import argparse
import contextlib
import importlib
import io
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates, shift
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, FrameAverager, ScanDistortionCorrector
from sklearn_ferroic.datasets import make_ferroic_image, make_ferroic_series
from sklearn_ferroic.feature_extraction import LatticeStrain
from sklearn_ferroic.sites import AtomSites

BORDER_PX = 5
# Columns at the start of the lines, where the flyback displaces them.
START_PX = 30
MIB = 2**20


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rms(error):
    return np.sqrt(np.nanmean(np.square(error), axis=0))


class Watch:
    """Processor and wall seconds, and largest anonymous memory, of a block."""

    def __enter__(self):
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.before_mib = self.peak_mib = anonymous_mib()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self):
        while not self._ended.wait(0.05):
            self.peak_mib = max(self.peak_mib, anonymous_mib())

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self.wall_s = time.perf_counter() - self._wall
        self.cpu_s = time.process_time() - self._cpu

    def __str__(self):
        more = self.peak_mib - self.before_mib
        return f"{self.cpu_s:.1f} CPU s, {self.wall_s:.1f} s, {more:.0f} MiB more"


def anonymous_mib():
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


# Series -------------------------------------------------------------------------------


def run_series(arguments):
    """Errors of shifts and columns of the average, over seeds."""
    ratios = []
    for seed in range(arguments.seeds):
        data = make_ferroic_series(random_state=seed, flyback=arguments.flyback)
        if arguments.gain != 1:
            # From the first to the last frame.
            gain = np.linspace(1, arguments.gain, len(data.image), dtype=np.float32)
            data.image *= gain[:, None, None]
        averager = FrameAverager(method=arguments.method)
        average = averager.fit_transform(data)
        used = averager.weights_ > 0
        error = (averager.shifts_ - data.shifts)[used]
        error -= error.mean(axis=0)
        ratio, share, start = ratios_of_average(data, averager, average)
        ratios.append(ratio)
        text = ", ".join(f"{name} {value:.2f}" for name, value in ratio.items())
        say(
            f"seed {seed}: shifts {rms(error.ravel()):.3f} px rms, largest "
            f"{np.abs(error).max():.2f} px; rejected {averager.rejected_.tolist()} of "
            f"{data.bad_frames.tolist()}; {share:.2%} found; errors of {text}; "
            f"columns within {START_PX} px of the start of the lines {start:.2f} px; "
            f"flyback {averager.flyback_[0]:.2f} px at the first pixel"
        )
    for name in ratios[0]:
        values = [ratio[name] for ratio in ratios]
        say(f"{name}: mean {np.mean(values):.2f}, largest {np.max(values):.2f}")


def ratios_of_average(data, averager, average):
    """Return errors over standard errors, rms, and those at the start of the lines."""
    used = averager.weights_ > 0
    sites = AtomLocator().fit_transform(average)
    # What the noise of the pixels alone explains: the bound of the total dose.
    dose_only = AtomLocator().fit_transform(average.image).position_std
    offset = data.shifts[averager.reference_] + averager.origin_
    truth = data.positions - offset
    # Where the frames show the columns on average, with jitter and drift in the frames,
    # which registration cannot determine.
    common = (data.frame_positions + data.shifts[:, None])[used].mean(axis=0) - offset
    last = np.array(average.image.shape) - BORDER_PX
    inside = ((truth >= BORDER_PX - 1) & (truth < last)).all(axis=1)
    truth, common = truth[inside], common[inside]
    distance, found = cKDTree(sites.positions).query(truth)
    std, dose_only = sites.position_std[found], dose_only[found]
    error = sites.positions[found] - truth
    error -= np.median(error, axis=0)
    design = np.column_stack([np.ones(len(truth)), truth])
    affine = error - design @ np.linalg.lstsq(design, error, rcond=None)[0]
    against_common = sites.positions[found] - common
    against_common -= np.median(against_common, axis=0)
    start = (truth[:, 1] < START_PX) & (distance < 2)
    return (
        {
            "specimen over position_std": float(rms((error / std).ravel())),
            "specimen over the bound of the dose": float(
                rms((error / dose_only).ravel())
            ),
            "the same up to an affine map": float(rms((affine / dose_only).ravel())),
            "mean of the frames over the bound of the dose": float(
                rms((against_common / dose_only).ravel())
            ),
        },
        float(np.mean(distance < 2)),
        float(rms(error[start, 1])),
    )


# Relaxation ---------------------------------------------------------------------------


def run_relaxation(arguments):
    """Row component of a film whose spacing relaxes, with drift and without."""
    for drift in (0.0, 1.0):
        for relaxed in (0.0, 1.0):
            for seed in range(arguments.seeds):
                before, after, assumed = errors_of_film(seed, drift, relaxed)
                say(
                    f"drift {drift:.0f}, spacing relaxed by {relaxed:.0f} px, seed "
                    f"{seed}: row component {before:.2f} px before, {after:.2f} px "
                    f"after, of which {assumed:.2f} px rest on even rows"
                )


def errors_of_film(seed, drift, relaxed, noise=0.1):
    """Errors of a film on its substrate, rows, and what rests on even rows, px."""
    rng = np.random.default_rng(seed)
    row, col = (part.ravel() for part in np.indices((23, 20)))
    # The spacing of the film relaxes to 27.5 px; that of the substrate is 26 px.
    steps = np.where(np.arange(23) < 15, 27.5, 26.0)
    steps[:15] -= relaxed * np.exp(-np.arange(15)[::-1] / 5)
    places = np.concatenate([[0], np.cumsum(steps)])[:23]
    truth = np.column_stack([places[row], 26.0 * col]) + [14, 14]
    lines = drift * draw_lines(625, rng, shear=0, wave=0.9, jitter=0.1)
    lines -= lines.mean(axis=0)
    seen = truth.copy()
    for _ in range(4):
        step = [np.interp(seen[:, 0], np.arange(625), one) for one in lines.T]
        seen = truth - np.stack(step, axis=1)
    seen = seen + rng.normal(size=seen.shape) * noise
    image = rng.normal(size=(625, 540)).astype(np.float32)
    sites = AtomSites(
        [image],
        seen,
        sublattice=np.zeros(len(seen), int),
        position_std=np.full(seen.shape, noise),
        converged=np.ones(len(seen), bool),
    )
    corrector = ScanDistortionCorrector().fit(image, sites=sites, reference=row > 15)
    moved = corrector.transform_sites(sites).positions
    before, after = (
        rms(affine_residual(part, truth))[0] for part in (sites.positions, moved)
    )
    return before, after, corrector.even_row_shift_


# Pair ---------------------------------------------------------------------------------


def draw_lines(n_rows, rng, *, shear=0.02, wave=1.0, jitter=0.15):
    """Displacements of scan lines: steady drift, a slow wave and jitter, px."""
    time_ = np.arange(n_rows) / n_rows - 0.5
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    lines = time_[:, None] * n_rows * shear * [0.3 * np.sin(angle), np.cos(angle)]
    lines[:, 0] += 0.5 * wave * np.sin(3 * np.pi * time_ + phase)
    lines[:, 1] += wave * np.sin(2.6 * np.pi * time_ + 2 * phase)
    return lines + rng.normal(size=(n_rows, 2)) * jitter * [0.5, 1.0]


def scan(image, lines, rotated, size, rng, counts):
    """One scan of an image of the specimen, upright or rotated by 90 degrees."""
    row, col = np.indices((size, size)) + lines.T[:, :, None] - (size - 1) / 2
    middle = (np.array(image.shape) - 1) / 2
    place = (-col, row) if rotated else (row, col)
    place = np.array(place) + middle[:, None, None]
    expected = map_coordinates(image, place, order=3, mode="nearest")
    mean = np.maximum(expected, 0) * counts / image.max()
    return rng.poisson(mean).astype(np.float32)


def make_pair(size, seed, counts=100):
    """A pair of scans of a generated film, with the lines and the columns."""
    side = int(size * 1.08) + 100
    film = make_ferroic_image(
        shape=(side, side), dose=np.inf, drift=0, jitter=0, random_state=seed
    )
    specimen = film.image - film.image.min()
    rng = np.random.default_rng(seed)
    lines = [draw_lines(size, rng) for _ in range(2)]
    images = [
        scan(specimen, one, bool(number), size, rng, counts)
        for number, one in enumerate(lines)
    ]
    return images, lines, film.positions - (side - 1) / 2 + (size - 1) / 2


def jitter_of_columns(lines, rows, sigma):
    """Displacement of columns: mean of those of the lines that cross them."""
    reach = np.arange(-int(4 * sigma), int(4 * sigma) + 1)
    place = np.rint(rows).astype(int)[:, None] + reach
    square = ((place - rows[:, None]) / sigma) ** 2
    weight = np.stack([square * np.exp(-square), np.exp(-square)], axis=-1)
    weight *= ((place >= 0) & (place < len(lines)))[:, :, None]
    seen = lines[np.clip(place, 0, len(lines) - 1)]
    return (weight * seen).sum(axis=1) / weight.sum(axis=1)


def residuals_of_pair(corrector, lines):
    """Errors of the displacements of lines and of columns, without noise of fits."""
    error = corrector.line_shift_ - lines
    sites = corrector.sites_
    first = sites[sites.frame == 0]
    moved = corrector.transform_sites(sites)
    found = moved[moved.frame == 0].positions - first.positions
    sigma = float(np.nanmedian(first.sigma))
    left = found - jitter_of_columns(lines, first.positions[:, 0], sigma)
    return rms(error - error.mean(axis=0)), rms(left - left.mean(axis=0))


def run_pair(arguments):
    """Residual distortion of a pair, and time."""
    for size in arguments.size:
        for seed in range(arguments.seeds):
            images, lines, _ = make_pair(size, seed)
            with Watch() as locating:
                sites = AtomLocator(n_jobs=arguments.jobs).fit_transform(images)
            with Watch() as correcting:
                corrector = ScanDistortionCorrector(n_jobs=arguments.jobs)
                corrector.fit(images, sites=sites)
            of_lines, of_columns = residuals_of_pair(corrector, lines[0])
            say(
                f"{size} px, seed {seed}: residual of lines {of_lines.round(3)} px, of "
                f"columns {of_columns.round(3)} px (row, column); locating {locating}; "
                f"correcting {correcting}"
            )


# Multislice ---------------------------------------------------------------------------


def run_multislice(arguments):
    """Errors of the columns of distorted simulations, before and after."""
    folder = Path(arguments.folder)
    for name, rows in (("pto_sto", 470), ("bto_carbon", None), ("bfo_dev", None)):
        path = folder / f"{name}_distorted_dose2e4.npz"
        if path.is_file():
            report_multislice(name, folder, rows)


def true_columns(file):
    """Positions of the columns in an image, in the order of their lattice indices."""
    places = np.column_stack([file["y_surf_px"], file["x_surf_px"]])
    names = zip(file["site"], file["i"], file["j"], strict=True)
    return {
        tuple(map(str, key)): place for key, place in zip(names, places, strict=True)
    }


def report_multislice(name, folder, first_row):
    distorted = np.load(folder / f"{name}_distorted_dose2e4.npz")
    still = np.load(folder / f"{name}_dose2e4.npz")
    seen, ideal = true_columns(distorted), true_columns(still)
    common = [key for key in seen if key in ideal]
    seen = np.array([seen[key] for key in common])
    ideal = np.array([ideal[key] for key in common])
    is_a = np.array([key[0] == "A" for key in common])
    sites = AtomLocator().fit_transform(distorted["image"])
    reference = None if first_row is None else sites.positions[:, 0] > first_row
    corrector = ScanDistortionCorrector().fit(
        distorted["image"], sites=sites, reference=reference
    )
    corrected = corrector.transform_sites(sites)
    unbent = AtomLocator().fit_transform(still["image"])
    for label, part, true in (
        ("distorted", sites, seen),
        ("corrected", corrected, seen),
        ("without distortion", unbent, ideal),
    ):
        raw = unbent if part is unbent else sites
        distance, found = cKDTree(true).query(raw.positions)
        inside = (
            (raw.positions > 12) & (raw.positions < np.array(still["image"].shape) - 13)
        ).all(axis=1)
        keep = (distance < 3) & inside
        error = affine_residual(part.positions[keep], ideal[found[keep]])
        heavy = is_a[found[keep]]
        of_a = affine_residual(part.positions[keep][heavy], ideal[found[keep]][heavy])
        strain = LatticeStrain().fit_transform(part[part.sublattice == 0])
        noise = 1.4826 * np.nanmedian(
            np.abs(strain - np.nanmedian(strain, axis=0)), axis=0
        )
        say(
            f"{name}, {label}: {keep.sum()} columns, {rms(error).round(3)} px (row, "
            f"column), {np.hypot(*rms(error)):.3f} px, A columns "
            f"{np.hypot(*rms(of_a)):.3f} px; scatter of the strain "
            f"{(100 * noise[:3]).round(2)} %"
        )


def affine_residual(positions, truth):
    """Deviations from the best affine map of the truth, px."""
    design = np.column_stack([np.ones(len(truth)), truth])
    keep = np.ones(len(truth), dtype=bool)
    for _ in range(3):
        fitted = np.linalg.lstsq(design[keep], positions[keep], rcond=None)[0]
        error = positions - design @ fitted
        keep = np.hypot(*error.T) < 5 * np.median(np.hypot(*error.T))
    return error


# Memory -------------------------------------------------------------------------------


def run_memory(arguments):
    """Memory and time for a long series on disk."""
    size, n_frames = arguments.size, arguments.frames
    rng = np.random.default_rng(0)
    side = size + 80
    film = make_ferroic_image(
        shape=(side, side), dose=np.inf, drift=0, jitter=0, random_state=0
    )
    expected = film.image - film.image.min()
    expected = (expected * 5 / expected.max()).astype(np.float32)
    del film
    fractions = rng.uniform(0, 1, (4, 2))
    between = [np.maximum(shift(expected, -part), 0) for part in fractions]
    del expected
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "stack.npy"
        stack = np.lib.format.open_memmap(
            path, "w+", arguments.dtype, (n_frames, size, size)
        )
        shifts = rng.integers(0, 78, (n_frames, 2))
        for number, (row, col) in enumerate(shifts):
            part = between[number % 4][row : row + size, col : col + size]
            stack[number] = rng.poisson(part)
        stack.flush()
        del stack, between
        shifts = shifts + fractions[np.arange(n_frames) % 4]
        stack = np.load(path, mmap_mode="r")
        averager = FrameAverager(n_jobs=arguments.jobs)
        with Watch() as watch:
            averager.fit(stack)
            averager.transform(stack)
        frame_mib = size**2 * 4 / MIB
        error = averager.shifts_ - shifts
        error = rms((error - error.mean(axis=0)).ravel())
        say(
            f"{n_frames} frames of {size} x {size} px ({stack.nbytes / MIB:.0f} MiB of "
            f"{arguments.dtype}, {frame_mib:.0f} MiB a frame of float32): {watch}; "
            f"shifts {error:.3f} px rms"
        )


# Peers --------------------------------------------------------------------------------


def run_peers(arguments):
    """Other packages on the same series and pairs."""
    for seed in range(arguments.seeds):
        data = make_ferroic_series(random_state=seed)
        used = np.setdiff1d(np.arange(len(data.image)), data.bad_frames)
        for name, shifts_of in (("here", shifts_here), ("pyStackReg", shifts_stackreg)):
            with Watch() as watch:
                shifts = shifts_of(data.image)
            if shifts is None:
                say(f"{name} is not installed")
                continue
            error = (shifts - data.shifts)[used]
            error -= np.median(error, axis=0)
            cell = np.abs(error).max(axis=1) > 5
            say(
                f"series, seed {seed}, {name}: {rms(error.ravel()):.3f} px rms, "
                f"{cell.sum()} of {len(used)} frames by more than 5 px; {watch}"
            )
        images, lines, _ = make_pair(340, seed)
        for name, lines_of in (("here", lines_here), ("quantem", lines_quantem)):
            with Watch() as watch:
                found = lines_of(images)
            if found is None:
                say(f"{name} is not installed")
                continue
            error = found - lines[0]
            error = rms(error - error.mean(axis=0))
            say(
                f"pair, seed {seed}, {name}: residual of lines {error.round(3)} px "
                f"(row, column); {watch}"
            )


def shifts_here(stack):
    return FrameAverager().fit(stack).shifts_


def shifts_stackreg(stack):
    try:
        module = importlib.import_module("pystackreg")
    except ImportError:
        return None
    register = module.StackReg(module.StackReg.TRANSLATION)
    matrices = register.register_stack(stack.astype(float), reference="previous")
    # Its matrices lead from pixels of the reference to those of the frame, (x, y).
    return -matrices[:, [1, 0], 2]


def lines_here(images):
    return ScanDistortionCorrector().fit(images).line_shift_


def lines_quantem(images):
    try:
        module = importlib.import_module("quantem.imaging.drift")
    except ImportError:
        return None
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        # The sense of the angle: scans of which numpy.rot90 is upright have -90 there.
        drift = module.DriftCorrection.from_data(
            [image.astype(float) for image in images], [0, -90]
        )
        drift.preprocess(show_merged=False, show_images=False)
        drift.align_affine(show_merged=False, show_images=False)
        drift.align_nonrigid(show_merged=False, show_images=False)
    # One knot a line: the place of its first pixel.
    n = len(images[0])
    knots = drift.knots[0][:, :, 0]
    start = knots - knots.mean(axis=1, keepdims=True)
    return start.T - np.column_stack([np.arange(n) - (n - 1) / 2, np.zeros(n)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("series")
    command.add_argument("--seeds", type=int, default=10)
    command.add_argument("--method", default="rigid")
    command.add_argument("--flyback", type=float, default=0.0, help="px")
    command.add_argument("--gain", type=float, default=1.0, help="of the last frame")
    command.set_defaults(run=run_series)
    command = commands.add_parser("relaxation")
    command.add_argument("--seeds", type=int, default=4)
    command.set_defaults(run=run_relaxation)
    command = commands.add_parser("pair")
    command.add_argument("--size", type=int, nargs="+", default=[340])
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--jobs", type=int)
    command.set_defaults(run=run_pair)
    command = commands.add_parser("multislice")
    command.add_argument("folder")
    command.set_defaults(run=run_multislice)
    command = commands.add_parser("memory")
    command.add_argument("--frames", type=int, default=100)
    command.add_argument("--size", type=int, default=2048)
    command.add_argument("--dtype", default="uint16")
    command.add_argument("--jobs", type=int)
    command.add_argument("--folder", help="where the stack is written")
    command.set_defaults(run=run_memory)
    command = commands.add_parser("peers")
    command.add_argument("--seeds", type=int, default=3)
    command.set_defaults(run=run_peers)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments.run(arguments)


if __name__ == "__main__":
    main()
