import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic.metrics import angular_error
from tests.decomposition._cells import NOISE, SIDE, make_patches


@pytest.fixture(scope="module")
def patches():
    return make_patches()


@pytest.fixture(scope="module")
def vae(patches):
    return RotationalVAE(random_state=0).fit(patches[0])


@pytest.mark.parametrize("seed", range(5))
def test_angle_is_found_from_every_seed(seed, patches):
    X, angle, bright = patches
    vae = RotationalVAE(max_epochs=6, random_state=seed)
    found = vae.fit_transform(X)
    error = np.degrees(np.abs(angular_error(angle, found[:, 0], register=True)))
    assert error.max() < 10
    assert np.median(error) < 1.5
    # the latents tell the chemistry, and no offset is needed
    latents = found[:, 3:]
    direction = latents[bright > 0.5].mean(axis=0) - latents[bright < 0.5].mean(axis=0)
    score = latents @ direction
    middle = (score[bright > 0.5].mean() + score[bright < 0.5].mean()) / 2
    assert np.mean((score > middle) == (bright > 0.5)) > 0.98
    assert np.abs(found[:, 1:3]).mean() < 0.15


def test_columns_and_ranges(vae, patches):
    found = vae.transform(patches[0])
    assert found.dtype == np.float32
    assert found.shape == (240, 5)
    assert list(vae.get_feature_names_out()) == [
        "angle",
        "offset_row",
        "offset_col",
        "latent0",
        "latent1",
    ]
    assert found[:, 0].min() >= -np.pi
    assert found[:, 0].max() < np.pi
    assert vae.n_features_in_ == SIDE**2
    assert vae.patch_shape_ == (SIDE, SIDE)
    assert vae.n_iter_ == len(vae.loss_curve_) == 20
    assert vae.loss_curve_[-1] < vae.loss_curve_[0]
    assert vae.noise_std_ == pytest.approx(NOISE, rel=0.1)


def test_without_translation():
    X, _, _ = make_patches(60)
    vae = RotationalVAE(latent_dim=3, translation=False, max_epochs=2, random_state=0)
    found = vae.fit_transform(X)
    assert found.shape == (60, 4)
    assert list(vae.get_feature_names_out()) == [
        "angle",
        "latent0",
        "latent1",
        "latent2",
    ]
    assert vae.inverse_transform(found).shape == (60, SIDE**2)


def test_rot90_turns_the_angle_by_minus_a_quarter(vae, patches):
    X = patches[0]
    before = vae.transform(X)
    after = vae.transform(np.rot90(X, 1, axes=(1, 2)))
    step = np.angle(np.exp(1j * (after[:, 0] - before[:, 0])))
    np.testing.assert_allclose(step, -np.pi / 2, atol=1e-3)
    # the latents stay, the offset turns with the patch
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-3)
    np.testing.assert_allclose(after[:, 1], -before[:, 2], atol=2e-3)
    np.testing.assert_allclose(after[:, 2], before[:, 1], atol=2e-3)


@pytest.mark.parametrize("turn", [0.3, -1.1, 2.9])
def test_any_turn_moves_the_angle_by_itself(vae, turn):
    angle = np.random.RandomState(3).uniform(-np.pi, np.pi, 60)
    first, _, _ = make_patches(60, seed=5, angle=angle)
    second, _, _ = make_patches(60, seed=5, angle=angle + turn)
    moved = angular_error(vae.transform(first)[:, 0], vae.transform(second)[:, 0])
    np.testing.assert_allclose(np.exp(1j * moved), np.exp(1j * turn), atol=0.08)


def test_offset_is_the_shift_in_pixels(vae):
    shift = np.random.RandomState(4).uniform(-0.5, 0.5, (200, 2))
    X, _, _ = make_patches(200, seed=6, shift=shift)
    found = vae.transform(X)[:, 1:3]
    for axis in range(2):
        slope, _ = np.polyfit(shift[:, axis], found[:, axis], 1)
        assert slope == pytest.approx(1, abs=0.15)
    assert np.abs(found - found.mean(axis=0) - shift).mean() < 0.1


def test_widths(vae, patches):
    found, std = vae.transform_with_std(patches[0])
    np.testing.assert_array_equal(found, vae.transform(patches[0]))
    assert std.shape == found.shape
    assert (std > 0).all()
    assert np.degrees(std[:, 0]).max() < 5
    assert std[:, 1:3].max() < vae.offset_scale
    assert std[:, 3:].max() < 1


