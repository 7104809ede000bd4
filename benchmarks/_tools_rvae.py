"""The tools that are compared, each told through the same call.

``tool(X, seed, device, report)`` trains on patches ``(n, h, w)``. It calls
``report.restart()`` where the clock is to start from zero and ``report(epochs,
infer)`` whenever something can be judged; ``infer()`` returns the angle of each
patch, or the cluster of each.
"""

import os
import sys
import tempfile
import types
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ferroic import AngularMoments, MultiReferenceAlignment, RotationalVAE

# Largest numbers of epochs of the fits of ours that are judged; 20 is the default.
OUR_EPOCHS = (1, 2, 5, 20)
MANY = 10_000
# rad; wide enough for four variants, and what atomai's own example has
ROTATION_PRIOR = np.pi / 2


def ours(X, seed, device, report, epochs=OUR_EPOCHS, **parameters):
    for n_epochs in epochs:
        report.restart()
        model = RotationalVAE(
            max_epochs=n_epochs, random_state=seed, device=device, **parameters
        ).fit(X)
        # the default stops before the largest number of epochs
        report(model.n_iter_, lambda model=model: model.transform(X)[:, 0])


def paper(encoder):
    """Return the paper's model in our package, as docs/paper_model.md describes it."""

    def fit(X, seed, device, report):
        for n_epochs in (1, 5):
            report.restart()
            model = RotationalVAE.paper(
                encoder=encoder,
                rotation_prior=ROTATION_PRIOR,
                max_epochs=n_epochs,
                random_state=seed,
                device=device,
            ).fit(X)
            report(n_epochs, lambda model=model: model.transform(X)[:, 0])

    return fit


def alignment(X, seed, device, report):
    report.restart()
    model = MultiReferenceAlignment(random_state=seed).fit(X)
    report(1, lambda: model.transform(X)[:, 0])


def moments(X, seed, device, report):
    report.restart()
    model = AngularMoments().fit(X)
    report(1, lambda: model.transform(X)[:, 0])


def clustering(X, seed, device, report):
    report.restart()
    rows = X.reshape(len(X), -1)
    model = make_pipeline(
        PCA(5, random_state=seed),
        StandardScaler(),
        GaussianMixture(5, n_init=3, random_state=seed),
    ).fit(rows)
    report(1, lambda: model.predict(rows))


def atomai(convolutional):
    def fit(X, seed, device, report):
        # of torchvision it needs the names only, to be imported
        _stand_in(
            "torchvision", "torchvision.models", "torchvision.utils", "progressbar"
        )
        from atomai.models import rVAE

        X = _to_unit_range(X)
        model = rVAE(X.shape[1:], latent_dim=2, seed=seed, conv_encoder=convolutional)

        # called at the end of each epoch
        def judge(epoch):
            report(epoch + 1, lambda: model.encode(X)[0][:, 0])

        model.print_statistics = judge
        with tempfile.TemporaryDirectory() as folder:
            report.restart()
            model.fit(
                X,
                training_cycles=MANY,
                rotation_prior=ROTATION_PRIOR,
                filename=os.path.join(folder, "model"),
            )

    return fit


def pyroved(X, seed, device, report):
    _stand_in("torchvision", "torchvision.utils")
    import pyroved as pv
    import torch

    X = torch.from_numpy(_to_unit_range(X))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = pv.models.iVAE(
        tuple(X.shape[1:]), latent_dim=2, invariances=["r", "t"], seed=seed
    )
    loader = pv.utils.init_dataloader(X, batch_size=32)
    trainer = pv.trainers.SVItrainer(model, seed=seed, device=device)
    report.restart()
    for epoch in range(MANY):
        trainer.step(loader)
        report(epoch + 1, lambda: model.encode(X)[0][:, 0].numpy(force=True))


def _to_unit_range(X):
    return (X - X.min()) / (X.max() - X.min())


def _stand_in(*names):
    """Let modules be imported of which nothing is used here."""

    class Anything(types.ModuleType):
        __path__ = ()

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *arguments, **keywords: None

    for name in names:
        sys.modules.setdefault(name, Anything(name))


class Tool(NamedTuple):
    """How a tool is called, what it tells, and whether it is a slow one."""

    fit: Callable
    output: str = "angle"
    slow: bool = False


def _peer(fit):
    # Networks that predict the angle may learn either sense of rotation.
    return Tool(fit, "angle of either sense", slow=True)


TOOLS = {
    "RotationalVAE": Tool(ours),
    "paper's model, dense": _peer(paper("dense")),
    "paper's model, convolutional": _peer(paper("convolutional")),
    "MultiReferenceAlignment": Tool(alignment),
    "AngularMoments": Tool(moments),
    "PCA + GaussianMixture": Tool(clustering, "cluster"),
    "atomai rVAE, dense": _peer(atomai(False)),
    "atomai rVAE, convolutional": _peer(atomai(True)),
    "pyroved iVAE": _peer(pyroved),
}
