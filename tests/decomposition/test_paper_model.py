"""The networks of the paper: amortised encoders, coordinate decoder, objective."""

import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic.decomposition._pose.geometry import pose
from sklearn_ferroic.decomposition._rvae.amortized_model import (
    AmortizedModel,
    wrapped_normal_entropy,
)
from sklearn_ferroic.decomposition._rvae.amortized_model import _Posterior as Posterior
from sklearn_ferroic.decomposition._rvae.decoders import (
    CanonicalDecoder,
    CoordinateDecoder,
)
from sklearn_ferroic.decomposition._rvae.patch_model import PatchModel, cubature_points
from sklearn_ferroic.metrics import angular_error
from tests.decomposition._cells import NOISE, make_patches

AMORTIZED = ["convolutional", "dense"]
DECODERS = ["canonical", "coordinate"]
ALL = [(e, d) for e in ["invariant", *AMORTIZED] for d in DECODERS]


def paper_model(**parameters):
    return RotationalVAE(
        random_state=0, n_hidden=16, max_epochs=2, batch_size=32
    ).set_params(**parameters)


# --- what every combination owes


@pytest.mark.parametrize("translation", [True, False])
@pytest.mark.parametrize(("encoder", "decoder"), ALL)
def test_shapes_ranges_and_names(encoder, decoder, translation):
    X, _, _ = make_patches(48)
    vae = paper_model(
        encoder=encoder, decoder=decoder, translation=translation, latent_dim=3
    ).fit(X)
    found, std = vae.transform_with_std(X)
    n_columns = 6 if translation else 4
    assert found.shape == std.shape == (48, n_columns)
    assert found.dtype == np.float32
    assert list(vae.get_feature_names_out())[-3:] == ["latent0", "latent1", "latent2"]
    assert found[:, 0].min() >= -np.pi
    assert found[:, 0].max() < np.pi
    assert (std > 0).all()
    assert vae.inverse_transform(found).shape == (48, 400)
    assert vae.decode(found[:, -3:]).shape == (48, 20, 20)
    assert vae.score_samples(X).shape == (48,)
    assert np.isfinite(vae.score(X))
    assert vae.loss_curve_[-1] < vae.loss_curve_[0]


@pytest.mark.parametrize(("encoder", "decoder"), ALL)
def test_results_repeat_to_the_bit_and_hang_on_no_batch(encoder, decoder):
    X, _, _ = make_patches(40)
    vae = paper_model(encoder=encoder, decoder=decoder)
    first, second = clone(vae).fit(X), clone(vae).fit(X)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    np.testing.assert_allclose(
        first.transform(X[:3]), first.transform(X)[:3], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        first.score_samples(X[:3]), first.score_samples(X)[:3], rtol=1e-6
    )


@pytest.mark.parametrize(("encoder", "decoder"), [("dense", "coordinate")])
def test_weights_are_arrays_and_pickles_hold_no_torch(encoder, decoder, tmp_path):
    X, _, _ = make_patches(40)
    vae = paper_model(encoder=encoder, decoder=decoder, rotation_prior=0.1).fit(X)
    assert all(type(value) is np.ndarray for value in vae.weights_.values())
    joblib.dump(vae, tmp_path / "vae.joblib")
    assert b"torch" not in (tmp_path / "vae.joblib").read_bytes()
    loaded = joblib.load(tmp_path / "vae.joblib")
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    vae.partial_fit(X)
    with pytest.raises(ValueError, match=r"cannot continue with decoder=canonical"):
        vae.set_params(decoder="canonical").partial_fit(X)