def test_inverse_transform_draws_the_patches_as_posed(vae, patches):
    X = patches[0].reshape(len(patches[0]), -1)
    drawn = vae.inverse_transform(vae.transform(X))
    assert drawn.shape == X.shape
    residual = (X - drawn).std()
    assert residual == pytest.approx(NOISE, rel=0.12)
    # a wrong pose does not
    columns = vae.transform(X)
    columns[:, 0] += np.pi / 2
    assert (X - vae.inverse_transform(columns)).std() > 2 * NOISE


def test_decode_gives_the_canonical_pose(vae):
    latents = np.array([[0.0, 0.0], [1.0, -1.0]])
    canonical = vae.decode(latents)
    assert canonical.shape == (2, SIDE, SIDE)
    columns = np.column_stack([np.zeros((2, 3)), latents])
    np.testing.assert_allclose(
        canonical.reshape(2, -1), vae.inverse_transform(columns), atol=1e-6
    )
    columns[:, 0] = -np.pi / 2
    turned = vae.inverse_transform(columns).reshape(2, SIDE, SIDE)
    np.testing.assert_allclose(turned, np.rot90(canonical, 1, axes=(1, 2)), atol=1e-5)


def test_score_is_close_to_the_entropy_of_the_noise(vae, patches):
    held_out, _, _ = make_patches(100, seed=9)
    entropy = -0.5 * np.log(2 * np.pi * np.e * NOISE**2)
    # the latents, the pose and the fit's imperfection cost something
    assert entropy - 0.15 < vae.score(held_out) < entropy
    samples = vae.score_samples(held_out)
    assert samples.shape == (100,)
    assert vae.score(held_out) == pytest.approx(samples.mean())
    foreign = np.random.RandomState(0).permutation(held_out.reshape(100, -1).T).T
    assert vae.score(foreign) < vae.score(held_out) - 1


def test_score_does_not_change_with_the_unit_of_intensity_but_by_its_jacobian():
    X, _, _ = make_patches(80)
    first = RotationalVAE(max_epochs=2, random_state=0).fit(X)
    second = RotationalVAE(max_epochs=2, random_state=0).fit(10 * X)
    assert second.score(10 * X) == pytest.approx(first.score(X) - np.log(10), abs=1e-3)


def test_more_latents_do_not_make_the_score_incomparable(patches):
    held_out, _, _ = make_patches(100, seed=9)
    scores = [
        RotationalVAE(latent_dim=dim, max_epochs=8, random_state=0)
        .fit(patches[0])
        .score(held_out)
        for dim in (1, 2, 4)
    ]
    assert np.ptp(scores) < 0.05


def test_rows_stacks_and_patch_shapes():
    X, _, _ = make_patches(40)
    stack = RotationalVAE(max_epochs=1, random_state=0).fit(X)
    rows = RotationalVAE(max_epochs=1, random_state=0).fit(X.reshape(40, -1))
    np.testing.assert_array_equal(stack.transform(X), rows.transform(X))
    oblong = RotationalVAE(max_epochs=1, random_state=0, patch_shape=(16, 25))
    oblong.fit(X.reshape(40, -1))
    assert oblong.patch_shape_ == (16, 25)
    assert oblong.decode(np.zeros((1, 2))).shape == (1, 16, 25)


def test_same_seed_same_bits_and_global_generators_untouched():
    X, _, _ = make_patches(60)
    numpy_state, torch_state = np.random.get_state()[1], torch.get_rng_state()
    first = RotationalVAE(max_epochs=2, random_state=7).fit(X)
    second = RotationalVAE(max_epochs=2, random_state=7).fit(X)
    other = RotationalVAE(max_epochs=2, random_state=8).fit(X)
    first.score(X)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert not np.array_equal(first.transform(X), other.transform(X))
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_threads_are_left_alone():
    X, _, _ = make_patches(20)
    threads = torch.get_num_threads()
    RotationalVAE(max_epochs=1, random_state=0).fit_transform(X)
    assert torch.get_num_threads() == threads


