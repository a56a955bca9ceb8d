"""The geometry of composites, on points and pictures of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from fsanalysis.composite.frame import Frame
from fsanalysis.composite.light import gain, photo_mask, to_linear, to_srgb
from fsanalysis.composite.similarity import mean_shape, moved, similarity
from fsanalysis.composite.thin_plate import GRID, ThinPlate, grid_of_similarity, is_folded, pixel_maps

RNG = np.random.default_rng(5)
TARGET = RNG.uniform(30, 170, (60, 2))
MOVE = np.array([[1.2, -0.3, 12.0], [0.3, 1.2, -7.0]])


def test_a_similarity_is_found_again() -> None:
    np.testing.assert_allclose(similarity(TARGET, moved(TARGET, MOVE)), MOVE, atol=1e-9)


@pytest.mark.parametrize("smoothing", [1e-2, 1e-1])
def test_a_spline_reproduces_affine_moves_whatever_its_smoothing(smoothing: float) -> None:
    affine = np.array([[1.1, 0.2, 5.0], [-0.1, 0.8, 9.0]])
    grid = ThinPlate(TARGET, 200, smoothing).grid_of(moved(TARGET, affine))
    np.testing.assert_allclose(grid, grid_of_similarity(affine, 200), atol=1e-6)
    assert not is_folded(grid)


def test_less_smoothing_follows_the_points_more_closely() -> None:
    source = TARGET + RNG.normal(0, 4, TARGET.shape)
    errors = []
    for smoothing in (1e-6, 1e-2, 1e-1):
        x, y = pixel_maps(ThinPlate(TARGET, 200, smoothing).grid_of(source), 200)
        at = np.round(TARGET - 0.5).astype(int)
        found = np.stack([x[at[:, 1], at[:, 0]], y[at[:, 1], at[:, 0]]], axis=1) + 0.5
        errors.append(float(np.abs(found - source).mean()))
    assert errors[0] < errors[1] < errors[2]


def test_a_map_that_turns_over_is_folded() -> None:
    assert is_folded(ThinPlate(TARGET, 200, 1e-4).grid_of(TARGET * [-1, 1]))
    swapped = TARGET.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert is_folded(ThinPlate(TARGET, 200, 1e-6).grid_of(swapped))


def test_pixels_lie_between_the_points_of_the_grid() -> None:
    x, y = pixel_maps(grid_of_similarity(np.array([[1.0, 0, 0], [0, 1, 0]]), 100), 100)
    np.testing.assert_allclose(x, np.broadcast_to(np.arange(100), (100, 100)), atol=1e-4)
    np.testing.assert_allclose(y, x.T, atol=1e-4)
    assert GRID < 100


def test_the_mean_shape_is_that_of_copies_moved_about() -> None:
    shapes = [moved(TARGET, MOVE * scale) for scale in (0.5, 1.0, 2.0)]
    found = mean_shape(shapes, 256, 0.5, (3, 8))
    np.testing.assert_allclose(moved(TARGET, similarity(TARGET, found)), found, atol=1e-6)
    assert found[:, 1].max() - found[:, 1].min() == pytest.approx(128)
    assert found[3, 1] == pytest.approx(found[8, 1])  # upright, though the first shape leans
    assert found[3, 0] < found[8, 0]


def test_light_goes_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(to_srgb(to_linear(values)), values)
    assert to_linear(np.full((1, 1, 3), 188, np.uint8))[0, 0, 0] == pytest.approx(0.5, abs=0.005)
    assert (gain(0.2, 0.1), gain(0.1, 0.9), gain(0.0, 0.2)) == (0.5, 3.0, 3.0)


def test_black_that_touches_the_edge_is_no_photo_and_black_within_is() -> None:
    image = np.full((100, 100, 3), 120, np.uint8)
    image[:30, :40] = 0
    image[50:60, 50:60] = 2
    mask = photo_mask(image)
    assert mask[:30, :40].sum() == 0
    assert mask[50:60, 50:60].all()
    assert mask[45, 70] == 1
    assert photo_mask(np.full((50, 50, 3), 200, np.uint8)).all()


def test_a_face_in_its_place_stays_there_and_black_padding_has_no_weight() -> None:
    # Points as they lie on a face, roughly: an oval full of them.
    angles, radii = RNG.uniform(0, 2 * np.pi, 468), np.sqrt(RNG.uniform(0, 1, 468))
    points = np.stack([112 + 60 * radii * np.cos(angles), 112 + 75 * radii * np.sin(angles)], axis=1)
    image = np.full((224, 224, 3), 150, np.uint8)
    image[:40] = 0
    frame = Frame([points], 128)
    aligned = frame.align(image, points)
    assert aligned.method == "spline"
    assert aligned.weight[64, 64] == 1
    assert aligned.weight[0, 64] == 0
    assert frame.oval[64, 64] == 1
    assert frame.oval[0, 0] == 0
    assert frame.luminance(aligned) == pytest.approx(float(to_linear(image)[200, 112, 0]), rel=1e-3)