def test_a_rotation_prior_with_the_invariant_encoder_is_refused():
    X, _, _ = make_patches(10)
    with pytest.raises(ValueError, match=r"rotation_prior=0\.1 does not apply"):
        paper_model(rotation_prior=0.1).fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder", "transformer"),
        ("decoder", "spatial"),
        ("rotation_prior", 0.0),
        ("noise_std", -1.0),
        ("kl_capacity", -1.0),
    ],
)
def test_refusals(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        paper_model(**{name: value}).fit(np.ones((4, 9)))


# --- the coordinate decoder


@pytest.fixture
def decoder():
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    decoder = CoordinateDecoder((20, 16), 2, 24).double()
    torch.set_rng_state(torch_state)
    return decoder


def draw_columns(n, seed=0):
    rng = np.random.RandomState(seed)
    latents, offset = rng.normal(size=(2, n, 2))
    angle = rng.uniform(-np.pi, np.pi, n)
    return [torch.from_numpy(part) for part in (latents, angle, offset)]


def test_decoder_poses_as_an_image_is_posed(decoder):
    latents, angle, offset = draw_columns(6)
    offset *= 0.3  # the canonical image reaches a pixel beyond the corners
    with torch.no_grad():
        drawn = decoder.draw(latents, angle, offset)
        resampled = pose(decoder(latents), angle, offset, (20, 16))
    # but for the error of the bilinear interpolation
    assert drawn.std(dim=1).min() > 0.01
    assert (drawn - resampled).abs().max() < 0.01 * drawn.std()


def test_decoder_turns_the_way_of_the_convention(decoder):
    decoder.patch_shape = (20, 20)
    latents, angle, offset = draw_columns(3)
    with torch.no_grad():
        upright = decoder.draw(latents, angle, 0 * offset).reshape(-1, 20, 20)
        turned = decoder.draw(latents, angle - np.pi / 2, 0 * offset)
    np.testing.assert_allclose(
        turned.reshape(-1, 20, 20), np.rot90(upright, 1, axes=(1, 2)), atol=1e-9
    )


def test_squared_error_and_gradient_are_those_of_the_drawn_patches(decoder):
    patches = torch.from_numpy(np.random.RandomState(1).normal(size=(7, 20, 16)))
    columns = [part.requires_grad_() for part in draw_columns(7)]
    leaves = [*columns, *decoder.parameters()]
    fast = decoder.mean_squared_error(patches, *columns)
    direct = ((decoder.draw(*columns) - patches.flatten(1)) ** 2).mean()
    np.testing.assert_allclose(fast.item(), direct.item(), rtol=1e-12)
    # scaled, as under the logarithm of the objective
    fast = torch.autograd.grad(3 * fast, leaves)
    direct = torch.autograd.grad(3 * direct, leaves)
    for ours, expected in zip(fast, direct, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-14)
    assert min(part.abs().max() for part in direct) > 1e-6


def test_canonical_decoder_starts_at_the_template_for_all_latents():
    torch_state = torch.get_rng_state()
    decoder = CanonicalDecoder((12, 12), 2, 8)
    torch.set_rng_state(torch_state)
    template = torch.arange(decoder.side**2) / decoder.side**2
    decoder.start_at(template.reshape(decoder.side, decoder.side))
    with torch.no_grad():
        images = decoder(torch.tensor([[0.0, 0.0], [2.0, -2.0]]))
    np.testing.assert_allclose(images.flatten(1), template.expand(2, -1), atol=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_invariant_encoder_finds_the_angle_with_the_coordinate_decoder(seed):
    X, angle, _ = make_patches(240)
    vae = RotationalVAE(
        decoder="coordinate",
        n_hidden=32,
        max_epochs=8,
        batch_size=16,
        random_state=seed,
    )
    found = vae.fit_transform(X)
    error = np.degrees(np.abs(angular_error(angle, found[:, 0], register=True)))
    assert error.max() < 10
    assert np.median(error) < 2
    assert (X.reshape(240, -1) - vae.inverse_transform(found)).std() < 2 * NOISE


# --- the amortised posterior


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", AMORTIZED)
def test_amortized_models_learn_to_draw_the_patches(encoder, decoder):
    X, _, _ = make_patches(240)
    vae = RotationalVAE(
        encoder=encoder,
        decoder=decoder,
        latent_dim=4,
        n_hidden=32,
        # a read-out of all pixels needs smaller steps
        learning_rate=1e-3 if encoder == "convolutional" else 3e-3,
        max_epochs=40 if (encoder, decoder) == ("convolutional", "coordinate") else 15,
        batch_size=8,
        random_state=0,
    ).fit(X)
    held_out, _, _ = make_patches(100, seed=9)
    flat = held_out.reshape(100, -1)
    residual = (flat - vae.inverse_transform(vae.transform(held_out))).std()
    about_the_mean = (flat - X.reshape(240, -1).mean(axis=0)).std()
    assert residual < 0.75 * about_the_mean
    # what is drawn is posed: another angle draws something else
    columns = vae.transform(held_out)
    columns[:, 0] += np.pi / 4
    assert (flat - vae.inverse_transform(columns)).std() > 1.3 * residual


def test_angle_of_patches_that_differ_in_nothing_else():
    """Where the angle is the cheapest way to tell patches apart, it is found."""
    rng = np.random.RandomState(0)
    angle = rng.uniform(-0.7, 0.7, 400)
    X, _, _ = make_patches(400, seed=1, angle=angle)
    vae = RotationalVAE(
        encoder="dense",
        decoder="canonical",
        translation=False,
        latent_dim=1,
        max_epochs=30,
        batch_size=32,
        random_state=0,
    ).fit(X)
    found, std = vae.transform_with_std(X)
    error = np.degrees(np.abs(angular_error(angle, found[:, 0], register=True)))
    assert np.median(error) < 5
    assert np.degrees(np.median(std[:, 0])) < 10


@pytest.mark.parametrize("decoder", DECODERS)
def test_score_is_the_mean_bound_over_the_posterior(decoder):
    """The cubature against 400 draws, for a trained model."""
    X, _, _ = make_patches(120)
    vae = paper_model(encoder="dense", decoder=decoder, max_epochs=15).fit(X)
    weights = {name: torch.tensor(value) for name, value in vae.weights_.items()}
    model = AmortizedModel((20, 20), 2, 16, 0.25, encoder="dense", decoder=decoder)
    model.load_state_dict(weights)
    rng = np.random.RandomState(0)
    with torch.no_grad():
        patches = model.standardize(torch.from_numpy(X[:20].reshape(20, -1)))
        mean, std = model.posterior(patches)
        total = 0
        for _ in range(400):
            noise = torch.from_numpy(rng.normal(size=mean.shape).astype(np.float32))
            columns = mean + noise * std
            drawn = model.reconstruct(
                columns[:, 3:], columns[:, 0], 0.25 * columns[:, 1:3]
            )
            total = total + model.log_likelihood(patches, drawn) / 400
        bound = total - model.divergence(model.posterior(patches), is_bound=True)
        bound -= 400 * torch.log(model.pixel_scale)
    np.testing.assert_allclose(vae.score_samples(X[:20]), bound / 400, atol=0.01)


def test_score_changes_with_the_unit_of_intensity_by_its_jacobian():
    X, _, _ = make_patches(60)
    vae = paper_model(encoder="dense", decoder="coordinate", noise_std=0.5)
    score = clone(vae).fit(X).score(X)
    tenfold = vae.set_params(noise_std=5.0).fit(10 * X).score(10 * X)
    assert tenfold == pytest.approx(score - np.log(10), abs=1e-3)


def test_cubature_is_exact_for_quadratics():
    mean, std = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[0.3, 2.0, 1.0]])
    values = [
        (points[:, 0] ** 2 + points[:, 0] * points[:, 1] + 3 * points[:, 2] ** 2)
        for points in cubature_points(mean, std)
    ]
    expected = 1 + 0.09 - 2 + 3 * (0.25 + 1)
    assert torch.stack(values).mean().item() == pytest.approx(expected, rel=1e-5)


