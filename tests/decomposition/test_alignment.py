import numpy as np
import pytest
import torch

from sklearn_ferroic.decomposition._pose.alignment import align


@pytest.mark.parametrize("seed", range(3))
def test_turns_of_noisy_copies_are_found(seed):
    rng = np.random.RandomState(seed)
    angles = 2 * np.pi * np.arange(64) / 64
    profile = sum(rng.randn() * np.cos(k * angles + rng.rand()) for k in range(1, 7))
    turns = rng.randint(64, size=200)
    rings = np.stack([np.roll(profile, turn) for turn in turns])[:, None]
    gain = rng.uniform(0.5, 2, (200, 1, 1))
    rings = gain * (rings + rng.randn(200, 1, 64) * rings.std() / 3) + rng.rand()
    found = align(torch.from_numpy(rings), torch.ones(1), n_starts=2, n_iterations=10)
    error = np.angle(np.exp(1j * (found.numpy() - 2 * np.pi * turns / 64)))
    error = np.angle(np.exp(1j * (error - np.median(error))))
    assert np.degrees(np.abs(error)).max() < 6
