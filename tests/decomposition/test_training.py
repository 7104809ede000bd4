"""Stopping, watching and steering a fit of RotationalVAE."""

import io
import re
import signal
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import Callback, EarlyStopping, EpochTimer

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic._torch import callbacks
from sklearn_ferroic._torch.training import Split
from sklearn_ferroic.decomposition._rvae.training import Batches
from sklearn_ferroic.inspection import LatentManifoldDisplay
from sklearn_ferroic.metrics import angular_error
from tests.decomposition._cells import SIDE, make_patches


@pytest.fixture(scope="module")
def patches():
    return make_patches(120)


def make_vae(**parameters):
    return RotationalVAE(n_hidden=16, n_init=1, random_state=0, **parameters)


class Recorder(Callback):
    """Write the weights after each epoch to a list, and count on itself."""

    def __init__(self, weights):
        self.weights = weights
        self.count = 0

    def on_epoch_end(self, net, **kwargs):
        self.count += 1
        self.weights.append(
            {name: value.clone() for name, value in net.module_.state_dict().items()}
        )

    # scikit-learn clones by the arguments of the constructor
    def get_params(self, deep=True):
        return {"weights": self.weights}


class Stop(Callback):
    """Stop after some epochs, by itself or as Ctrl-C does."""

    def __init__(self, epoch, by_signal=False):
        self.epoch = epoch
        self.by_signal = by_signal

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            if self.by_signal:
                signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt


# Early stopping -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_early_stopping_restores_the_best_weights(seed, patches):
    weights, tol = [], 2e-3
    vae = RotationalVAE(
        n_hidden=16,
        max_epochs=40,
        learning_rate=0.02,
        early_stopping=True,
        n_iter_no_change=3,
        tol=tol,
        callbacks=[Recorder(weights)],
        random_state=seed,
    ).fit(patches[0])
    losses = vae.validation_loss_curve_
    assert vae.n_iter_ == len(losses) == len(vae.loss_curve_) < 60
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] - tol:
            best = epoch
    assert best == vae.n_iter_ - 4
    for name in ("decoder.image.weight", "noise_variance"):
        np.testing.assert_array_equal(vae.weights_[name], weights[best][name])


def test_without_early_stopping_all_epochs_are_run(patches):
    vae = make_vae(max_epochs=4, tol=10.0).fit(patches[0])
    assert vae.n_iter_ == 4
    assert vae.validation_loss_curve_ is None


def test_improvement_less_than_tol_does_not_count(patches):
    vae = make_vae(max_epochs=9, early_stopping=True, tol=10.0, n_iter_no_change=2)
    assert vae.fit(patches[0]).n_iter_ == 3


def test_nothing_left_to_train_on_is_refused(patches):
    vae = make_vae(early_stopping=True, validation_fraction=0.9)
    with pytest.raises(ValueError, match="train set will be empty"):
        vae.fit(patches[0][:5])


@pytest.mark.parametrize("first", [0, 7, 39])
def test_rows_held_out_are_neighbours(first):
    split = Split(40, 0.2, first)
    assert len(split.validation) == 8
    assert (np.diff(split.validation) % 40 == 1).all()
    assert (split.validation[-1] + 1) % 40 == first
    together = np.sort(np.concatenate([split.training, split.validation]))
    np.testing.assert_array_equal(together, np.arange(40))


def test_batches_are_shuffled_only_in_training():
    class Dataset:
        X = np.arange(40.0)[:, None]

    training, validation = Split(40, 0.2, 3)(Dataset())
    in_order = [rows.ravel() for rows, _ in Batches(validation, 5)]
    np.testing.assert_array_equal(
        np.concatenate(in_order), [35, 36, 37, 38, 0, 1, 2, 39]
    )
    shuffled = Batches(training, 10, np.random.RandomState(0))
    passes = [np.concatenate([rows.ravel() for rows, _ in shuffled]) for _ in "12"]
    assert len(shuffled) == 4
    np.testing.assert_array_equal(np.sort(passes[0]), np.arange(3, 35))
    assert not np.array_equal(*passes)


def test_partial_fit_refuses_what_spans_passes(patches):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        make_vae(early_stopping=True).partial_fit(patches[0])
    with pytest.raises(ValueError, match="does not support checkpoint"):
        make_vae(checkpoint="vae.npz").partial_fit(patches[0])


def test_warm_start_with_early_stopping(patches):
    vae = make_vae(max_epochs=3, warm_start=True, early_stopping=True)
    first = vae.fit(patches[0]).validation_loss_curve_
    second = vae.fit(patches[0]).validation_loss_curve_
    assert second[0] < first[0]


# Callbacks ----------------------------------------------------------------------------