# --- priors and objective


@pytest.mark.parametrize("std", [0.05, 0.5, 0.79, 0.81, 1.0, 2.0, 5.0])
def test_entropy_on_the_circle(std):
    grid = np.linspace(-np.pi, np.pi, 40_001)[:-1]
    revolutions = 2 * np.pi * np.arange(-8, 9)[:, None]
    density = np.exp(-0.5 * ((grid - 0.4 + revolutions) / std) ** 2).sum(axis=0)
    density /= density.sum() * (grid[1] - grid[0])
    expected = -(density * np.log(np.maximum(density, 1e-300))).sum()
    expected *= grid[1] - grid[0]
    found = wrapped_normal_entropy(torch.tensor([std], dtype=torch.float64))
    assert found.item() == pytest.approx(expected, abs=5e-4, rel=1e-4)


def amortized(**parameters):
    model = AmortizedModel((20, 20), 2, 16, 1.0, encoder="dense", **parameters)
    model.initialize(torch.Generator().manual_seed(0))
    return model


def posterior_of(angle, std):
    """Return a posterior that is the prior but for the angle."""
    mean, width = torch.zeros(len(angle), 5), torch.ones(len(angle), 5)
    mean[:, 0], width[:, 0] = torch.tensor(angle), torch.tensor(std)
    return Posterior(mean, width)


