"""Tables of several images joined with pandas."""

import copy
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic.domains import cell_table, find_domains, find_walls
from sklearn_ferroic.inspection import CellMapDisplay
from tests.domains._scenes import grid, tanh_wall


def tables(seed):
    sites, labels = tanh_wall(seed)
    return {
        "walls": find_walls(sites, labels),
        "domains": find_domains(sites, labels),
    }


@pytest.mark.parametrize("name", ["walls", "domains"])
def test_tables_can_be_joined(name):
    first, second = tables(0)[name], tables(1)[name]
    joined = pd.concat([first, second], ignore_index=True)
    assert len(joined) == len(first) + len(second)
    assert joined.attrs == {}
    merged = first.merge(second, on="frame")
    assert len(merged) == len(first) * len(second)
    parts = pd.concat([first[:1], first[1:]])
    assert parts.attrs == first.attrs
    assert parts.attrs["domain"] is first.attrs["domain"]
    pd.testing.assert_frame_equal(first, tables(0)[name], check_flags=False)


def test_numbers_of_sites_are_an_array():
    sites, labels = tanh_wall(0)
    domains = find_domains(sites, labels)
    number = domains.attrs["domain"]
    assert number.shape == (900,)
    on_first = number == 0
    assert type(on_first) is np.ndarray
    assert on_first.sum() == domains.n_cells[0]
    assert type(number[on_first]) is np.ndarray
    assert type(number + 1) is np.ndarray
    assert int(number.max()) == 1
    np.testing.assert_array_equal(np.bincount(number), domains.n_cells)
    with pytest.raises(ValueError, match="read-only"):
        number[0] = 5
    assert copy.deepcopy(number) is number
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(number)), number)
    assert cell_table(sites, domains=domains).domain.tolist() == number.tolist()


def test_rows_that_lost_their_index_are_refused():
    index = np.indices((20, 30)).reshape(2, -1).T
    sites = grid((20, 30))
    labels = np.array([0, 1, 0])[np.searchsorted([8, 20], index[:, 1], side="right")]
    vectors = np.where(labels[:, None], 1.0, -1.0) * [1, 0]
    vectors += np.random.default_rng(0).normal(0, 0.1, vectors.shape)
    domains = find_domains(sites, labels, vectors=vectors)
    walls = find_walls(sites, labels, vectors)
    assert len(domains) == 3
    assert len(walls) == 2
    by_place = domains.sort_values("col", ascending=False)
    numbers = cell_table(sites, domains=by_place).domain
    np.testing.assert_array_equal(numbers, domains.attrs["domain"])
    with pytest.raises(ValueError, match="keep it when rows are sorted"):
        cell_table(sites, domains=by_place.reset_index(drop=True))
    by_place = walls.sort_values("col", ascending=walls.col[0] > walls.col[1])
    CellMapDisplay.from_sites(sites, vectors[:, 0], walls=by_place)
    with pytest.raises(ValueError, match="keep the index of find_walls"):
        CellMapDisplay.from_sites(
            sites, vectors[:, 0], walls=by_place.reset_index(drop=True)
        )
    plt.close("all")