def test_callbacks_see_each_epoch_and_stay_as_they_are(patches):
    weights = []
    recorder = Recorder(weights)
    vae = make_vae(max_epochs=3, callbacks=[("recorder", recorder), EpochTimer])
    before = vae.get_params()
    vae.fit(patches[0])
    assert len(weights) == 3
    assert recorder.count == 0
    assert vae.get_params() == before
    assert vae.callbacks[0][1] is recorder
    vae.partial_fit(patches[0])
    assert len(weights) == 4
    np.testing.assert_array_equal(
        vae.weights_["decoder.image.bias"], weights[-1]["decoder.image.bias"]
    )


def test_an_estimator_with_callbacks_can_be_cloned(patches):
    vae = make_vae(max_epochs=9, callbacks=[EarlyStopping("train_loss", patience=2)])
    cloned = clone(vae)
    assert cloned.callbacks[0] is not vae.callbacks[0]
    assert cloned.callbacks[0].patience == 2


def test_a_callback_may_end_the_training(patches):
    vae = make_vae(max_epochs=9, callbacks=[Stop(2)]).fit(patches[0])
    assert vae.n_iter_ == 2
    stopping = EarlyStopping("train_loss", 2, 10, "abs", sink=id)
    assert vae.set_params(callbacks=[stopping]).fit(patches[0]).n_iter_ == 3


def test_an_interrupt_in_a_callback_is_passed_on(patches):
    handler = signal.getsignal(signal.SIGINT)
    vae = make_vae(max_epochs=9, callbacks=[Stop(2, by_signal=True)])
    with pytest.raises(KeyboardInterrupt):
        vae.fit(patches[0])
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(NotFittedError):
        vae.transform(patches[0])


@pytest.mark.parametrize("callbacks", [[print], [("a", 3)], ["name"], [("a", "b")]])
def test_what_is_not_a_callback_is_refused(callbacks, patches):
    with pytest.raises(TypeError, match="callbacks must contain callbacks of skorch"):
        make_vae(callbacks=callbacks).fit(patches[0])


# Progress -----------------------------------------------------------------------------


def test_verbose_writes_a_line_an_epoch(patches, capsys):
    make_vae(max_epochs=2).fit(patches[0])
    assert capsys.readouterr().out == ""
    vae = make_vae(max_epochs=2, verbose=1).fit(patches[0])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines):
        loss = f"{vae.loss_curve_[epoch]:.5f}"
        assert re.fullmatch(rf"epoch {epoch + 1}/2: loss {loss}, \d+\.\d\d s", line)


def test_verbose_tells_the_validation_loss_and_why_it_stops(patches, capsys):
    make_vae(max_epochs=9, early_stopping=True, tol=10.0).fit(patches[0])
    assert capsys.readouterr().out == ""
    vae = make_vae(max_epochs=9, early_stopping=True, tol=10.0, verbose=True)
    vae.fit(patches[0])
    lines = capsys.readouterr().out.splitlines()
    assert f"validation loss {vae.validation_loss_curve_[0]:.5f}" in lines[0]
    assert sum(line.startswith("epoch ") for line in lines) == vae.n_iter_ == 6
    assert "valid_loss has not improved in the last 5 epochs" in lines[6]
    assert "\x1b" not in "".join(lines)


# Precision and divergence -------------------------------------------------------------


def test_mixed_precision_finds_the_same(patches):
    X, angle, _ = patches
    vae = RotationalVAE(max_epochs=6, mixed_precision=True, random_state=0)
    found = vae.fit_transform(X)
    assert vae.weights_["decoder.image.weight"].dtype == np.float32
    error = np.degrees(np.abs(angular_error(angle, found[:, 0], register=True)))
    assert np.median(error) < 1.5
    full = clone(vae).set_params(mixed_precision=False).fit(X)
    assert vae.loss_curve_ != full.loss_curve_
    np.testing.assert_allclose(vae.loss_curve_, full.loss_curve_, atol=2e-3)
    np.testing.assert_array_equal(found, clone(vae).fit_transform(X))


@pytest.mark.parametrize("learning_rate", [1e6, 1e10, 1e30])
def test_a_loss_that_is_not_finite_is_an_error(learning_rate, patches):
    vae = make_vae(max_epochs=3).fit(patches[0])
    before = vae.transform(patches[0])
    vae.set_params(learning_rate=learning_rate)
    for estimator in (vae, clone(vae)):
        with pytest.raises(ValueError, match="no longer finite with learning_rate"):
            estimator.fit(patches[0])
    np.testing.assert_array_equal(vae.transform(patches[0]), before)
    assert not hasattr(estimator, "n_features_in_")