def test_offset_is_that_of_the_rotated_patch():
    """The network predicts it before the rotation, users get it after the rotation."""
    model = amortized(decoder="coordinate").eval()
    generator = torch.Generator().manual_seed(1)
    mean = 2 * torch.randn(6, 5, generator=generator)
    std = 0.1 + torch.rand(6, 5, generator=generator)
    model.posterior = lambda patches: Posterior(mean, std)
    columns, widths = model.infer(None)
    # a positive angle rotates +col towards +row
    cos, sin = mean[:, 0].cos(), mean[:, 0].sin()
    row = mean[:, 1] * cos + mean[:, 2] * sin
    col = mean[:, 2] * cos - mean[:, 1] * sin
    torch.testing.assert_close(columns[:, 1:3], torch.stack([row, col], dim=1))
    for unchanged in (0, 3, 4):
        torch.testing.assert_close(columns[:, unchanged], mean[:, unchanged])
        torch.testing.assert_close(widths[:, unchanged], std[:, unchanged])
    # widths of offsets drawn at the mean angle
    noise = torch.randn(20_000, 6, 5, generator=generator)
    noise[..., 0] = 0
    drawn = torch.stack([model._split(mean + part * std)[2] for part in noise])
    torch.testing.assert_close(drawn.std(dim=0), widths[:, 1:3], rtol=0.03, atol=0)
    # the patch is the shifted canonical image, rotated
    image = model.reconstruct(columns[:, 3:], columns[:, 0], columns[:, 1:3])
    flat = columns.clone()
    flat[:, 0] = 0
    flat[:, 1:3] = mean[:, 1:3]
    unrotated = CoordinateDecoder((61, 61), 2, 16, 1.5)
    unrotated.load_state_dict(model.decoder.state_dict())
    unrotated.unit = model.decoder.unit
    large = unrotated.draw(flat[:, 3:], flat[:, 0], flat[:, 1:3]).reshape(6, 61, 61)
    rotated = pose(large, mean[:, 0], torch.zeros(6, 2), (20, 20))
    difference = (rotated - image).std() / image.std()
    assert difference < 0.1


