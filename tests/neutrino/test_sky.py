"""Maps of densities whose areas are known, and rotations to the sky against astropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import healpix, sphere
from hepjax.flows import sphere as flow
from hepjax.flows import sphere_layers
from hepjax.neutrino import sky

RNG = np.random.default_rng(0)
MEANS = [np.array([0.0, 0.0, 1.0]), *sphere.unit(RNG.normal(size=(3, 3)))]


def fisher(mean, kappa):
    """Log-density of von Mises and Fisher by chords."""
    norm = np.log(kappa / (2 * np.pi)) - np.log(-np.expm1(-2 * kappa))
    return lambda n: norm - 2 * kappa * sphere.height(n, np.asarray(mean))


def fisher_area(kappa, p):
    """Area in square degrees of its region of probability p."""
    return -np.log1p(p * np.expm1(-2 * kappa)) / (2 * kappa) * 4 * np.pi * healpix.DEG2


@pytest.mark.smoke
@pytest.mark.parametrize("mean", MEANS, ids=lambda m: str(m.round(2)))
@pytest.mark.parametrize("kappa", [1e-3, 1.0, 30.0, 1e3, 1e6, 1e8])
def test_total_areas_and_number_of_cells(mean, kappa):
    found = sky.scan(fisher(mean, kappa))
    assert found.total == pytest.approx(1, abs=1e-4)
    healpix.check(found.sky)
    assert healpix.probability(found.sky).sum() == pytest.approx(1)
    areas = healpix.region(found.sky, [0.5, 0.9]).area_deg2
    np.testing.assert_allclose(areas, fisher_area(kappa, np.array([0.5, 0.9])), rtol=4e-3)
    assert found.n_evaluations <= 12_000
    assert healpix.probability(found.sky).max() < 1.1e-3
    assert len(found.sky.order) == 192 + (found.n_evaluations - 192) * 3 // 4


def test_a_jitted_float32_density_is_compiled_once():
    shapes = []

    @jax.jit
    def density(n):
        shapes.append(n.shape)
        mean = jnp.asarray(MEANS[1], jnp.float32)
        return jnp.log(1e6 / (2 * jnp.pi)) - 2e6 * sphere.height(n.astype(jnp.float32), mean)

    found = sky.scan(density)
    assert shapes == [(512, 3)]
    assert found.total == pytest.approx(1, abs=1e-3)
    area = healpix.region(found.sky, 0.9).area_deg2
    assert area == pytest.approx(fisher_area(1e6, 0.9), rel=1e-2)


def test_the_map_shows_where_it_came_from():
    """Straight down comes from the zenith, polar angle 0."""
    found = sky.scan(fisher([0.0, 0.0, -1.0], 1e4))
    peak = int(found.sky.density.argmax())
    centre = healpix.direction(found.sky.order[peak], found.sky.pixel[peak])
    assert centre[2] > 0.999
    zenith, azimuth = 1.1, 4.0
    found = sky.scan(fisher(sphere.direction(np.array(zenith), np.array(azimuth)), 1e6))
    peak = int(found.sky.density.argmax())
    x, y, z = healpix.direction(found.sky.order[peak], found.sky.pixel[peak])
    assert np.arctan2(np.hypot(x, y), z) == pytest.approx(zenith, abs=1e-3)
    assert np.arctan2(y, x) % (2 * np.pi) == pytest.approx(azimuth, abs=1e-3)


def test_the_level_of_the_truth_is_that_of_the_density():
    kappa = 1e5
    found = sky.scan(fisher(MEANS[1], kappa))
    x, _ = (np.asarray(a) for a in sphere.tangents(MEANS[1]))
    turn = np.array([0.0, 0.5, 1.0, 2.0, 4.0]) / np.sqrt(kappa)
    points = np.cos(turn)[:, None] * MEANS[1] + np.sin(turn)[:, None] * x
    expected = -np.expm1(-2 * kappa * sphere.height(points, MEANS[1]))
    levels = sky.credible_level(found.sky, points)
    np.testing.assert_allclose(levels, expected, atol=0.02)  # cells are 0.1 sigma wide
    assert sky.credible_level(found.sky, -MEANS[1]) > 0.9999


def two_peaks(share):
    first, second = fisher(MEANS[1], 1e6), fisher(MEANS[2], 1e6)
    return lambda n: np.logaddexp(np.log1p(-share) + first(n), np.log(share) + second(n))


def test_a_small_narrow_peak_is_found_by_samples(fisher):
    share = 0.02
    rng = np.random.default_rng(1)
    means = np.where(np.arange(1000)[:, None] < 1000 * share, MEANS[2], MEANS[1])
    samples = fisher(rng, means, 1e6)
    found = sky.scan(two_peaks(share), samples=samples)
    assert found.total == pytest.approx(1, abs=1e-4)
    near = sphere.angle(healpix.direction(found.sky.order, found.sky.pixel), -MEANS[2]) < 0.01
    assert healpix.probability(found.sky)[near].sum() == pytest.approx(share, rel=0.02)


def test_a_density_up_to_a_constant_gives_the_same_map():
    found = [sky.scan(lambda n, c=c: fisher(MEANS[1], 500.0)(n) + c) for c in (0.0, 200.0, -900.0)]
    for other in found[1:]:
        np.testing.assert_array_equal(other.sky.pixel, found[0].sky.pixel)
        np.testing.assert_allclose(other.sky.density, found[0].sky.density, rtol=1e-9, atol=1e-30)
    assert np.log(found[1].total) == pytest.approx(200)


def test_a_rotation_turns_the_map():
    turn = sky._onto(MEANS[1], MEANS[2])
    found = sky.scan(fisher(MEANS[1], 1e4), rotation=turn)
    other = sky.scan(fisher(MEANS[2], 1e4))
    points = -sphere.unit(MEANS[2] + 0.02 * RNG.normal(size=(200, 3)))
    a, b = (m.sky.density[healpix.cell(m.sky, points)] for m in (found, other))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    assert sky.credible_level(found.sky, MEANS[1], turn) < 0.01


def test_finer_settings_give_finer_maps():
    fine = sky.scan(fisher(MEANS[1], 1e3), sky.Settings(probability=2e-4))
    assert healpix.probability(fine.sky).max() < 2.1e-4
    rough = sky.scan(fisher(MEANS[1], 1e6), sky.Settings(max_order=6))
    assert rough.sky.order.max() == 6


@pytest.mark.parametrize("bearing", [90.0, 30.0])
def test_equatorial_is_what_astropy_says_for_a_direction(bearing):
    coordinates = pytest.importorskip("astropy.coordinates")
    time_of = pytest.importorskip("astropy.time").Time
    zenith, azimuth, place = 1.2, 0.7, (15.37, 36.3)
    travel = sphere.direction(np.array(zenith), np.array(azimuth))
    there = coordinates.AltAz(
        az=(bearing - np.degrees(azimuth)) * coordinates.Angle("1d"),
        alt=(90 - np.degrees(zenith)) * coordinates.Angle("1d"),
        obstime=time_of("2024-05-01T12:00:00"),
        location=coordinates.EarthLocation.from_geodetic(*place),
    )
    expected = coordinates.SkyCoord(there).icrs.cartesian.xyz.value
    options = {"bearing": bearing}
    whole = sky.equatorial("2024-05-01T12:00:00", *place, **options)
    np.testing.assert_allclose(whole @ whole.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(whole) == pytest.approx(1)
    assert np.degrees(sphere.angle(whole @ -travel, expected)) < 0.01
    exact = sky.equatorial("2024-05-01T12:00:00", *place, direction=travel, **options)
    assert np.degrees(sphere.angle(exact @ -travel, expected)) < 1e-9
    assert np.degrees(sphere.angle(exact @ travel, whole @ travel)) < 0.01


def test_the_zenith_of_the_pole_is_the_pole():
    pytest.importorskip("astropy")
    turn = sky.equatorial("2026-01-01", 0.0, -90.0)
    assert np.degrees(sphere.angle(turn @ [0.0, 0, 1], np.array([0.0, 0, -1]))) < 0.2  # precession


UP = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sky.scan(lambda n: np.full(len(n), np.nan)), "log_density: nan at"),
        (lambda: sky.scan(lambda n: np.full(len(n), np.inf)), "log_density: inf at"),
        (lambda: sky.scan(lambda n: np.full(len(n), -np.inf)), "-inf everywhere"),
        (lambda: sky.scan(lambda n: n), r"log_density: shape \(512, 3\)"),
        (lambda: sky.scan(lambda n: n[:, 0], rotation=2 * np.eye(3)), "rotation"),
        (lambda: sky.scan(lambda n: n[:, 0], samples=np.ones((4, 3))), "samples"),
        (lambda: sky.scan(lambda n: n[:, 0], sky.Settings(max_order=30)), "max_order 30"),
        (lambda: sky.equatorial("2026-01-01", 0.0, 91.0), "latitude: 0.0, 91.0"),
        (lambda: sky.credible_level(sky.scan(lambda n: n[:, 0]).sky, 2 * UP), "direction"),
    ],
)
def test_bad_input_is_named(call, message):
    if "latitude" in message:
        pytest.importorskip("astropy")
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("n_layers", "kappa"), [(4, 10.0), (6, 1e6)])
def test_a_flow_of_the_sphere_has_a_total_of_one(n_layers, kappa):
    plan = flow.Plan(n_layers)
    params = np.random.default_rng(3).normal(scale=0.2, size=flow.size(plan)).astype(np.float32)
    params[4] = np.log(kappa) - sphere_layers.START
    density = jax.jit(lambda n: flow.log_prob(plan, params, n.astype(jnp.float32)))
    found = sky.scan(density)
    assert found.total == pytest.approx(1, abs=3e-4)
    samples, log_prob = flow.sample(jax.random.key(0), plan, params, 2000)
    limit = healpix.region(found.sky, 0.9).density
    assert np.mean(np.exp(np.asarray(log_prob)) > limit) == pytest.approx(0.9, abs=0.03)
    inside = sky.credible_level(found.sky, np.asarray(samples)) < 0.5
    assert inside.mean() == pytest.approx(0.5, abs=0.05)
