"""Cells cover the sphere, in the order in which the field numbers them."""

import numpy as np
import pytest

from hepjax import healpix, sphere
from hepjax.healpix import SkyMap

ORDERS = (0, 1, 2, 5, 12, 20, 29)
RNG = np.random.default_rng(0)


def some(order, n=3000):
    return RNG.integers(0, 12 << 2 * order, n)


def mixed():
    """The whole sphere: face 0 in cells of order 1, but its first one in order 2."""
    order = np.array([0] * 11 + [1] * 3 + [2] * 4)
    pixel = np.array([*range(1, 12), 1, 2, 3, 0, 1, 2, 3])
    density = np.ones(18)
    density[-1] = 30.0
    return SkyMap(order, pixel, density / (density * healpix.area(order)).sum())


@pytest.mark.smoke
@pytest.mark.parametrize("order", ORDERS)
def test_the_cell_of_a_centre_is_the_cell(order):
    pixel = some(order)
    centre = healpix.direction(order, pixel)
    np.testing.assert_allclose(np.linalg.norm(centre, axis=-1), 1)
    np.testing.assert_array_equal(healpix.pixel(order, centre), pixel)


@pytest.mark.parametrize("order", ORDERS)
def test_cells_are_those_of_astropy_healpix(order):
    other = pytest.importorskip("astropy_healpix").HEALPix(2**order, order="nested")
    units = pytest.importorskip("astropy.units")
    pixel = some(order)
    phi, latitude = (a.to_value("rad") for a in other.healpix_to_lonlat(pixel))
    across = np.cos(latitude)
    expected = [across * np.cos(phi), across * np.sin(phi), np.sin(latitude)]
    centre = healpix.direction(order, pixel)
    np.testing.assert_allclose(centre, np.stack(expected, -1), atol=3e-15)
    x, y, z = sphere.unit(RNG.normal(size=(3000, 3))).T
    points = np.arctan2(y, x) * units.rad, np.arctan2(z, np.hypot(x, y)) * units.rad
    found = healpix.pixel(order, np.stack([x, y, z], -1))
    np.testing.assert_array_equal(found, other.lonlat_to_healpix(*points))


def test_cells_of_an_order_have_equal_areas():
    points = sphere.unit(RNG.normal(size=(480_000, 3)))
    count = np.bincount(healpix.pixel(1, points), minlength=48)
    assert len(count) == 48
    assert np.abs(count / 10_000 - 1).max() < 0.05
    assert healpix.area(1) * 48 == pytest.approx(4 * np.pi)


def test_four_children_lie_in_their_parent():
    pixel = some(6)
    children = healpix.direction(7, 4 * pixel[:, None] + np.arange(4))
    np.testing.assert_array_equal(healpix.pixel(6, children), pixel[:, None].repeat(4, 1))


def test_poles_and_the_line_between_cap_and_belt():
    poles = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    found = healpix.pixel(29, poles) >> 58
    assert found[0] < 4
    assert found[1] >= 8
    z = np.array([2 / 3, np.nextafter(2 / 3, 0), np.nextafter(2 / 3, 1)])
    edge = np.stack([np.sqrt(1 - z**2), 0 * z, z], -1)
    centre = healpix.direction(20, healpix.pixel(20, edge))
    assert sphere.angle(centre, edge).max() < 2e-6


@pytest.mark.parametrize("order", ORDERS)
def test_uniq_there_and_back(order):
    pixel = np.append(some(order), [0, (12 << 2 * order) - 1])
    number = healpix.uniq(order, pixel)
    back = healpix.from_uniq(number)
    assert (back[0] == order).all()
    np.testing.assert_array_equal(back[1], pixel)
    assert healpix.uniq(0, 0) == 4


def test_a_map_of_many_sizes_has_one_cell_for_each_point():
    sky = healpix.check(mixed())
    points = sphere.unit(RNG.normal(size=(2000, 3)))
    cell = healpix.cell(sky, points)
    for order in (0, 1, 2):
        here = sky.order[cell] == order
        expected = healpix.pixel(order, points[here])
        np.testing.assert_array_equal(sky.pixel[cell][here], expected)
    centres = healpix.direction(sky.order, sky.pixel)
    np.testing.assert_array_equal(healpix.cell(sky, centres), np.arange(18))


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_equal_cells_keep_the_probability(order):
    sky = mixed()
    density = healpix.flat(sky, order)
    assert (density * healpix.area(order)).sum() == pytest.approx(1)
    assert (density > 0).all()
    if order >= 2:
        points = healpix.direction(order, np.arange(len(density)))
        np.testing.assert_allclose(density, sky.density[healpix.cell(sky, points)])


def test_regions_by_hand():
    sky = mixed()
    total = 47 + 30 + 12 * 12 - 4 * 12  # a cell of order 2 of the others weighs 1
    found = healpix.region(sky, [15 / (total + 48 - 4 * 3 + 9), 0.999999])
    cell = healpix.area(2) * healpix.DEG2
    peak = healpix.probability(sky)[-1]
    half = healpix.region(sky, peak / 2)
    assert half.area_deg2 == pytest.approx(cell / 2)
    assert half.density == sky.density[-1]
    assert found.area_deg2[1] == pytest.approx(41252.96, rel=1e-4)
    levels = healpix.levels(sky)
    assert levels[-1] == pytest.approx(peak / 2)
    assert levels.max() < 1


def overlapping():
    sky = mixed()
    return sky._replace(pixel=np.where(np.arange(18) == 0, 2, sky.pixel))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: healpix.direction(1, 48), "pixel: 48 of order 1"),
        (lambda: healpix.direction(30, 0), "order: 30 to 30"),
        (lambda: healpix.direction(1, 0.5), "expected integers"),
        (lambda: healpix.pixel(30, [0, 0, 1.0]), "order: 30"),
        (lambda: healpix.pixel(3, [0, 1.0]), "direction"),
        (lambda: healpix.pixel(3, [0, np.nan, 1.0]), "direction"),
        (lambda: healpix.from_uniq([3]), "uniq: 3"),
        (lambda: healpix.flat(mixed(), 14), "order: 14"),
        (lambda: healpix.region(mixed(), 1.0), "probability: 1.0"),
        (lambda: healpix.check(overlapping()), "sky: 18 cells overlap or leave gaps"),
        (lambda: healpix.check(SkyMap(*(a[:-1] for a in mixed()))), "17 cells overlap or leave"),
        (lambda: healpix.check(mixed()._replace(density=-np.ones(18))), "density -1.0 of cell 0"),
        (lambda: healpix.check(mixed()._replace(density=np.ones(3))), "densities"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
