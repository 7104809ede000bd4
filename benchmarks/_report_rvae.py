"""The runs as tables in Markdown."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np
from _data_rvae import LEVELS, WINDOW

OURS = "RotationalVAE"
# Fits of which the table of whole fits has the median.
N_FITS = 3
HEAD = """# RotationalVAE and its peers

Written by `python benchmarks/bench_rvae.py {options}` on {machine}, with {versions}.

Generated images, thickness gradient, mistilt and disorder on; columns found by
AtomLocator; windows of {window} px, interpolation `{interpolation}`. Every tool sees
the same patches, in a process of its own. Seconds are processor time of one thread
on a CPU, wall time on a GPU; judging is not counted.

- *s per epoch*: seconds per epoch and thousand patches; for tools without epochs, of
  the whole fit.
- *at equal time*: share of the judged cells within 45° of the truth after one global
  rotation, in the time of the whole default fit of RotationalVAE. Judged are polar
  cells outside walls. *chance* is that share for the best constant angle.
- *to 95 %*: seconds until the share reaches 95 %. For ours these are whole fits of at
  most 1, 2, 5 and 20 epochs; the peers are judged after each epoch.
- *epochs*: median number of epochs after which the last fit ended.
- *at the end*: median over the seeds, in parentheses the worst; *error* is the median
  angle error in degrees at the end.
- A cluster of `PCA + GaussianMixture` has no angle; it is given the true one of most
  of its cells, the best that a user could do by hand.
- *memory*: peak above what is held once the data and the package are loaded, MB; of
  the GPU where one is used.
"""


FITS = """## Whole default fits

Windows of 48 px of generated films, `benchmarks/bench_scale.py`: median of {repeats}
fits with different seeds.

| windows | threads | wall s | CPU s |
| ---: | ---: | ---: | ---: |
"""


def document(results, machine, options, interpolation, fits):
    """Write the whole document; `fits` are rows of the table of whole fits."""
    parts = [
        HEAD.format(
            options=options,
            machine=machine,
            versions=_versions(),
            window=WINDOW,
            interpolation=interpolation,
        )
    ]
    for level, runs in results.items():
        parts.append(f"## {level}: {LEVELS[level].title}\n\n" + _table(runs))
    if fits:
        rows = ["| " + " | ".join(row) + " |\n" for row in fits]
        parts.append(FITS.format(repeats=N_FITS) + "".join(rows))
    return "\n".join(parts)


def _versions():
    found = []
    for package in ("torch", "scikit-learn", "atomai", "pyroved"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def _table(runs):
    good = {
        name: [found for found in of_tool if found.get("records")]
        for name, of_tool in runs.items()
    }
    failed = {
        name: of_tool[-1]["failure"]
        for name, of_tool in runs.items()
        if of_tool and not good[name]
    }
    whole = [found["records"][-1]["seconds"] for found in good.get(OURS, [])]
    equal_time = float(np.median(whole)) if whole else np.nan
    ours = _middle(map(_per_epoch, good.get(OURS, [])))
    on_gpu = any("busy" in found for of_tool in good.values() for found in of_tool)
    head = ["tool", "seeds", "s per epoch", "× ours", f"at {equal_time:.1f} s"]
    head += ["to 95 %", "epochs", "at the end", "error", "chance", "memory"]
    head += ["patches/s", "busy"] if on_gpu else []
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, of_tool in good.items():
        if of_tool:
            rows.append([name, *_cells(of_tool, equal_time, ours, on_gpu)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [f"\n{name} failed: {failure}" for name, failure in failed.items()]
    return "\n".join(lines) + "\n"


def _cells(of_tool, equal_time, ours, on_gpu):
    last = [found["records"][-1] for found in of_tool]
    per_epoch = _middle(map(_per_epoch, of_tool))
    shares = [record["share"] for record in last]
    cells = [
        str(len(of_tool)),
        f"{per_epoch:.3g}",
        f"{per_epoch / ours:.3g}",
        _at(of_tool, equal_time),
        _to_95(of_tool),
        f"{_middle(record['epochs'] for record in last):.0f}",
        f"{100 * np.median(shares):.1f} ({100 * min(shares):.1f}) %",
        f"{_middle(record['median'] for record in last):.1f}",
        f"{100 * _middle(record['chance'] for record in last):.0f} %",
        f"{_middle(found['memory'] for found in of_tool):.0f}",
    ]
    if on_gpu:
        busy = _middle(found["busy"] for found in of_tool)
        cells += [f"{1000 / per_epoch:.0f}", f"{100 * busy:.0f} %"]
    return cells


def _per_epoch(found):
    records, n_thousands = found["records"], found["n"] / 1000
    first, last = records[0], records[-1]
    if last["epochs"] == first["epochs"]:
        return last["seconds"] / last["epochs"] / n_thousands
    seconds = last["seconds"] - first["seconds"]
    return seconds / (last["epochs"] - first["epochs"]) / n_thousands


def _at(of_tool, equal_time):
    shares = []
    for found in of_tool:
        # the default fit of each seed is a little shorter or longer than the median
        done = [r for r in found["records"] if r["seconds"] <= 1.1 * equal_time]
        if not done:
            return "no epoch done"
        shares.append(done[-1]["share"])
    return f"{100 * np.median(shares):.1f} %"


def _to_95(of_tool):
    times = []
    for found in of_tool:
        reached = [r["seconds"] for r in found["records"] if r["share"] >= 0.95]
        times.append(min(reached, default=np.inf))
    n_reached = int(np.isfinite(times).sum())
    if n_reached == len(times):
        return f"{np.median(times):.2f} s"
    best = 100 * max(r["share"] for found in of_tool for r in found["records"])
    longest = max(found["records"][-1]["seconds"] for found in of_tool)
    return f"{n_reached} of {len(times)} in {longest:.0f} s; best {best:.0f} %"


def _middle(values):
    return float(np.median(list(values) or [np.nan]))
