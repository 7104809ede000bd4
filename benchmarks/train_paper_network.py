"""Train the paper's network for its 100 epochs, and record how it learns the angle.

    python benchmarks/train_paper_network.py film --output runs
    python benchmarks/train_paper_network.py superlattice --window 36 --output runs
    python benchmarks/train_paper_network.py film --encoder dense --output runs

`RotationalVAE.paper` is fitted to windows cut at the nearest pixel from a generated
image. After chosen epochs a line of JSON with the scores of the angle is appended to
a file, and after each epoch a checkpoint is written, from which the same command
resumes an interrupted training. One thread needs about 20 s per epoch and 1,000 windows
of 48 px with the convolutional encoder if the C library keeps freed memory, and 28 s
otherwise:

    export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _data_rvae import judge, match
from sklearn.utils import Bunch
from skorch.callbacks import Callback

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.decomposition._rvae.inference import infer_posterior

# Options of each image, its seed, and the default side of its windows, px. A cell is
# 39.6 px in the film, displaced by 4.4 px, and 30 px in the superlattice, displaced by
# 3.0 px: the decoder needs too many steps for columns that are small in the window.
IMAGES = {
    "film": (
        {
            "shape": (1330, 1330),
            "pixel_size": 0.01,
            "displacement_pm": 44,
            "substrate": 0.0,
            "dose": 4e5,
        },
        {"random_state": 0},
        48,
    ),
    # cells of 19.8 px, displaced by 2.2 px
    "film-preset": (
        {"shape": (660, 660), "displacement_pm": 44, "substrate": 0.0},
        {"random_state": 0},
        48,
    ),
    "superlattice": (
        {"shape": (910, 910), "pixel_size": 0.0132, "dose": 4e5},
        {"random_state": 1},
        36,
    ),
}


def make_windows(image, window_px=None):
    """Cut the windows that lie inside an image, and look up what is true of each.

    Returns
    -------
    windows : Bunch
        `X` (n, h * w), the `sites`, the index `near` of the true column of each,
        `judged` (n,), whether a cell is polar and outside walls, its true
        `direction` (n,) in radians, `n_fold` 1, and the generated `data`.
    """
    options, seed, default_px = IMAGES[image]
    window_px = window_px or default_px
    data = make_ferroic_image(image.split("-")[0], **options, **seed)
    sites = AtomLocator(sublattice=1).fit_transform(data)
    sites = sites.interior(window_px / 2)
    near, matched = match(sites, data)
    variant = data.variant[near]
    extractor = PatchExtractor(
        window_size=window_px, interpolation="nearest", normalize=None
    )
    return Bunch(
        X=extractor.transform(sites),
        sites=sites,
        near=near,
        judged=matched & ~data.wall[near] & (variant >= 0),
        direction=np.pi / 4 + np.pi / 2 * variant,
        n_fold=1,
        data=data,
    )


def score(angle, windows):
    """Compute the scores of an angle in the better of the two senses of rotation."""
    both = [judge(sense * angle, windows) | {"sense": sense} for sense in (1, -1)]
    return max(both, key=lambda scores: (scores["share"], scores["resultant"]))


class Recorder(Callback):
    """Append the scores of the angle after chosen epochs to a file.

    Parameters
    ----------
    windows : Bunch
        The windows, as `make_windows` returns them.
    path : Path
        File of JSON lines.
    """

    def __init__(self, windows, path):
        self.windows = windows
        self.path = path

    def __deepcopy__(self, memo):
        return Recorder(self.windows, self.path)

    def on_epoch_begin(self, net, **kwargs):
        """Start the clock."""
        self.since = time.process_time()

    def on_epoch_end(self, net, **kwargs):
        """Record the scores after the first ten epochs and then every fifth."""
        epoch = len(net.history)
        if epoch > 10 and epoch % 5:
            return
        seconds = time.process_time() - self.since
        with torch.random.fork_rng():
            pose, width = infer_posterior(net.module_, self.windows.X)
        angle = pose[:, 0].astype(float)
        record = {
            "epoch": epoch,
            "loss": float(net.history[-1]["train_loss"]),
            "seconds": seconds,
            "angle_std": float(np.median(width[:, 0])),
            "offset_spread": pose[:, 1:3].std(axis=0).tolist(),
            "latent_spread": pose[:, 3:].std(axis=0).tolist(),
        }
        record |= score(angle, self.windows)
        with open(self.path, "a") as stream:
            stream.write(json.dumps(record) + "\n")


def read_records(path):
    """Read the records of a training, the last one of each epoch."""
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return list({record["epoch"]: record for record in records}.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", choices=IMAGES)
    parser.add_argument(
        "--encoder", choices=("convolutional", "dense"), default="convolutional"
    )
    parser.add_argument("--window", type=int, help="side of the windows, px")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    window_px = arguments.window or IMAGES[arguments.image][2]
    windows = make_windows(arguments.image, window_px)
    name = f"{arguments.image}_{window_px}px_{arguments.encoder}_{arguments.seed}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / name
    print(f"{len(windows.X)} windows, {windows.judged.sum()} judged", flush=True)
    model = RotationalVAE.paper(
        encoder=arguments.encoder,
        # the paper has 1 + 2 unknowns with the dense and 3 + 2 with the other encoder
        translation=arguments.encoder == "convolutional",
        window_size=window_px,
        max_epochs=arguments.epochs,
        random_state=arguments.seed,
        device="cpu",
        checkpoint=path.with_suffix(".checkpoint"),
        callbacks=[Recorder(windows, path.with_suffix(".jsonl"))],
    )
    model.fit(windows.X)
    pose, width = model.transform_with_std(windows.X)
    _, decoded = model.latent_grid(n=7)
    np.savez_compressed(
        path.with_suffix(".npz"),
        pose=pose,
        width=width,
        decoded=decoded.astype(np.float16),
        loss=model.loss_curve_,
    )


if __name__ == "__main__":
    main()