def test_divergence_of_the_training_is_reported():
    """One warning with the remedy, where widths are beyond their priors."""
    model = amortized(decoder="coordinate")
    patches = torch.randn(40, 20, 20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        model.finish(patches)
        for column in (5 + 0, 5 + 1, 5 + 4):  # widths of angle, offset and a latent
            bias = model.encoder.layers[-1].bias
            bias[column] += 8
            with pytest.warns(UserWarning, match="diverged.*Lower learning_rate"):
                model.finish(patches)
            bias[column] -= 8
        model.finish(patches)


def test_rotation_prior_acts_on_the_width_alone():
    std = [0.05, 0.1, 0.4]
    expected = [-np.log(s / 0.1) + s**2 / (2 * 0.1**2) - 0.5 for s in std]
    for angle in ([0.0] * 3, [3.0, -50.0, 1e3]):
        found = amortized(rotation_prior=0.1).divergence(posterior_of(angle, std))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        # without a preferred width, and in the bound, the prior is uniform
        uniform = amortized().divergence(posterior_of(angle, std))
        bound = amortized(rotation_prior=0.1).divergence(
            posterior_of(angle, std), is_bound=True
        )
        expected_uniform = np.log(2 * np.pi) - narrow_entropy(std)
        np.testing.assert_allclose(uniform, expected_uniform, rtol=1e-4)
        np.testing.assert_allclose(bound, uniform)


def narrow_entropy(std):
    """Return the entropy of narrow normals, which the circle does not change."""
    return 0.5 * np.log(2 * np.pi * np.e) + np.log(std)


@pytest.mark.parametrize("encoder", AMORTIZED)
@pytest.mark.parametrize("rotation_prior", [0.3, None])
def test_posteriors_begin_as_in_the_public_code(encoder, rotation_prior):
    model = AmortizedModel(
        (20, 20), 2, 16, 1.0, encoder=encoder, rotation_prior=rotation_prior
    )
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, std = model.posterior(torch.rand(50, 20, 20))
    # as in the public code, the width of the angle begins at 1 rad with a prior on it
    assert (std[:, 0] / (1.0 if rotation_prior else 0.1)).log().abs().max() < 0.6
    assert std[:, 1:].log().abs().max() < 0.6


def test_angles_are_not_bounded():
    """An angle may pass pi in training; what `transform` returns is wrapped."""
    X, _, _ = make_patches(20)
    vae = paper_model(encoder="dense", max_epochs=1).fit(X)
    bias = vae.weights_["encoder.layers.4.bias"]
    before = vae.transform(X)
    bias[0] += 4 * np.pi + 1
    with torch.no_grad():
        after = vae.transform(X)
    difference = after[:, 0] - before[:, 0]
    np.testing.assert_allclose(np.cos(difference - 1), 1, atol=1e-5)
    assert np.abs(after[:, 0]).max() <= np.pi


def test_scaling_by_the_maximum():
    X, _, _ = make_patches(60)
    X = X - X.min() + 0.5
    vae = paper_model(encoder="dense", scaling="max", noise_std=1.0, max_epochs=3)
    vae.fit(X)
    assert vae.weights_["pixel_mean"] == 0
    assert vae.weights_["pixel_scale"] == pytest.approx(X.max(), rel=1e-6)
    assert vae.noise_std_ == pytest.approx(X.max(), rel=1e-6)
    # the unit of X does not matter
    scaled = clone(vae).fit(16 * X)
    np.testing.assert_array_equal(scaled.transform(16 * X), vae.transform(X))
    # negative pixels are mapped to [0, 1]
    shifted = clone(vae).fit(X - 1.0)
    assert shifted.weights_["pixel_mean"] == pytest.approx(-0.5, rel=1e-5)
    assert shifted.weights_["pixel_scale"] == pytest.approx(np.ptp(X), rel=1e-5)


def test_schedules_of_the_learning_rate():
    rates = {"cosine": [], "constant": []}

    class Rates(Callback):
        def __init__(self, found):
            self.found = found

        def on_batch_end(self, net, training=True, **kwargs):
            self.found.append(net.optimizer_.param_groups[0]["lr"])

    X, _, _ = make_patches(64)
    for schedule, found in rates.items():
        vae = paper_model(encoder="dense", learning_rate_schedule=schedule)
        vae.set_params(callbacks=[Rates(found)], max_epochs=5).fit(X)
    assert rates["constant"] == [vae.learning_rate] * 10
    assert rates["cosine"][-1] < 0.1 * rates["cosine"][0]
    # the default encoder then has no early end, and still finds its angle
    vae = RotationalVAE(learning_rate_schedule="constant", max_epochs=6, random_state=0)
    X, angle, _ = make_patches(200)
    found = vae.fit_transform(X)
    assert vae.n_iter_ == 6
    error = np.degrees(np.abs(angular_error(angle, found[:, 0], register=True)))
    assert np.median(error) < 2


# --- the published configuration


def test_paper_returns_the_published_configuration():
    vae = RotationalVAE.paper(window_size=40)
    assert type(vae) is RotationalVAE
    changed = {
        name: value
        for name, value in vae.get_params().items()
        if value != RotationalVAE().get_params()[name]
    }
    assert changed == {
        "encoder": "convolutional",
        "decoder": "coordinate",
        "coordinate_length": None,
        "offset_scale": 2.0,
        "rotation_prior": 0.1,
        "noise_std": 1.0,
        "scaling": "max",
        "batch_size": 32,
        "max_epochs": 100,
        "learning_rate": 1e-4,
        "learning_rate_schedule": "constant",
        "convergence_tol": None,
    }
    vae = RotationalVAE.paper(
        encoder="dense", translation=False, max_epochs=3, latent_dim=5
    )
    assert (vae.encoder, vae.translation, vae.max_epochs) == ("dense", False, 3)
    assert vae.latent_dim == 5
    assert vae.offset_scale == pytest.approx(2.4)
    assert clone(vae).get_params() == vae.get_params()
    with pytest.raises(TypeError, match="n_epochs"):
        RotationalVAE.paper(n_epochs=3)


@pytest.mark.parametrize("translation", [True, False])
@pytest.mark.parametrize("encoder", AMORTIZED)
def test_paper_has_the_published_number_of_weights(encoder, translation):
    """128 units, two layers in each network; two outputs for each unknown."""
    X, _, _ = make_patches(12)
    vae = RotationalVAE.paper(
        encoder=encoder, window_size=20, translation=translation, max_epochs=1
    ).fit(X)
    sizes = {name: value.size for name, value in vae.weights_.items()}
    n_encoder = sum(size for name, size in sizes.items() if "encoder" in name)
    n_decoder = sum(size for name, size in sizes.items() if "decoder" in name)
    n_outputs = 2 * 5
    if encoder == "dense":
        hidden = (400 + 1) * 128 + (128 + 1) * 128
        read_out = (128 + 1) * n_outputs
    else:
        hidden = (9 + 1) * 128 + (9 * 128 + 1) * 128
        read_out = (128 * 400 + 1) * n_outputs
    assert n_encoder == hidden + read_out
    assert n_decoder == 2 * 128 + 128 + 2 * 128 + 2 * (128 + 1) * 128 + 129
    assert vae.transform(X).shape == (12, 5 if translation else 3)


def test_coordinate_length_sets_the_first_layer():
    for length, factor in [(None, 1.0), (10.0, 1.0), (2.5, 4.0)]:
        first = CoordinateDecoder((20, 20), 2, 64, length=length)
        reference = CoordinateDecoder((20, 20), 2, 64, length=None)
        reference.load_state_dict(first.state_dict())
        first.initialize()
        np.testing.assert_allclose(
            first.coordinate.weight.detach(),
            factor * reference.coordinate.weight.detach(),
            rtol=1e-6,
        )


def test_a_fixed_noise_is_kept_in_units_of_X():
    X, _, _ = make_patches(60)
    for encoder in ("invariant", "dense"):
        vae = paper_model(encoder=encoder, noise_std=0.7).fit(X)
        assert vae.noise_std_ == pytest.approx(0.7, rel=1e-5)
    fitted = paper_model(encoder="dense", max_epochs=10).fit(X)
    assert fitted.noise_std_ < 0.7


def test_objective_of_fixed_noise_and_capacity():
    model = PatchModel((4, 5), 1, 2, 0.0, noise_std=0.5, kl_capacity=8.0)
    model.pixel_mean.fill_(0.0)
    model.pixel_scale.fill_(2.0)
    model.noise_variance.fill_((0.5 / 2.0) ** 2)
    model.progress = 0.25
    error, divergence = torch.tensor(0.3), torch.tensor(3.0)
    # half the error over the variance, and 30 a nat away from a quarter of 8
    expected = 0.5 * 0.3 / 0.0625 + 30 * (3 - 2) / 20
    assert model.objective(error, divergence).item() == pytest.approx(expected)
    # what is held out is judged by its bound
    model.eval()
    expected = 0.5 * 0.3 / 0.0625 + 3 / 20
    assert model.objective(error, divergence).item() == pytest.approx(expected)


@pytest.mark.parametrize("capacity", [2.0, 12.0])
def test_capacity_is_reached_at_the_end_of_the_training(capacity):
    X, _, _ = make_patches(240)
    vae = paper_model(
        encoder="dense",
        decoder="canonical",
        kl_capacity=capacity,
        n_hidden=32,
        max_epochs=30,
    ).fit(X)
    weights = {name: torch.tensor(value) for name, value in vae.weights_.items()}
    model = AmortizedModel((20, 20), 2, 32, 0.25, encoder="dense")
    model.load_state_dict(weights)
    with torch.no_grad():
        patches = model.standardize(torch.from_numpy(X.reshape(240, -1)))
        divergence = model.divergence(model.posterior(patches)).mean().item()
    assert divergence == pytest.approx(capacity, rel=0.15)