def test_pickles_hold_plain_arrays(vae, patches, tmp_path):
    assert all(type(value) is np.ndarray for value in vae.weights_.values())
    assert b"torch" not in pickle.dumps(vae)
    joblib.dump(vae, tmp_path / "vae.joblib")
    loaded = joblib.load(tmp_path / "vae.joblib", mmap_mode="r")
    X = patches[0][:20]
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    assert not hasattr(clone(loaded), "weights_")


def test_warm_start_goes_on(patches):
    X = patches[0]
    vae = RotationalVAE(max_epochs=2, warm_start=True, random_state=0).fit(X)
    first = vae.loss_curve_[-1]
    assert vae.fit(X).loss_curve_[-1] < first
    vae.set_params(latent_dim=3)
    with pytest.raises(ValueError, match="cannot continue with latent_dim=3"):
        vae.fit(X)
    assert vae.set_params(warm_start=False).fit(X).transform(X).shape[1] == 6


def test_partial_fit_learns_from_batches(patches):
    X, angle, _ = patches
    vae = RotationalVAE(random_state=0, max_epochs=6)
    for _ in range(6):
        for part in (X[:120], X[120:]):
            vae.partial_fit(part)
    assert vae.n_iter_ == len(vae.loss_curve_) == 12
    error = angular_error(angle, vae.transform(X)[:, 0], register=True)
    assert np.degrees(np.abs(error)).max() < 10
    with pytest.raises(ValueError, match="features"):
        vae.partial_fit(X.reshape(len(X), -1)[:, :-1])


def test_read_only_memory_map(patches, tmp_path):
    rows = patches[0].reshape(len(patches[0]), -1)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    vae = RotationalVAE(max_epochs=1, random_state=0)
    np.testing.assert_array_equal(
        vae.fit_transform(mapped), clone(vae).fit_transform(rows)
    )


