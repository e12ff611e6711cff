"""Detectors: the published numbers, and the public tables of the real ones."""

import numpy as np
import pytest

from hepjax.neutrino import detectors

TABLE = "neutrino/geometry_tables"


def neighbours(detector):
    """Distance of each string to the nearest other one [string], m."""
    of = [detector.position[detector.string == k, :2].mean(0) for k in np.unique(detector.string)]
    distance = np.linalg.norm(np.array(of)[:, None] - np.array(of)[None], axis=-1)
    return np.sort(distance, 1)[:, 1]


def spacings(detector):
    """Distances of modules of the same string, m."""
    z = [np.sort(detector.position[detector.string == k, 2]) for k in np.unique(detector.string)]
    return np.concatenate([np.diff(x) for x in z])


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "n_strings", "n_modules", "apart", "step"),
    [
        ("icecube86", 86, 60, 125.0, 17.0),
        ("orca", 115, 18, 20.0, 9.0),
        ("arca", 115, 18, 90.0, 36.0),
        ("pone", 10, 20, 80.0, 52.6),
        ("trident", 1211, 20, 96.0, 30.0),
    ],
)
def test_published_numbers(name, n_strings, n_modules, apart, step):
    detector = detectors.BUILDERS[name]()
    found, count = np.unique(detector.string, return_counts=True)
    assert len(found) == n_strings
    assert (count == n_modules).all()
    assert np.median(neighbours(detector)) == pytest.approx(apart, rel=0.05)
    assert np.median(spacings(detector)) == pytest.approx(step, rel=0.01)
    assert detector.position.shape == (n_strings * n_modules, 3)
    assert np.linalg.norm(detectors.centre(detector)) < 0.06 * detectors.extent(detector).radius


@pytest.mark.parametrize(
    ("build", "table", "radius"),
    [
        (detectors.icecube86, "icecube", 0.1),
        (detectors.trident, "trident", 0.01),
    ],
)
def test_beside_the_real_ones(hepjax_data, build, table, radius):
    pytest.importorskip("pyarrow")
    real = detectors.read(hepjax_data / TABLE / "prometheus" / f"{table}.parquet")
    built = build()
    assert built.position.shape == real.position.shape
    assert len(np.unique(built.string)) == len(np.unique(real.string))
    for measure in (neighbours, spacings):
        a, b = measure(built), measure(real)
        assert np.median(a) == pytest.approx(np.median(b), rel=0.02)
    a, b = detectors.extent(built), detectors.extent(real)
    assert a.radius == pytest.approx(b.radius, rel=radius)
    assert a.half_height == pytest.approx(b.half_height, rel=0.05)


def test_efficiencies_of_icecube_are_those_of_its_table(hepjax_data):
    pytest.importorskip("pyarrow")
    real = detectors.read(hepjax_data / TABLE / "icecube" / "icecube86.parquet")
    ice = real.position[:, 2] < 600  # the rest is IceTop
    built = detectors.icecube86()
    assert np.isfinite(real.efficiency).all()
    share = np.mean(real.efficiency[ice] > 1.2)
    assert np.mean(built.efficiency > 1.2) == pytest.approx(share, abs=0.02)
    assert 0.98 * len(built.position) < ice.sum() <= len(built.position)
    middle = detectors.centre(built)[2]
    assert middle == pytest.approx(real.position[ice, 2].mean(), abs=5)


def test_the_dense_strings_are_inside():
    built = detectors.icecube86()
    dense = built.efficiency > 1
    assert dense.sum() == 480
    radius = np.linalg.norm(built.position[:, :2], axis=1)
    assert radius[dense].max() < 160
    assert built.position[dense, 2].mean() < built.position[~dense, 2].mean() - 100


def test_a_spiral_has_the_same_area_everywhere():
    radius = np.linalg.norm(detectors.spiral(1000, 50.0), axis=1)
    inside = np.searchsorted(np.sort(radius), [500.0, 1000.0, 1500.0])
    np.testing.assert_allclose(inside / np.array([100, 400, 900]), 1, atol=0.02)


def test_grids_have_one_spacing():
    xy = detectors.hexagonal((2, 3, 2), 10.0)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.testing.assert_allclose(np.sort(distance, 1)[:, 1], 10)
    np.testing.assert_allclose(xy.mean(0), 0, atol=1e-12)


def test_tables_of_text(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("dom_x,dom_y,dom_z,string,rde\n0,0,-10,1,1.35\n5,0,-20,2,nan\n")
    small = detectors.read(path)
    assert small.position.tolist() == [[0, 0, -10], [5, 0, -20]]
    assert small.string.tolist() == [1, 2]
    np.testing.assert_allclose(small.efficiency, [1.35, 1])


def test_bad_tables_are_named(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("dom_x,dom_y,string\n0,0,1\n")
    with pytest.raises(ValueError, match=r"no column sensor_pos_z or dom_z, found dom_x, dom_y"):
        detectors.read(path)
    path.write_text("dom_x,dom_y,dom_z,string\n0,0,1,1\n0,nan,1,1\n")
    with pytest.raises(ValueError, match=r"position of row 1 is \[0.0, nan, 1.0\]"):
        detectors.read(path)
    with pytest.raises(ValueError, match=r"xy: shape \(3,\), expected \[string, 2\]"):
        detectors.hang(np.zeros(3), np.zeros(2))
