"""RotationalVAE against its peers on the same patches; writes a table into docs/.

    make bench-rvae                                   # installs all, runs all
    python benchmarks/bench_rvae.py --print --seeds 1 --levels 2.2px --tools ours
    python benchmarks/bench_rvae.py --device cuda     # throughput, busy share

Each tool runs in a process of its own. On the CPU it has one thread and its clock is
the processor time, so that other work on the machine does not count.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _data_rvae import LEVELS, make_patches
from _report_rvae import N_FITS, document
from _tools_rvae import TOOLS

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "benchmarks_rvae.md"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
OURS = "RotationalVAE"
# Time for a slow tool, in units of what ours needs for 95 %.
PATIENCE = 100


def run(name, path, seed, limit, device):
    """Let a tool train on patches, in a process of its own."""
    command = [sys.executable, "-W", "ignore", HERE / "_worker_rvae.py"]
    command += [name, path, str(seed), str(limit), device]
    threads = {"OMP_WAIT_POLICY": "passive"} | (ONE_THREAD if device == "cpu" else {})
    done = subprocess.run(
        command,
        env=os.environ | threads | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"failure": lines[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def run_level(level, arguments, folder):
    """Run all tools on the seeds of one level; a list of runs for each tool."""
    runs = {name: [] for name in arguments.tools}
    for seed in range(arguments.seeds):
        patches = make_patches(level, seed, arguments.interpolation)
        path = Path(folder) / f"{level} {seed}.npz"
        np.savez(path, **{key: patches[key] for key in patches if key != "sites"})
        for name in arguments.tools:
            slow = TOOLS[name].slow
            if slow and (level not in arguments.slow_levels or seed >= 2):
                continue
            limit = arguments.limit or patience(runs.get(OURS, []))
            found = run(name, path, seed, limit, arguments.device)
            runs[name].append(found | {"limit": limit})
            last = found.get("records", [found])[-1:]
            print(f"{level} seed {seed} {name}: {last}", file=sys.stderr, flush=True)
    return runs


def patience(runs):
    """Time in seconds after which a tool counts as not getting there."""
    times = [
        record["seconds"]
        for found in runs
        for record in found.get("records", [])
        if record["share"] >= 0.95
    ]
    return PATIENCE * min(times, default=3.0)


def time_fits(n_patches, n_threads):
    """Return a row with the median times of whole default fits."""
    threads = dict.fromkeys(ONE_THREAD, str(n_threads))
    command = [sys.executable, "-W", "ignore", HERE / "bench_scale.py"]
    command += ["--patches", str(n_patches), "--repeats", str(N_FITS)]
    lines = subprocess.run(
        command,
        env=os.environ | threads | {"OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    times = re.findall(r"([\d.]+) s, ([\d.]+) CPU s", lines)
    wall, processor = np.median(np.array(times, dtype=float), axis=0)
    return [f"{n_patches:,}", str(n_threads), f"{wall:.1f}", f"{processor:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--slow-levels", nargs="*", choices=LEVELS, default=["2.2px"])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=float, help="seconds for each tool and seed")
    parser.add_argument("--interpolation", default="cubic")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--fits", nargs="*", type=int, default=[1_600, 23_340], help="whole fits timed"
    )
    parser.add_argument("--print", action="store_true", help="write no document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            level: run_level(level, arguments, folder) for level in arguments.levels
        }
    # small fits on one thread, large ones on two cores
    fits = [time_fits(n, 1 if n < 5_000 else 2) for n in arguments.fits]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python "
    machine += f"{platform.python_version()}, {arguments.device}"
    options = " ".join(sys.argv[1:])
    text = document(results, machine, options, arguments.interpolation, fits)
    if arguments.print:
        print(text)
    else:
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