def test_a_useless_model_is_warned_of(patches):
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate=3"):
        make_vae(max_epochs=2, learning_rate=3.0).fit(patches[0])


def test_global_generators_and_threads_are_left_alone(patches):
    before = torch.get_rng_state(), torch.get_num_threads()
    make_vae(max_epochs=2, early_stopping=True, mixed_precision=True).fit(patches[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


@pytest.mark.parametrize(
    "patch_shape", [("a", "b"), (4.0, 100.0), (-4, -100), (400,), (2, 2, 100), ()]
)
def test_ill_typed_patch_shape(patch_shape):
    with pytest.raises(ValueError, match="not \\(height, width\\), two positive int"):
        make_vae(patch_shape=patch_shape).fit(np.random.RandomState(0).rand(9, 400))


# Drawing ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(patches):
    return make_vae(max_epochs=2).fit(patches[0])


def test_angles_wrap_and_degrees_are_warned_of(fitted):
    columns = np.array([[0.3, 0, 0, 1, -1]])
    drawn = fitted.inverse_transform(columns)
    turned = fitted.inverse_transform(columns - [2 * np.pi, 0, 0, 0, 0])
    np.testing.assert_allclose(turned, drawn, atol=1e-5)
    columns[0, 0] = 45
    with pytest.warns(UserWarning, match="up to 45, which are taken as radians"):
        fitted.inverse_transform(columns)


def test_latent_grid(fitted):
    latents, images = fitted.latent_grid(n=3, extent=1.5)
    assert images.shape == (3, 3, SIDE, SIDE)
    np.testing.assert_array_equal(latents[:, 1, 1], [-1.5, 0, 1.5])
    np.testing.assert_array_equal(latents[1, :, 0], [-1.5, 0, 1.5])
    np.testing.assert_array_equal(images[2, 0], fitted.decode([[-1.5, 1.5]])[0])
    display = LatentManifoldDisplay.from_estimator(fitted, n=3, extent=1.5)
    np.testing.assert_array_equal(display.images, images)
    latents, images = fitted.latent_grid(features=1)
    assert images.shape == (1, 7, SIDE, SIDE)
    np.testing.assert_array_equal(latents[0, :, 0], 0)
    np.testing.assert_allclose(latents[0, :, 1], np.linspace(-2, 2, 7), rtol=1e-6)


def test_latent_grid_of_one_latent_and_refusals(patches, fitted):
    narrow = make_vae(latent_dim=1, max_epochs=1).fit(patches[0])
    assert narrow.latent_grid(n=4)[0].shape == (1, 4, 1)
    with pytest.raises(ValueError, match="different indices of the 2"):
        fitted.latent_grid(features=(0, 2))
    with pytest.raises(ValueError, match="must be positive, got 0"):
        fitted.latent_grid(n=0)
    with pytest.raises(NotFittedError):
        make_vae().latent_grid()


# --- progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def steps_of(seconds, n_steps, monkeypatch):
    """Return what is written while a training of equal steps takes some time."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    now = [0.0]
    line = callbacks.ProgressLine(n_steps, clock=lambda: now[0])
    line.on_train_begin(None)
    for _ in range(n_steps):
        now[0] += seconds / n_steps
        line.on_batch_end(None)
        line.on_batch_end(None, training=False)
    shown = sys.stderr.getvalue()
    line.on_train_end(None)
    return shown, sys.stderr.getvalue()[len(shown) :]


def test_progress_of_a_long_fit(monkeypatch):
    shown, removed = steps_of(100.0, 1000, monkeypatch)
    assert shown.startswith("\r[")
    assert "\n" not in shown
    assert " 50%, at most 50 s left" in shown
    assert " 99%, at most 1 s left" in shown
    assert removed.strip() == ""
    # about once a second
    assert 90 <= shown.count("\r") <= 101


def test_a_short_fit_shows_no_progress(monkeypatch):
    assert steps_of(9.0, 1000, monkeypatch) == ("", "")


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_progress_is_shown_in_a_terminal_and_not_in_a_log(
    patches, monkeypatch, capsys, stream
):
    monkeypatch.setattr(callbacks, "_SHORTEST_SHOWN_S", 0.0)
    monkeypatch.setattr(callbacks, "_REFRESH_S", 0.0)
    monkeypatch.setattr(sys, "stderr", stream())
    make_vae(max_epochs=2).fit(patches[0])
    assert ("100%" in sys.stderr.getvalue()) == (stream is Terminal)
    # one line an epoch instead, if asked for
    monkeypatch.setattr(sys, "stderr", stream())
    make_vae(max_epochs=2, verbose=1).fit(patches[0])
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().out.count("epoch") == 2
