"""Tables become records: padding, times that float32 holds, directions, closest points."""

import numpy as np
import pytest

from hepjax import sphere
from hepjax.io import graphnet, pulses
from hepjax.io.pulses import Modules
from hepjax.neutrino import data, readers

MODULES = Modules(
    np.array([5, 6, 7]), np.array([[0.0, 0, 0], [60, 0, 0], [0, 60, 0]]), np.array([1, 1, 2])
)


def table(**changed):
    """Events 3 and 8 of three pulses and one, in the times of a long run."""
    hits = {"time": 7e7 + np.array([4.0, 1.25, 0, 100]), "module": np.array([5, 6, 7, 5])}
    hits |= {"charge": np.array([1.0, 0.5, 2.0, 1.0])} | changed.pop("hits", {})
    truth = {"zenith": np.array([0.0, 1.2]), "azimuth": np.array([0.0, 5.0])}
    truth |= {k: np.array([1.0, 2.0]) for k in ("x", "y")} | {"z": np.array([500.0, 0.0])}
    truth |= {"energy": np.array([1e3, 100.0])} | changed
    return pulses.assemble("a.db", hits, [3, 3, 3, 8], truth, [3, 8], modules=MODULES)


@pytest.mark.smoke
def test_pulses_are_padded_around_their_median_time():
    found = readers.events(table(), length=4)
    np.testing.assert_array_equal(found.pulses.mask.sum(1), [3, 1])
    np.testing.assert_array_equal(found.pulses.time[0, :3], [-1.25, 0, 2.75])
    assert found.pulses.time[1, 0] == 0
    assert found.reference.tolist() == [7e7 + 1.25, 7e7 + 100]
    assert found.pulses.time.dtype == np.float32
    np.testing.assert_array_equal(found.pulses.module[0, :3], [2, 1, 0])
    np.testing.assert_array_equal(found.pulses.position[0, 0], [0, 60, 0])
    assert found.number.tolist() == [3, 8]
    data.check(found.pulses, 3)


def test_the_strongest_pulses_are_kept():
    found = readers.events(table(), length=2)
    np.testing.assert_array_equal(found.pulses.charge[0], [2, 1])


def test_medians_of_even_numbers_lie_between():
    found = readers.events(pulses.take(table(), [1, 1]), length=1)
    assert found.reference.tolist() == [7e7 + 100] * 2
    two = {"time": np.array([1.0, 2, 7, 9]), "module": np.array([5, 5, 5, 5])}
    assert readers.events(table(hits=two), length=3).reference.tolist() == [2, 9]
    even = pulses.assemble(
        "b", {k: v[:2] for k, v in two.items()}, [1, 1], {}, [1], modules=MODULES
    )
    found = readers.events(even, length=3)
    assert found.reference.tolist() == [1.5]
    assert found.truth is None


def test_the_direction_is_that_of_travel():
    """What comes from the zenith travels down."""
    found = readers.events(table(), length=4)
    np.testing.assert_allclose(found.truth.direction[0], [0, 0, -1], atol=1e-7)
    zenith, azimuth = sphere.zenith_azimuth(found.truth.direction.astype(np.float64))
    np.testing.assert_allclose(zenith, [0, 1.2], atol=1e-6)
    np.testing.assert_allclose(azimuth[1], 5, atol=1e-6)


def test_the_closest_point_and_its_time():
    found = readers.events(table(t0=np.array([7e7, 7e7])), length=4)
    np.testing.assert_allclose(found.truth.position[0], [1, 1, 0], atol=1e-4)  # 500 m further down
    assert found.truth.time[0] == pytest.approx(500 / 0.299792458 - 1.25, abs=1e-3)
    centre = MODULES.position.mean(0)
    away = found.truth.position - centre
    np.testing.assert_allclose((away * found.truth.direction).sum(-1), 0, atol=1e-3)
    vertex = readers.events(table(t0=np.array([7e7, 7e7])), length=4, at_vertex=True)
    np.testing.assert_allclose(vertex.truth.position, [[1, 1, 500], [2, 2, 0]])
    np.testing.assert_allclose(vertex.truth.time, [-1.25, -100])
    np.testing.assert_allclose(vertex.truth.log_energy, [3, 2])
    assert (vertex.truth.scattering == 1).all()


def test_what_a_file_lacks_is_nan_or_none():
    events = {"zenith": [0.5], "azimuth": [0.1]}
    bare = pulses.assemble("b", {"time": [1.0], "module": [5]}, [1], events, [1], modules=MODULES)
    found = readers.events(bare, length=1)
    assert np.isnan(found.truth.position).all()
    assert np.isnan(found.truth.log_energy).all()
    assert np.isfinite(found.truth.direction).all()


def test_the_detector_has_its_efficiencies():
    found = readers.events(table(), length=1, efficiency=[1, 1.35, 1]).detector
    np.testing.assert_allclose(found.efficiency, [1, 1.35, 1])
    assert found.string.tolist() == [1, 1, 2]
    assert found.position.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: readers.events(pulses.take(table(), []), length=4), "0 events and 4"),
        (lambda: readers.events(table(), length=0), "2 events and 0"),
        (lambda: readers.events(table(hits={"charge": -np.ones(4)}), length=4), r"charge: -1\.0"),
        (lambda: readers.events(table(), length=4, efficiency=[1, 2]), "efficiency: shape"),
        (lambda: readers.detector(MODULES, [1, 0, 1]), "all above 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_examples_of_graphnet_become_records(hepjax_data):
    path = hepjax_data / "neutrino/examples/sqlite/prometheus/prometheus-events.db"
    found = readers.events(graphnet.read(path), length=64)
    pulses_ = data.check(found.pulses, len(found.detector.position))
    assert pulses_.mask.shape == (50, 64)
    place = found.detector.position[pulses_.module]
    np.testing.assert_array_equal(np.where(pulses_.mask[..., None], place, 0), pulses_.position)
    assert np.abs(pulses_.time).max() < 1e4
    np.testing.assert_allclose(np.linalg.norm(found.truth.direction, axis=-1), 1, rtol=1e-6)
