"""Media: means along paths, layers that go on outside, the table of the South Pole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import media

HEIGHT = np.arange(0.0, 101.0, 10.0)
LENGTH = 20 + 15 * np.sin(HEIGHT / 13)


@pytest.fixture(scope="module")
def layers():
    return media.layered(HEIGHT, LENGTH, 4 * LENGTH, delay=500.0)


@pytest.mark.smoke
def test_paths_see_the_mean_of_the_layers(layers):
    rng = np.random.default_rng(0)
    start, end = rng.uniform(-10, 110, (2, 200))
    end = np.where(np.abs(end - start) < 3, start + 3, end)
    found = jax.jit(lambda a, b: media.coefficients(layers, a, b))(start, end)
    middle = (HEIGHT[1:] + HEIGHT[:-1]) / 2
    fine = np.linspace(start, end, 20_001)[:-1] + (end - start) / 40_000
    layer = np.clip(np.floor(fine / 10).astype(int), 0, 9)
    one = (1 / np.interp(middle, HEIGHT, LENGTH))[layer].mean(0)
    np.testing.assert_allclose(found[0], one, rtol=2e-4)
    np.testing.assert_allclose(found[1], one / 4, rtol=2e-4)


def test_there_and_back_is_the_same(layers):
    there = media.coefficients(layers, jnp.array([5.0, 80.0]), jnp.array([42.0, 11.0]))
    back = media.coefficients(layers, jnp.array([42.0, 11.0]), jnp.array([5.0, 80.0]))
    np.testing.assert_allclose(there, back, rtol=1e-6)


def test_level_paths_see_their_layer(layers):
    at = jnp.array([15.0, 55.0, -300.0, 400.0])
    found = media.coefficients(layers, at, at)[0]
    expected = 1 / np.interp([15.0, 55.0, 5.0, 95.0], HEIGHT, LENGTH)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_gradients_are_finite_and_those_of_the_mean(layers):
    def mean(a):
        return media.coefficients(layers, a, jnp.float32(33.0))[0]

    slope = jax.vmap(jax.grad(mean))(jnp.array([2.0, 33.0, 68.0, 150.0]))
    assert np.isfinite(slope).all()
    numeric = (mean(68.5) - mean(67.5)) / 1.0
    np.testing.assert_allclose(slope[2], numeric, rtol=0.02)


def test_edges_of_layers_are_no_edges(layers):
    """At heights that are nodes up to rounding, compiled with derivatives and without."""
    node = np.float32(layers.low + layers.step * np.arange(1, 20))
    start = jnp.asarray(np.concatenate([np.nextafter(node, sign * 9e9) for sign in (-1, 1)]))
    for down in (0.3, 18.8):
        both = [coefficients_and_slopes(layers, start, start - down * s) for s in (1, -1)]
        for plain, within, slope in both:
            np.testing.assert_allclose(within, plain, rtol=1e-3)
            assert (np.asarray(plain) > 0).all()
            assert np.isfinite(slope).all()


def coefficients_and_slopes(medium, start, end):
    plain = jax.jit(lambda a, b: jnp.stack(media.coefficients(medium, a, b)))(start, end)

    def one(a, b):
        found = jnp.stack(media.coefficients(medium, a, b))
        return found, found

    slope, within = jax.jit(jax.vmap(jax.jacfwd(one, has_aux=True)))(start, end)
    return plain, within.T, slope


@pytest.mark.parametrize("make", [media.mediterranean, media.pacific, media.south_china_sea])
def test_water_is_the_same_everywhere(make):
    water = make()
    z = jnp.linspace(-500, 500, 5)
    scattering, absorption = media.coefficients(water, z, z[::-1])
    assert np.ptp(scattering) == 0
    assert np.ptp(absorption) == 0
    assert 1 / absorption[0] < 1 / scattering[0]


def test_the_cherenkov_angle_of_ice():
    angle = np.degrees(np.arctan(media.tangent(media.south_pole())))
    assert angle == pytest.approx(np.degrees(np.arccos(1 / 1.32)), abs=1e-6)


def test_the_coarse_ice_is_near_the_table(hepjax_data):
    pytest.importorskip("pyarrow")
    path = hepjax_data / "neutrino/ice_properties/ice_transparency.parquet"
    real, coarse = media.south_pole(path), media.south_pole()
    z = jnp.linspace(-520, 520, 60)
    for found, expected in zip(
        media.coefficients(coarse, z - 20, z + 20), media.coefficients(real, z - 20, z + 20)
    ):
        ratio = np.log(np.asarray(found / expected))
        assert abs(ratio.mean()) < 0.1
        assert ratio.std() < 0.35
    assert z[np.argmax(media.coefficients(real, z - 5, z + 5)[0])] == pytest.approx(-95, abs=30)


def test_bad_media_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"absorption: -3.0, expected a positive number"):
        media.uniform(10.0, -3.0, delay=1.0)
    with pytest.raises(ValueError, match=r"height: expected two or more, ascending, found \[1.0"):
        media.layered([1.0, 1.0], [1.0, 1.0], [1.0, 1.0], delay=1.0)
    with pytest.raises(ValueError, match="scattering: expected 2 positive lengths"):
        media.layered([1.0, 2.0], [1.0, 0.0], [1.0, 1.0], delay=1.0)
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.table({"depth": [1.0, 2.0]}), tmp_path / "ice.parquet")
    with pytest.raises(ValueError, match="no column scattering_len, absorption_len, found depth"):
        media.south_pole(tmp_path / "ice.parquet")
