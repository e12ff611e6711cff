"""Posteriors on the sky: contours where the density says, truth and areas in their place."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepjax import healpix, plot, sphere
from hepjax.healpix import SkyMap
from hepjax.plot import sky as sky_plot


def peaked(centre, kappa=400.0, order=6):
    """Equal cells of a von Mises-Fisher density around a point of the sky."""
    pixel = np.arange(12 << 2 * order)
    height = sphere.height(healpix.direction(order, pixel), centre)
    density = np.exp(-2 * kappa * height)
    return SkyMap(np.full(len(pixel), order), pixel, density / density.sum() / healpix.area(order))


POINT = sphere.unit(np.array([0.5, -0.7, 0.4]))
SKY = peaked(POINT)


@pytest.fixture
def globe():
    return Figure().add_subplot(projection="mollweide")


def lines(ax):
    """Vertices of all contours, one array each."""
    return [
        c.get_paths()[0].vertices for c in ax.collections if c.get_paths() and c.get_linewidth()
    ]


@pytest.mark.smoke
def test_the_centre_is_the_peak():
    assert np.degrees(sphere.angle(sky_plot.centre(SKY), POINT)) < 0.2
    opposite = SKY._replace(density=(SKY.density + peaked(-POINT).density) / 2)
    near = sphere.angle(sky_plot.centre(opposite), POINT)
    assert min(near, np.pi - near) < 0.03


def test_zoomed_contours_are_at_their_radii(ax, legend):
    """Circles of kappa theta^2 / 2 = -log(1 - p), in degrees."""
    plot.zoomed(ax, SKY)
    radii = [np.hypot(*v.T) for v in lines(ax)[-2:]]
    expected = np.degrees(np.sqrt(-2 * np.log([0.5, 0.1]) / 400))
    for found, radius in zip(radii, expected):
        assert np.median(found) == pytest.approx(radius, rel=0.1)
    areas = healpix.region(SKY, [0.5, 0.9]).area_deg2
    assert legend(ax) == [f"{p} %: {a:.3g} deg²" for p, a in zip((50, 90), areas)]
    left, right = ax.get_xlim()
    assert left > right  # east is to the left
    assert "[deg]" in ax.get_xlabel()


def test_truth_and_samples_stand_at_their_angles(ax, legend):
    east = np.array([-POINT[1], POINT[0], 0]) / np.hypot(*POINT[:2])
    north = np.cross(POINT, east)
    turn = np.radians(3.0)
    points = [np.cos(turn) * POINT + np.sin(turn) * axis for axis in (east, north)]
    plot.zoomed(ax, SKY, truth=points[0], samples=np.stack(points), radius_deg=8)
    dots, star = (line.get_xydata() for line in ax.lines)
    np.testing.assert_allclose(star, [[3, 0]], atol=0.2)
    np.testing.assert_allclose(dots, [[3, 0], [0, 3]], atol=0.2)
    assert legend(ax)[2:] == ["Samples (2)", "Truth"]
    assert ax.get_ylim() == (-8, 8)


def test_angles_there_and_back():
    rng = np.random.default_rng(0)
    points = sphere.unit(rng.normal(size=(100, 3)))
    east, north = sky_plot._axes(POINT)
    flat = sky_plot._flat(points, POINT, east, north)
    np.testing.assert_allclose(
        np.hypot(*flat.T), np.degrees(sphere.angle(points, POINT)), rtol=1e-12
    )
    np.testing.assert_allclose(sky_plot._sphere(*flat.T, POINT, east, north), points, atol=1e-12)


def test_the_whole_sky_has_truth_at_its_longitude(globe, legend):
    plot.all_sky(globe, SKY, truth=POINT, n_pixels=120)
    middle, star = (line.get_xydata()[0] for line in globe.lines)
    expected = [-np.arctan2(POINT[1], POINT[0]), np.arcsin(POINT[2])]
    np.testing.assert_allclose(star, expected, atol=1e-12)
    np.testing.assert_allclose(middle, expected, atol=5e-3)
    assert legend(globe)[2:] == ["Middle of the posterior", "Truth"]
    assert globe.get_xticklabels()[0].get_text() == "150°"


def test_a_flat_map_has_no_contour(ax, globe):
    flat = SkyMap(np.zeros(12, int), np.arange(12), np.full(12, 0.25 / np.pi))
    plot.zoomed(ax, flat, n_pixels=31)
    plot.all_sky(globe, flat, n_pixels=30)
    assert len(ax.collections) == len(globe.collections) == 1


def test_another_projection_is_named(ax):
    with pytest.raises(ValueError, match="projection 'rectilinear', expected mollweide"):
        plot.all_sky(ax, SKY)


def test_files_are_written(tmp_path, globe):
    with plot.figure(tmp_path / "zoom") as ax:
        plot.zoomed(ax, SKY, truth=POINT, n_pixels=41)
        plot.sample(ax, "One Fisher peak")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["zoom.pdf", "zoom.png"]
