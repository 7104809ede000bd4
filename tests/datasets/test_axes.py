"""Roles of axes from their names and types, alone."""

import numpy as np
import pytest

from sklearn_ferroic.datasets._files.axes import (
    COLUMN,
    FRAME,
    ROW,
    SPECTRAL,
    Axis,
    arrange,
    find_layout,
    role_of,
    uniform_step,
)


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (ROW, ["y", "Y", "row", "Height", "y-axis", "y (nm)", "Y [µm]", "scan_y"]),
        (COLUMN, ["x", "X", "cols", "width", "x axis", "x (nm)", "[x]", "scan x"]),
        (FRAME, ["z", "t", "time", "Frame", "image series", "stack", "time (s)"]),
        (SPECTRAL, ["Energy", "energy-loss", "wavelength"]),
        (None, ["", "dim_0", "kx", "Rx", "a", "xy", None, 3]),
    ],
)
def test_names(role, names):
    assert [role_of(name) for name in names] == [role] * len(names)


def named(names, spatial=""):
    return [Axis(name, is_spatial=name in set(spatial)) for name in names]


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        (named("yx"), (0, 1)),
        (named("xy"), (1, 0)),
        (named("xyt"), (2, 1, 0)),
        (named("ytx"), (1, 0, 2)),
        # one name is enough
        (named("xb"), (1, 0)),
        (named("by"), (1, 0)),
        (named("xz"), (1, 0)),
        (named("txb"), (0, 2, 1)),
        # nothing is known of the image: the last two, or those that are no frames
        (named("ab"), (0, 1)),
        (named("abc"), (0, 1, 2)),
        (named("abt"), (2, 0, 1)),
        (named([None, None, None]), (0, 1, 2)),
        # the format knows which axes are the image
        (named("uva", spatial="uv"), (2, 0, 1)),
        (named("xuv", spatial="uv"), (0, 1, 2)),
        (named("xyuv", spatial="uv"), (0, 1, 2, 3)),
        (named("xyt", spatial="xy"), (2, 1, 0)),
        (named("zxy", spatial="xyz"), (0, 2, 1)),
    ],
)
def test_order(axes, order):
    assert find_layout(axes).order == order


def test_roles_of_the_format_come_before_names():
    axes = [Axis("x", role=ROW), Axis("y", role=COLUMN)]
    assert find_layout(axes).order == (0, 1)


def test_arranged_array_and_calibration():
    array = np.arange(24).reshape(2, 3, 4)
    axes = [Axis("x", 0.1, "nm"), Axis("y", 0.2, "Å"), Axis("time", 5.0, "s")]
    image, calibration = arrange(array, axes)
    np.testing.assert_array_equal(image, np.moveaxis(array, (2, 1, 0), (0, 1, 2)))
    assert calibration == ((0.2, "Å"), (0.1, "nm"))


def test_a_spectrum_at_each_pixel_is_no_stack():
    for axes in (named(["x", "y", "Energy"]), [Axis(role=SPECTRAL), *named("yx")]):
        with pytest.raises(ValueError, match="contains a spectrum at each pixel"):
            find_layout(axes)


@pytest.mark.parametrize(
    ("coordinates", "step"),
    [
        ([0, 0.2, 0.4], 0.2),
        ([3, 2, 1], -1.0),
        ([0, 1, 3], None),
        ([1.0], None),
        ([], None),
        (["a", "b"], None),
        ([[0, 1], [2, 3]], None),
        ([0.0, np.nan, 2.0], None),
        ([0, 0, 0], 0.0),
    ],
)
def test_step_of_uniform_coordinates(coordinates, step):
    found = uniform_step(coordinates)
    assert found is None if step is None else found == pytest.approx(step)
