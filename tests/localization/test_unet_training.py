"""Training the U-Net: labels, checkpoints, repetition, refusals."""

import signal

import numpy as np
import pytest
from skorch.callbacks import Callback

from sklearn_ferroic import AtomSites, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image


def make_locator(**parameters):
    options = {
        "n_filters": 4,
        "crop_size": 32,
        "n_scales": 1,
        "max_epochs": 3,
        "batch_size": 4,
        "learning_rate": 0.01,
        "random_state": 0,
    }
    return UNetAtomLocator(**(options | parameters))


@pytest.fixture(scope="module")
def data():
    return make_ferroic_image(shape=(240, 260), dose=1e4, random_state=5)


@pytest.fixture(scope="module")
def trained(data):
    return make_locator().fit(data.image, data)


def mask_of(data, radius=4):
    row, col = np.indices(data.image.shape)
    mask = np.zeros(data.image.shape, dtype=int)
    for (r, c), kind in zip(data.positions, data.sublattice, strict=True):
        mask[(row - r) ** 2 + (col - c) ** 2 < radius**2] = kind + 1
    return mask


def assert_same_weights(first, second):
    for name, value in first.weights_.items():
        np.testing.assert_array_equal(second.weights_[name], value)


def test_learns():
    images = [
        make_ferroic_image(shape=(240, 260), dose=1e4, random_state=seed)
        for seed in (5, 6)
    ]
    locator = make_locator(n_filters=6, max_epochs=25, n_views=1)
    locator.fit([images[0]], [images[0]])
    assert len(locator.loss_curve_) == locator.n_iter_ == 25
    assert locator.validation_loss_curve_ is None
    assert locator.loss_curve_[-1] < 0.4 * locator.loss_curve_[0]
    assert locator.score(images[1], images[1]) > 0.9


def test_every_form_of_labels_says_the_same(data, trained):
    sites = AtomSites(data.image, data.positions, sublattice=data.sublattice)
    pair = (data.positions.tolist(), data.sublattice.tolist())
    for y in (sites, [data], pair, [pair]):
        assert_same_weights(make_locator().fit(data.image, y), trained)


def test_masks_teach_as_positions_do(data):
    options = {"n_filters": 6, "max_epochs": 25, "n_views": 1}
    locator = make_locator(**options).fit(data.image, mask_of(data))
    assert locator.score(data.image, data) > 0.9
    assert locator.score(data.image, mask_of(data)) > 0.9


def test_images_without_columns_may_be_among_them(data):
    empty = np.random.RandomState(0).poisson(5, (100, 120))
    none = np.empty((0, 2)), np.empty(0, dtype=int)
    locator = make_locator().fit([data.image, empty], [data, none])
    assert locator.n_iter_ == 3


def test_random_state(data, trained):
    assert_same_weights(make_locator().fit(data.image, data), trained)
    other = make_locator(random_state=1).fit(data.image, data)
    assert not np.array_equal(
        other.weights_["head.weight"], trained.weights_["head.weight"]
    )


def test_starts_from_given_weights(data, trained, tmp_path):
    trained.save_weights(tmp_path / "own.safetensors")
    kept = make_locator(weights=tmp_path / "own.safetensors").fit(data.image)
    assert_same_weights(kept, trained)
    assert kept.loss_curve_ == []
    tuned = make_locator(weights=tmp_path / "own.safetensors", learning_rate=1e-3)
    tuned.fit(data.image, data)
    assert tuned.loss_curve_[0] < trained.loss_curve_[0]


class Recorder(Callback):
    """Note the weights after each epoch, and the crops that were looked at."""

    def __init__(self, weights, seen):
        self.weights = weights
        self.seen = seen

    def on_batch_end(self, net, batch, training, **kwargs):
        # Turns and reflections leave the number of pixels of each class.
        counts = [(batch[1] == kind).sum((1, 2)).tolist() for kind in (1, 2)]
        self.seen[training].update(zip(*counts, strict=True))

    def on_epoch_end(self, net, **kwargs):
        self.weights.append(
            {
                name: value.numpy(force=True).copy()
                for name, value in net.module_.state_dict().items()
            }
        )


def test_early_stopping_holds_a_part_out(data):
    seen = {True: set(), False: set()}
    locator = make_locator(
        early_stopping=True, validation_fraction=0.2, callbacks=[Recorder([], seen)]
    )
    locator.fit(data.image, data)
    assert len(locator.validation_loss_curve_) == locator.n_iter_
    assert not seen[True] & seen[False]
    n_crops = len(seen[True]) + len(seen[False])
    assert len(seen[False]) == pytest.approx(0.2 * n_crops, abs=1)


def test_improvement_less_than_tol_does_not_count(data):
    options = {"early_stopping": True, "tol": 10.0, "n_iter_no_change": 2}
    assert make_locator(max_epochs=9, **options).fit(data.image, data).n_iter_ == 3


