"""AtomLocator against its peers on the same images; writes a table into docs/.

    make bench-localization                                # installs all, runs all
    python benchmarks/bench_localization.py --quick        # a minute, printed only
    python benchmarks/bench_localization.py --tools ours naive --seeds 10
    python benchmarks/bench_localization.py --only-speed   # five minutes, printed only
    python benchmarks/bench_localization.py --self-check   # of the Cramér-Rao bound

Needs the `bench` extra. Each tool runs in a process of its own with one thread.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from _cramer_rao import position_bound, self_check
from _known import Known
from _peers_localization import TOOLS
from _report_localization import HEAD, METHOD, detail, linearity, race, summary
from _scenes import SCENES, count_electrons, expected_image, make_truth
from _scores_localization import MARGIN, TOLERANCE, score
from _worker_localization import Job, Outcome, package_version

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "benchmarks_localization.md"
PEAKS = (20, 100, 1000)
LINEAR = (10_000, 25_000, 50_000, 100_000)
LARGE = 2000  # px, side of a realistic image
CROP = 512  # px, what slow tools see of it
REPEATS = 3  # of each timing, noise seeds of their own
WARM_UP = 160  # px, side of the image that every tool sees first
TIMEOUT = 1800  # s for all images of a tool
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
}


@dataclass
class Case:
    """One scene at one peak: the truth and the numbers of its jobs."""

    scene: object
    peak: float
    truth: object
    jobs: list


def make_job(folder, scene, truth, seed, crop=None):
    """Write an image, or its first rows and cols; return it with what is known."""
    expected = expected_image(truth)[:crop, :crop]
    path = Path(folder) / f"{len(list(Path(folder).glob('*.npy')))}.npy"
    np.save(path, count_electrons(expected, seed))
    a_columns = truth.positions[truth.sublattice == 0]
    middle = np.array(expected.shape) / 2
    nearest = np.linalg.norm(a_columns - middle, axis=1).argmin()
    known = Known(
        expected=expected,
        spacing=scene.spacing,
        basis=scene.basis,
        origin=a_columns[nearest],
        ratio=scene.ratio,
        sigma=float(truth.sigma.mean()),
        background=truth.background,
    )
    return Job(str(path), known)


def run_tool(name, folder, numbers):
    """Let a tool locate the columns of some jobs, in a process of its own."""
    command = [sys.executable, "-W", "ignore", HERE / "_worker_localization.py"]
    command += [name, folder, *map(str, numbers)]
    environment = {**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed, reason = True, [f"took longer than {TIMEOUT} s"]
    if failed:
        return {number: Outcome(None, reason[0], np.nan) for number in numbers}, {}
    return joblib.load(Path(folder) / f"{name}.joblib")


def compare(arguments, folder):
    """Run all tools on all images; return cases, outcomes by tool, versions."""
    warm = make_truth(SCENES[1], 100, WARM_UP)
    jobs = [make_job(folder, SCENES[1], warm, 0)]
    cases = []
    for scene in SCENES:
        for peak in arguments.peaks:
            truth = make_truth(scene, peak, arguments.size)
            own = []
            for seed in range(arguments.seeds):
                own.append(len(jobs))
                jobs.append(make_job(folder, scene, truth, seed))
            cases.append(Case(scene, peak, truth, own))
    joblib.dump(jobs, Path(folder) / "jobs.joblib")
    outcomes, versions = {}, {}
    for name in arguments.tools:
        tool = TOOLS[name]
        numbers = [
            number
            for case in cases
            if case.scene.ratio or not tool.needs_b
            for number in case.jobs[: tool.max_seeds]
        ]
        print(f"{name}: {len(numbers)} images", file=sys.stderr, flush=True)
        outcomes[name], found = run_tool(name, folder, numbers)
        versions.update(found)
    return cases, outcomes, versions


def time_tools(arguments, folder):
    """Time the whole job of the tools; return speeds by tool, scene and size."""
    warm = make_truth(SCENES[1], 100, WARM_UP)
    jobs, numbers = [make_job(folder, SCENES[1], warm, 0)], {}
    for scene in SCENES[:2]:
        for size in (arguments.size, arguments.large):
            truth = make_truth(scene, 100, size)
            for crop in (None, CROP) if size > CROP else (None,):
                numbers[scene.name, size, crop] = range(len(jobs), len(jobs) + REPEATS)
                jobs += [
                    make_job(folder, scene, truth, seed, crop)
                    for seed in range(REPEATS)
                ]
    joblib.dump(jobs, Path(folder) / "jobs.joblib")
    speeds = {}
    for name in arguments.tools:
        tool = TOOLS[name]
        if tool.too_slow:
            continue
        print(f"speed: {name}", file=sys.stderr, flush=True)
        mine = {
            key: own
            for key, own in numbers.items()
            if key[2] == (CROP if tool.slow and key[1] > CROP else None)
        }
        outcomes, _ = run_tool(name, folder, [n for own in mine.values() for n in own])
        for (scene, size, _), own in mine.items():
            located = [outcomes[number].located for number in own]
            if all(located):
                rates = [len(found.positions) / found.seconds for found in located]
                speeds[tool.label, scene, size] = float(np.median(rates))
    return speeds


def judge(case, outcomes):
    """Scores of the tools on one case by their labels, and reasons for failures."""
    which = np.flatnonzero(case.truth.interior(MARGIN))
    bound = position_bound(case.truth, which)
    rows, failures = {}, {}
    for name, own in outcomes.items():
        mine = [own[number] for number in case.jobs if number in own]
        reasons = [outcome.failure for outcome in mine if outcome.failure]
        if reasons:
            failures[TOOLS[name].label] = (
                f"{reasons[0][:120]} ({len(reasons)} of {len(mine)} images)"
            )
        located = [outcome for outcome in mine if outcome.located is not None]
        if located:
            rows[TOOLS[name].label] = score(case.truth, which, bound, located)
    return rows, failures


def grow(sizes, folder):
    """Run AtomLocator on ever larger images, each in a fresh process."""
    scene, rows = SCENES[1], []
    for n_columns in sizes:
        size = round(scene.cell * np.sqrt(n_columns / 2))
        print(f"linearity: {n_columns} columns", file=sys.stderr, flush=True)
        warm = make_job(folder, scene, make_truth(scene, 100, WARM_UP), 0)
        job = make_job(folder, scene, make_truth(scene, 100, size), 0)
        joblib.dump([warm, job], Path(folder) / "jobs.joblib")
        outcome = run_tool("ours", folder, [1])[0][1]
        if outcome.failure:
            raise RuntimeError(f"{n_columns} columns: {outcome.failure}")
        located = outcome.located
        n_found = len(located.positions)
        rows.append((size, n_found, located.seconds, outcome.peak_memory))
    return rows


def report(arguments, cases, outcomes, versions, speeds, rows):
    """Put the whole document together."""
    tables, details = {}, []
    for case in cases:
        tables[case.scene.name, case.peak], failures = judge(case, outcomes)
        details.append(f"### {case.scene.name}, peak {case.peak} counts\n")
        details.append(detail(tables[case.scene.name, case.peak], failures))
    versions = {
        "Python": sys.version.split()[0],
        "numpy": package_version("numpy"),
        **versions,
    }
    peak = 100 if 100 in arguments.peaks else arguments.peaks[0]
    parts = [
        HEAD.format(
            command=f"python benchmarks/bench_localization.py {arguments.command}",
            versions=", ".join(f"{name} {found}" for name, found in versions.items())
            + ".",
        ),
        f"## In short\n\nRMS error over the bound at a peak of {peak} counts; speeds "
        "are the range over all images and ratios the median over them.\n",
        summary(tables, peak),
    ]
    if speeds:
        slow = [tool.label for tool in TOOLS.values() if tool.slow]
        left_out = [tool.label for tool in TOOLS.values() if tool.too_slow]
        text = (
            f"## Speed\n\nThe whole job in columns per CPU second, median of {REPEATS} "
            "images, and its ratio to atomap's and to curve_fit's, all in one run. Of "
            f"the large image, {', '.join(slow)} see the first {CROP} × {CROP} px. "
            f"Slower still and left out: {', '.join(left_out)}.\n"
        )
        parts += [text, race(speeds)]
    if rows:
        parts += ["## One large image, AtomLocator, A:B = 1:0.4\n", linearity(rows)]
    parts += ["## Image by image\n", *details]
    method = METHOD.format(size=arguments.size, margin=MARGIN, tolerance=TOLERANCE)
    return "\n".join([*parts, method])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--seeds", type=int, default=12, help="noise seeds an image")
    parser.add_argument("--size", type=int, default=640, help="side of the images, px")
    parser.add_argument("--peaks", type=int, nargs="+", default=PEAKS)
    parser.add_argument("--linear", type=int, nargs="*", default=LINEAR)
    parser.add_argument("--large", type=int, default=LARGE, help="side, px, to time")
    parser.add_argument("--only-speed", action="store_true", help="printed only")
    parser.add_argument("--print", action="store_true", help="to the screen, no file")
    parser.add_argument("--output", type=Path, help="default: docs/, or the screen")
    parser.add_argument("--quick", action="store_true", help="little of all; no file")
    parser.add_argument("--self-check", action="store_true", help="of the bound")
    arguments = parser.parse_args()
    arguments.command = shlex.join(sys.argv[1:])
    if arguments.quick:
        arguments.size, arguments.seeds, arguments.peaks = 256, 1, (100,)
        arguments.linear, arguments.large = LINEAR[:1], 640
    elif arguments.output is None and set(arguments.tools) == set(TOOLS):
        arguments.output = None if arguments.print else DOCUMENT
    return arguments


def main():
    arguments = parse()
    if arguments.self_check:
        self_check()
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only_speed:
            print(race(time_tools(arguments, folder)))
            return
        cases, outcomes, versions = compare(arguments, folder)
        speeds = time_tools(arguments, folder)
        rows = grow(arguments.linear, folder) if "ours" in arguments.tools else []
    text = report(arguments, cases, outcomes, versions, speeds, rows)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
