"""Run one tool in a process of its own: its imports, its threads, its peak memory.

    python _worker_rvae.py TOOL PATCHES.npz SEED LIMIT DEVICE

Prints one line of JSON: the records of the run. LIMIT is the time in seconds after
which a tool is stopped at the end of its epoch.
"""

import contextlib
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # else the first step of an optimiser imports it, which takes 1 s
from _data_rvae import judge
from _tools_rvae import TOOLS
from sklearn.utils import Bunch


class Spent(Exception):
    """The time is up."""


class Report:
    """Clock and judge; time spent in judging is not counted."""

    def __init__(self, tool, patches, limit, on_gpu):
        self.tool = tool
        self.patches = patches
        self.limit = limit
        self.on_gpu = on_gpu
        self.records = []
        self.restart()

    def restart(self):
        self.seconds = 0.0
        self.since = self._now()

    def __call__(self, epochs, infer):
        self.seconds += self._now() - self.since
        found = np.asarray(infer(), dtype=float)
        if self.tool.output == "cluster":
            found = self._as_angles(found)
        scores = judge(found, self.patches)
        if self.tool.output == "angle of either sense":
            mirrored = judge(-found, self.patches)
            scores = max(scores, mirrored, key=lambda marks: marks["share"])
        self.records.append({"epochs": epochs, "seconds": self.seconds, **scores})
        if self.seconds > self.limit:
            raise Spent
        self.since = self._now()

    def _now(self):
        if self.on_gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        # other work on the machine does not count
        return time.process_time()

    def _as_angles(self, found):
        # A cluster has no angle: it is given the true one of most of its cells.
        angle = np.zeros(len(found))
        direction, judged = self.patches.direction, self.patches.judged
        grid = np.arange(-np.pi, np.pi, np.pi / 36)
        for label in np.unique(found[judged]):
            own = found == label
            distance = np.angle(np.exp(1j * (direction[own & judged] - grid[:, None])))
            angle[own] = grid[(np.abs(distance) < np.pi / 4).sum(axis=1).argmax()]
        return angle


def memory_now():
    """Resident memory, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def busy_share(tool, X, seed, device):
    """Share of the time in which the GPU worked, over one more fit."""

    class Once:
        restart = staticmethod(lambda: None)

        def __call__(self, epochs, infer):
            raise Spent

    activities = [torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize()
    started = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profile:
        with contextlib.suppress(Spent):
            tool.fit(X, seed, device, Once())
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    worked = sum(event.self_device_time_total for event in profile.key_averages())
    return 1e-6 * worked / seconds


def main(name, path, seed, limit, device):
    with np.load(path) as stored:
        patches = Bunch(**{key: stored[key] for key in stored.files})
    side = int(patches.X.shape[1] ** 0.5)
    X = patches.X.reshape(-1, side, side)
    tool, on_gpu = TOOLS[name], device == "cuda"
    report = Report(tool, patches, limit, on_gpu)
    before = memory_now()
    with contextlib.suppress(Spent), contextlib.redirect_stdout(sys.stderr):
        tool.fit(X, seed, device, report)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    run = {"records": report.records, "memory": peak - before, "n": len(X)}
    if on_gpu:
        run["memory"] = torch.cuda.max_memory_allocated() / 2**20
        run["busy"] = busy_share(tool, X, seed, device)
    print(json.dumps(run))


if __name__ == "__main__":
    name, path, seed, limit, device = sys.argv[1:]
    main(name, path, int(seed), float(limit), device)
