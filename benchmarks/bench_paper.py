"""The paper's network, here and in the public code, on the same windows.

    python benchmarks/bench_paper.py
    python benchmarks/bench_paper.py --encoders dense --seeds 1 --epochs 5
    python benchmarks/bench_paper.py --same-start 10
    python benchmarks/bench_paper.py --decoder-steps 4000

Windows of 48 px, cut at the nearest pixel from a generated film with four variants,
cells of 39.6 px and a displacement of 4.4 px, are scaled to P / P.max().
`RotationalVAE.paper` always runs, atomai if it can be imported (it needs ``six``). Each
run is a process with one thread. A table in Markdown is written to the standard output,
and the records of all epochs to ``--json``. `train_paper_network.py` trains for the 100
epochs of the paper.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

HERE = Path(__file__).parent
# Four variants, polar everywhere, cells of 39.6 px displaced by 4.4 px.
FILM = {
    "shape": (1620, 1640),
    "pixel_size": 0.01,
    "displacement_pm": 44,
    "substrate": 0.0,
    "dose": 4e5,
}
WINDOW_PX = 48
# Signs in the public code of the angle, the offset and two latents, relative to here.
MIRRORED = (-1.0, -1.0, 1.0, 1.0, 1.0)
TOOLS = ("RotationalVAE.paper", "atomai")
ENCODERS = ("convolutional", "dense")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}


def make_windows(seed=0):
    """Return windows that lie inside a film, and what is true of each."""
    from _data_rvae import match

    from sklearn_ferroic import AtomLocator, PatchExtractor
    from sklearn_ferroic.datasets import make_ferroic_image

    data = make_ferroic_image("film", random_state=seed, **FILM)
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    sites = sites.interior(WINDOW_PX / 2)
    nearest, matched = match(sites, data)
    variant = data.variant[nearest]
    extractor = PatchExtractor(
        window_size=WINDOW_PX, interpolation="nearest", normalize=None
    )
    X = extractor.transform(sites).reshape(-1, WINDOW_PX, WINDOW_PX)
    return {
        "X": X / X.max(),
        "judged": matched & ~data.wall[nearest] & (variant >= 0),
        "direction": np.pi / 4 + np.pi / 2 * variant,
        "n_fold": 1,
    }


def score(angle, windows):
    """Return the scores of an angle in the better of the two senses of rotation."""
    from _data_rvae import judge

    scores = judge(angle, windows) | {"sense": 1}
    mirrored = judge(-angle, windows) | {"sense": -1}
    return max(scores, mirrored, key=lambda marks: marks["share"])


def run_ours(windows, encoder, seed, n_epochs, report):
    """Fit `RotationalVAE.paper` and report after each epoch."""
    import torch
    from skorch.callbacks import Callback

    from sklearn_ferroic.decomposition._rvae.inference import infer_posterior

    rows = windows.X.reshape(len(windows.X), -1)

    class AfterEpoch(Callback):
        def on_epoch_end(self, net, **kwargs):
            with torch.random.fork_rng():
                report(lambda: infer_posterior(net.module_, rows)[0][:, 0])

    estimator = _paper(encoder, seed, n_epochs)
    estimator.set_params(callbacks=[AfterEpoch()]).fit(rows)


def _paper(encoder, seed, n_epochs):
    """Return the estimator with the network of the paper."""
    from sklearn_ferroic import RotationalVAE

    return RotationalVAE.paper(
        encoder=encoder,
        window_size=WINDOW_PX,
        max_epochs=n_epochs,
        random_state=seed,
        device="cpu",
    )


def run_atomai(windows, encoder, seed, n_epochs, report):
    """Fit the rVAE of atomai with its default values and report after each epoch.

    The class does not pass its seed on to the initial weights, which are always those
    of seed 0. They are drawn from `seed` here, so that seeds differ as they do in ours.
    """
    from _tools_rvae import _stand_in

    # Only the names of torchvision are needed, for the import.
    _stand_in("torchvision", "torchvision.models", "torchvision.utils", "progressbar")
    from atomai.models import rVAE
    from atomai.models.dgm import vae

    set_generators = vae.set_train_rng
    vae.set_train_rng = lambda _: set_generators(seed)
    model = rVAE(
        (WINDOW_PX, WINDOW_PX),
        latent_dim=2,
        seed=seed,
        conv_encoder=encoder == "convolutional",
    )
    model.print_statistics = lambda _: report(lambda: model.encode(windows.X)[0][:, 0])
    with tempfile.TemporaryDirectory() as folder:
        filename = os.path.join(folder, "model")
        model.fit(windows.X, training_cycles=n_epochs, filename=filename)


def compare_steps(windows, encoder, n_steps, seed=0):
    """Train both codes from the same weights with the same batches and draws.

    The columns of the public grid run from right to left, so that the angle has the
    opposite sense there, and the offset, which is added to the coordinates, the
    opposite sign along the rows. Its unit of length is half a pixel shorter.

    Returns
    -------
    losses : ndarray of shape (n_steps, 2)
        Negative evidence bound of a window, nats: here and in the public code.
    """
    import torch
    from _tools_rvae import _stand_in

    from sklearn_ferroic.decomposition._rvae.training import new_model

    _stand_in("torchvision", "torchvision.models", "torchvision.utils", "progressbar")
    from atomai.models import rVAE

    estimator = _paper(encoder, seed, n_epochs=1)
    names = ("latent_dim", "n_hidden", "encoder", "decoder", "rotation_prior")
    names += ("noise_std", "kl_capacity", "scaling", "coordinate_length")
    ours = new_model(
        np.random.RandomState(seed),
        patch_shape=(WINDOW_PX, WINDOW_PX),
        offset_scale=0.1 * (WINDOW_PX - 1) / 2,
        **{name: getattr(estimator, name) for name in names},
    )
    X = torch.from_numpy(windows.X)
    ours.set_scale(X.flatten(1))
    public = rVAE(
        (WINDOW_PX, WINDOW_PX),
        latent_dim=2,
        conv_encoder=encoder == "convolutional",
    )
    public.loss, public.kdict_["phi_prior"] = "mse", estimator.rotation_prior
    public.dx_prior = 0.1
    _copy_weights(ours, public)
    networks = [public.encoder_net, public.decoder_net]
    weights = [part for network in networks for part in network.parameters()]
    optimizers = [
        torch.optim.Adam(parameters, lr=estimator.learning_rate, eps=eps)
        for parameters, eps in ((ours.parameters(), ours.adam_eps), (weights, 1e-8))
    ]
    generator = torch.Generator().manual_seed(seed)
    losses = np.empty((n_steps, 2))
    for step in range(n_steps):
        batch = X[torch.randperm(len(X), generator=generator)[:32]]
        noise = torch.randn(len(batch), 5, generator=generator)
        mirrored = noise * torch.tensor(MIRRORED)
        public.reparameterize = lambda mean, std, drawn=mirrored: mean + std * drawn
        posterior = ours.posterior(ours.standardize(batch.flatten(1)))
        columns = ours._split(posterior.mean + noise * posterior.std)
        error = ours.decoder.mean_squared_error(batch, *columns)
        own = ours.objective(error, ours.divergence(posterior).mean())
        other = -public.forward_compute_elbo(batch)
        losses[step] = WINDOW_PX**2 * own.item(), other.item()
        for optimizer, loss in zip(optimizers, (own, other), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return losses


def _copy_weights(ours, public):
    """Copy the weights of one of our models to the public one."""
    import torch

    layers = [layer for layer in ours.encoder.layers if hasattr(layer, "weight")]
    *hidden, read_out = layers
    inner = next(iter(public.encoder_net.children()))
    theirs = [layer for layer in inner.modules() if hasattr(layer, "weight")]
    pairs = list(zip(hidden, theirs, strict=True))
    decoder = public.decoder_net
    theirs = [layer for layer in decoder.fc_decoder if hasattr(layer, "weight")]
    pairs += zip(ours.decoder.hidden, theirs, strict=True)
    pairs += [(ours.decoder.intensity, decoder.out)]
    pairs += [(ours.decoder.coordinate, decoder.coord_latent.fc_coord)]
    with torch.no_grad():
        for source, target in pairs:
            target.weight.copy_(source.weight)
            target.bias.copy_(source.bias)
        decoder.coord_latent.fc_latent.weight.copy_(ours.decoder.latent.weight)
        unit = torch.tensor([1.0, -1.0]) * (WINDOW_PX - 1) / WINDOW_PX
        decoder.coord_latent.fc_coord.weight.mul_(unit)
        heads = [public.encoder_net.fc11, public.encoder_net.fc12]
        for name in ("weight", "bias"):
            halves = getattr(read_out, name).chunk(2)
            for source, target in zip(halves, heads, strict=True):
                getattr(target, name).copy_(source)
        for row, sign in enumerate(MIRRORED):
            heads[0].weight[row].mul_(sign)
            heads[0].bias[row].mul_(sign)


def count_decoder_steps(window_px, n_steps, learning_rate=1e-4):
    """Count the steps in which the decoder alone learns the mean window of a variant.

    The cells are those of the film's preset, 19.8 px. Pose and latents are fixed, so
    that a network that also infers them needs more.

    Returns
    -------
    step : int or None
        Step after which the decoder explains half of the variance of the window; None
        if it does not within `n_steps`.
    """
    import torch

    from sklearn_ferroic import AtomSites, PatchExtractor
    from sklearn_ferroic.datasets import make_ferroic_image
    from sklearn_ferroic.decomposition._rvae.decoders import CoordinateDecoder
    from sklearn_ferroic.decomposition._rvae.encoders import initialize

    film = {"shape": (400, 400), "displacement_pm": 44, "substrate": 0.0, "dose": 4e5}
    data = make_ferroic_image("film", random_state=0, **film)
    chosen = (data.sublattice == 1) & (data.variant == 0) & ~data.wall
    sites = AtomSites([data.image], data.positions[chosen]).interior(window_px / 2)
    extractor = PatchExtractor(
        window_size=window_px, interpolation="nearest", normalize=None
    )
    mean = torch.from_numpy(extractor.transform(sites).mean(axis=0)).float()
    target = (mean / mean.max()).reshape(1, window_px, window_px)
    decoder = CoordinateDecoder(target.shape[1:], 2, 128, None)
    initialize(decoder, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=learning_rate, eps=1e-12)
    for step in range(n_steps):
        origin = torch.zeros(1, 2)
        error = decoder.mean_squared_error(target, origin, torch.zeros(1), origin)
        if error < 0.5 * target.var():
            return step
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return None


def work(path, tool, encoder, seed, n_epochs):
    """Run one tool in this process and print its records, a line each."""
    with np.load(path) as stored:
        windows = Bunch(**{name: stored[name] for name in stored.files})
    windows.X = windows.X.astype(np.float32)
    spent = {"seconds": 0.0, "since": time.process_time(), "epoch": 0}

    def report(infer):
        spent["seconds"] += time.process_time() - spent["since"]
        spent["epoch"] += 1
        record = {"epoch": spent["epoch"], "seconds": spent["seconds"]}
        record |= score(np.asarray(infer(), dtype=float), windows)
        sys.__stdout__.write(json.dumps(record) + "\n")
        sys.__stdout__.flush()
        spent["since"] = time.process_time()

    run = run_ours if tool == TOOLS[0] else run_atomai
    with contextlib.redirect_stdout(sys.stderr):
        run(windows, encoder, seed, n_epochs, report)


def run(path, tool, encoder, seed, n_epochs):
    """Run one tool in a process of its own and return its records."""
    command = [sys.executable, "-W", "ignore", __file__, "--work", path, tool, encoder]
    done = subprocess.run(
        [*command, str(seed), str(n_epochs)],
        env=os.environ | ONE_THREAD | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(runs, epochs):
    """Return the records at chosen epochs as a table in Markdown."""
    lines = [
        "| encoder | code | seed | epochs | within 45° | median error | R | sense | "
        "CPU s per epoch |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for (tool, encoder, seed), records in runs.items():
        for record in records:
            if record["epoch"] in epochs:
                sense = "same" if record["sense"] > 0 else "mirrored"
                lines.append(
                    f"| {encoder} | {tool} | {seed} | {record['epoch']} "
                    f"| {record['share']:.1%} | {record['median']:.1f}° "
                    f"| {record['resultant']:.2f} | {sense} "
                    f"| {record['seconds'] / record['epoch']:.1f} |"
                )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=ENCODERS)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", nargs="+", type=int, default=[5, 10])
    parser.add_argument("--json", help="file for the records of all epochs")
    parser.add_argument(
        "--same-start",
        type=int,
        metavar="STEPS",
        help="compare the losses of both codes from the same weights instead",
    )
    parser.add_argument(
        "--decoder-steps",
        type=int,
        metavar="STEPS",
        help="count the steps in which the decoder alone learns a window instead",
    )
    arguments = parser.parse_args()
    if arguments.decoder_steps:
        for window_px in (24, 30, 36, 48):
            step = count_decoder_steps(window_px, arguments.decoder_steps)
            print(f"{window_px} px, {window_px / 19.8:.1f} cells: {step} steps")
        return
    tools = [name for name in arguments.tools if name == TOOLS[0] or find_spec(name)]
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "windows.npz")
        windows = make_windows()
        np.savez(path, **windows)
        print(f"{len(windows['X'])} windows, {windows['judged'].sum()} judged\n")
        if arguments.same_start:
            windows["X"] = windows["X"].astype(np.float32)
            for encoder in arguments.encoders:
                losses = compare_steps(Bunch(**windows), encoder, arguments.same_start)
                print(encoder, "loss, nats per window: here, public code")
                print(losses.round(4))
            return
        for encoder in arguments.encoders:
            for seed in arguments.seeds:
                for tool in tools:
                    records = run(path, tool, encoder, seed, max(arguments.epochs))
                    runs[tool, encoder, seed] = records
                    print(tool, encoder, seed, records[-1], file=sys.stderr)
                    if arguments.json:
                        named = {" ".join(map(str, key)): runs[key] for key in runs}
                        Path(arguments.json).write_text(json.dumps(named, indent=1))
    print(table(runs, arguments.epochs))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        path, tool, encoder, seed, n_epochs = sys.argv[2:]
        work(path, tool, encoder, int(seed), int(n_epochs))
    else:
        main()