class Spoil(Callback):
    """Set the weights to zero at the beginning of the fifth epoch."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 5:
            for parameter in net.module_.parameters():
                parameter.data.zero_()


@pytest.mark.parametrize(
    ("tol", "spoiling"),
    [(0.05, []), (0.0, [Spoil()])],
    ids=["small improvements", "worse"],
)
def test_early_stopping_restores_the_best_weights(data, tol, spoiling):
    # At faster learning rates the losses depend on the rounding of the torch version.
    weights = []
    locator = make_locator(
        max_epochs=12,
        learning_rate=0.003,
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=1,
        tol=tol,
        callbacks=[*spoiling, Recorder(weights, {True: set(), False: set()})],
    ).fit(data.image, data)
    losses = locator.validation_loss_curve_
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] - tol:
            best = epoch
    assert 0 < best == locator.n_iter_ - 2 < 10
    for name, value in weights[best].items():
        np.testing.assert_array_equal(locator.weights_[name], value)


def test_progress_is_written(data, capsys):
    make_locator(verbose=1, max_epochs=2).fit(data.image, data)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    make_locator().fit(data.image, data)
    assert capsys.readouterr().out == ""


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_training_goes_on_to_the_same_end(data, trained, tmp_path):
    options = {"checkpoint": str(tmp_path / "training")}
    whole = make_locator(**options).fit(data.image, data)
    assert_same_weights(whole, trained)
    (tmp_path / "training").unlink()
    with pytest.raises(KeyboardInterrupt):
        make_locator(callbacks=[Interrupt()], **options).fit(data.image, data)
    again = make_locator(**options).fit(data.image, data)
    assert_same_weights(again, trained)
    assert again.loss_curve_ == trained.loss_curve_
    with pytest.raises(ValueError, match=r"contains a fit with batch_size=4, not 8"):
        make_locator(batch_size=8, **options).fit(data.image, data)
    with pytest.raises(ValueError, match="contains a fit with other data"):
        make_locator(**options).fit(data.image[:-20], data)


def _labels(data):
    one = np.zeros(len(data.positions), dtype=int)
    far = data.positions + 1000
    wrong = mask_of(data)
    wrong[0, 0] = 7
    return {
        "none": (None, ValueError, "training images have no labels: y is None"),
        "class": (wrong, ValueError, r"classes \[0, 1, 2, 7\], expected no others"),
        "shape": (wrong[:-1], ValueError, r"mask of image 0 has shape \(239, 260\)"),
        "name": (
            (data.positions, one + 3),
            ValueError,
            r"sublattices of image 0 are \[3\], expected 0 for A and 1 for B",
        ),
        "length": (
            (data.positions, one[:-1]),
            ValueError,
            "positions and a sublattice",
        ),
        "nan": ((data.positions * np.nan, one), ValueError, "have NaN or infinity"),
        "transposed": (
            (data.positions.T, one),
            ValueError,
            r"pairs of shape \(n, 2\), got shape \(2, ",
        ),
        "missing": (
            (data.positions, np.where(np.arange(len(one)) == 1, None, one)),
            ValueError,
            "expected 0 for A and 1 for B",
        ),
        "masked": (
            (data.positions, np.ma.array(one, mask=np.arange(len(one)) == 1)),
            ValueError,
            "sublattice is a masked array with 1 masked value",
        ),
        "masked_mask": (
            np.ma.array(0 * wrong, mask=wrong == 7),
            ValueError,
            "mask is a masked array with 1 masked value",
        ),
        "far": ((far, one), ValueError, "No labelled column of image 0 lies on its"),
        "count": ([data, data], ValueError, r"labels of 2 image\(s\), X contains 1"),
        "text": (["film"], TypeError, "labels of image 0 are of type str"),
        "number": (3.0, TypeError, "y is of type float"),
        "empty": ((np.empty((0, 2)), []), ValueError, "labels contain no column"),
        "constant": (0 * wrong, ValueError, "labels contain no column"),
        "single": (([[9, 9]], [0]), ValueError, "which have no spacing"),
    }


CASES = "none class shape name length nan far count text number empty constant single"
CASES += " transposed missing masked masked_mask"


@pytest.mark.parametrize("case", CASES.split())
def test_labels_of_no_use(data, case):
    y, error, message = _labels(data)[case]
    locator = make_locator()
    with pytest.raises(error, match=message):
        locator.fit(data.image, y)
    assert not hasattr(locator, "weights_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"crop_size": 60}, "crop_size=60 must be a multiple of 8"),
        ({"learning_rate": 1e30}, "loss is no longer finite"),
        ({"device": "cuda:99"}, "cannot be used here"),
        ({"sublattice": -1.5}, "'sublattice' parameter"),
    ],
)
def test_parameters_of_no_use(data, parameters, message):
    with pytest.raises(ValueError, match=message):
        make_locator(**parameters).fit(data.image, data)
