"""Pictures of events, and the files of angular errors."""

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from hepjax.neutrino import directions, display


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.mark.smoke
def test_the_plane_keeps_distances_to_the_track(tracks):
    pulses, truth = jax.tree.map(lambda x: np.asarray(x)[0], tracks)
    along, across = display.plane(truth, pulses.position)
    relative = pulses.position - truth.position
    np.testing.assert_allclose(along**2 + across**2, (relative**2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(along, relative @ truth.direction, rtol=1e-4, atol=1e-3)
    mirrored = pulses.position - 2 * (relative - np.outer(along, truth.direction))
    np.testing.assert_allclose(display.plane(truth, mirrored)[1], -across, atol=0.05)
    up = truth._replace(direction=np.array([0.0, 0, 1]))
    assert np.isfinite(display.plane(up, pulses.position)[1]).all()


def test_an_event_with_all_there_is(ax, tracks, cluster):
    pulses, truth = tracks
    point = directions.emission_points(truth, pulses.position, cluster.medium)
    one = jax.tree.map(lambda x: np.asarray(x)[1], (pulses, truth, point))
    virtual = np.arange(len(one[0].mask)) % 2 == 1
    display.event(
        ax,
        *one[:2],
        point=one[2] + 5,
        true_point=one[2],
        direction=np.asarray(truth.direction)[1],
        virtual=virtual,
    )
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {
        "module that saw light",
        "predicted module",
        "true track",
        "true emission",
        "predicted emission",
    }
    assert "angular error 0 deg" in ax.get_title(loc="right")
    true = next(line for line in ax.lines if line.get_label() == "true emission")
    assert np.abs(true.get_ydata()).max() < 0.1
    assert len(true.get_xdata()) == one[0].mask.sum()


def test_angles_in_bins_and_as_files(tmp_path):
    rng = np.random.default_rng(0)
    energy = rng.uniform(2, 4, 4000)
    angle = np.radians(10 ** (-energy / 2)) * rng.exponential(1, 4000) / np.log(2)
    rows = display.angles(tmp_path, energy, {"a": angle, "b": 2 * angle}, [2, 2.1, 3.9, 4], "toys")
    assert rows["log_energy_edges"] == [2, 2.1, 3.9, 4]
    for k, centre in ((0, 2.05), (2, 3.95)):
        value, error = rows["a"]["median_angle_deg"][k], rows["a"]["error"][k]
        assert value == pytest.approx(10 ** (-centre / 2), abs=4 * error)
        assert 0.01 * value < error < 0.3 * value
        assert rows["b"]["median_angle_deg"][k] == pytest.approx(2 * value)
    assert (tmp_path / "angle.png").exists()
    assert (tmp_path / "angle_against_energy.png").exists()