def test_an_interrupt_is_passed_on_and_leaves_the_estimator_as_it_was(
    monkeypatch, patches
):
    from sklearn_ferroic.decomposition._rvae.invariant_model import PosedImageModel

    X = patches[0]
    fitted = RotationalVAE(max_epochs=1, random_state=0).fit(X)
    before = fitted.transform(X)

    def interrupted(self, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(PosedImageModel, "forward", interrupted)
    fresh = RotationalVAE(max_epochs=1)
    for vae in (fresh, fitted):
        with pytest.raises(KeyboardInterrupt):
            vae.fit(X[:, :16, :16])
    with pytest.raises(NotFittedError):
        fresh.transform(X)
    assert not hasattr(fresh, "n_features_in_")
    np.testing.assert_array_equal(fitted.transform(X), before)


def test_a_refused_fit_leaves_the_estimator_as_it_was(patches):
    X = patches[0]
    vae = RotationalVAE(max_epochs=1, random_state=0).fit(X)
    before = vae.transform(X)
    vae.set_params(patch_shape=(3, 3))
    with pytest.raises(ValueError, match="does not match"):
        vae.fit(X.reshape(len(X), -1)[:, :100])
    np.testing.assert_array_equal(vae.transform(X), before)


def test_parameters_set_after_the_fit_do_not_change_its_results(patches):
    X = patches[0][:20]
    vae = RotationalVAE(max_epochs=1, random_state=0).fit(X)
    before = vae.transform(X)
    vae.set_params(latent_dim=5, translation=False, n_hidden=8, offset_scale=9.0)
    np.testing.assert_array_equal(vae.transform(X), before)
    assert len(vae.get_feature_names_out()) == 5
    assert vae.inverse_transform(before).shape == (20, SIDE**2)


def test_threads_do_not_share_random_numbers():
    X, _, _ = make_patches(80)

    def fit_and_transform(_):
        return RotationalVAE(max_epochs=2, random_state=0).fit_transform(X)

    with joblib.parallel_config("threading", n_jobs=4):
        results = joblib.Parallel()(
            joblib.delayed(fit_and_transform)(i) for i in range(4)
        )
    for result in results:
        np.testing.assert_allclose(result, fit_and_transform(0), atol=1e-3)


@pytest.mark.filterwarnings("ignore:RotationalVAE is trained on 4 windows")
def test_patches_wider_than_the_table_of_angles():
    X = np.random.RandomState(0).rand(4, 260, 260)
    found = RotationalVAE(max_epochs=1, n_hidden=4, random_state=0).fit_transform(X)
    assert np.isfinite(found).all()


def test_score_integrates_over_the_rotations():
    """Against the sum over turns on the pixels, for cells with four good ones."""
    X = make_patches(40, polar=0.0)[0].astype(np.float64)
    vae = RotationalVAE(random_state=0).fit(make_patches(240, seed=1, polar=0.0)[0])
    model = vae._load_model_for_inference()
    model.offset_is_free = False
    with torch.no_grad():
        patches = model.standardize(torch.from_numpy(X.reshape(40, -1)))
        latents = model.encode(patches)[0]
        found = model.log_evidence(patches, latents)
        table = []
        variance = model.noise_variance
        for turn in 2 * np.pi * np.arange(512) / 512:
            angle = torch.full((40,), turn, dtype=torch.float64)
            drawn = model.reconstruct(latents, angle, torch.zeros(40, 2).double())
            table.append(-0.5 * ((patches.flatten(1) - drawn) ** 2).sum(1) / variance)
        direct = torch.stack(table).logsumexp(0) - np.log(512)
        direct -= 0.5 * SIDE**2 * torch.log(2 * np.pi * variance)
    np.testing.assert_allclose(found / SIDE**2, direct / SIDE**2, atol=0.005)


@pytest.mark.parametrize("seed", range(3))
def test_a_brightness_gradient_does_not_take_over_the_angle(seed):
    """As beside an interface, for a sixth of the cells."""
    X, truth, _ = make_patches(480, seed=seed, polar=0.5)
    X[:80] += 0.2 * np.linspace(-1, 1, SIDE, dtype=np.float32)[:, None]
    angle = RotationalVAE(random_state=seed).fit_transform(X)[:, 0]
    error = np.abs(angular_error(truth, angle, register=True))
    assert (error < np.pi / 4).mean() >= 0.99


@pytest.mark.parametrize("seed", range(3))
def test_four_fold_cells_have_the_angle_of_their_lattice(seed):
    angle = np.random.RandomState(seed).uniform(-np.pi, np.pi, 240)
    X, truth, _ = make_patches(240, seed=seed, polar=0.0, angle=angle)
    columns, widths = RotationalVAE(random_state=seed).fit(X).transform_with_std(X)
    error = angular_error(truth, columns[:, 0], n_fold=4, register=True)
    assert np.degrees(np.median(np.abs(error))) < 3
    # which of the four turns it is, the posterior does not claim to know
    assert np.degrees(np.median(widths[:, 0])) > 30


def test_constant_patches_do_not_break_the_fit():
    X = np.ones((10, 8, 8))
    vae = RotationalVAE(max_epochs=1, random_state=0).fit(X)
    assert np.isfinite(vae.transform(X)).all()
    assert np.isfinite(vae.score(X))


@pytest.mark.parametrize(
    ("parameters", "shape", "message"),
    [
        ({}, (1, 400), r"1 sample\(s\)"),
        ({"latent_dim": 0}, (9, 400), "latent_dim"),
        ({"offset_scale": 0.0}, (9, 400), "offset_scale"),
        ({"patch_shape": (3, 3)}, (9, 400), "does not match the 400 features"),
        ({"patch_shape": (3, 3)}, (9, 20, 20), "X has patches of shape"),
        ({"device": "abacus"}, (9, 400), "cannot be used here"),
        ({}, (0, 20, 20), r"0 sample\(s\)"),
    ],
)
def test_refusals_at_fit(parameters, shape, message):
    vae = RotationalVAE(max_epochs=1).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        vae.fit(np.random.RandomState(0).rand(*shape))


def test_refusals_after_fit(vae):
    with pytest.raises(ValueError, match="patches of shape"):
        vae.transform(np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="features"):
        vae.transform(np.zeros((3, 64)))
    with pytest.raises(ValueError, match="Expected 5 columns, as transform returns"):
        vae.inverse_transform(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="Expected 2 columns, as latent_dim requires"):
        vae.decode(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="NaN"):
        vae.decode(np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        vae.transform(np.full((1, SIDE**2), np.nan))
    for method in ("transform", "inverse_transform", "decode", "score"):
        with pytest.raises(NotFittedError):
            getattr(RotationalVAE(), method)(np.zeros((3, 2)))
