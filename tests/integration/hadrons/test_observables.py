"""What is looked at in points: values by hand, bins that hold them."""

import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import hadronic, observables, processes


def test_of_a_pair():
    process = processes.drell_yan([closed_forms.PHOTON], (60.0, 120.0))
    u = np.random.default_rng(0).uniform(size=(50, 3))
    channel = np.zeros(50, int)
    found = observables.of_pair(process)(u, channel)
    at = processes.kinematics(process, jnp.asarray(u), jnp.asarray(channel))
    assert list(found) == ["mass", "cos_theta"]
    np.testing.assert_allclose(found["mass"].value, np.sqrt(at.s))
    np.testing.assert_allclose(found["cos_theta"].value, 2 * u[:, 2] - 1)
    assert found["mass"].edges[0] == 60
    assert found["mass"].edges[-1] == 120


def test_of_particles():
    process = hadronic.of("g g > t t~ g g")
    rng = np.random.default_rng(0)
    u, channel = rng.uniform(0.1, 0.9, (40, 10)), rng.integers(0, len(process.layouts), 40)
    found = observables.of_particles(process)(u, channel)
    at = hadronic.points(process, jnp.asarray(u), jnp.asarray(channel))
    p = np.asarray(at.momenta)[:, 2:]
    assert next(iter(found)) == "mass"
    assert {"pt_t", "pt_jet1", "rapidity_jet2", "mass_jet1_jet2", "mass_t_t~"} <= set(found)
    assert len(found) == 1 + 4 + 4 + 6
    np.testing.assert_allclose(found["mass"].value, p[..., 0].sum(1), rtol=1e-7)
    np.testing.assert_allclose(found["pt_jet1"].value, np.hypot(p[:, 2, 1], p[:, 2, 2]))
    whole = p[:, 0] + p[:, 1]
    mass = np.sqrt(whole[:, 0] ** 2 - (whole[:, 1:] ** 2).sum(1))
    np.testing.assert_allclose(found["mass_t_t~"].value, mass, rtol=1e-6)
    boost = np.log(at.first / at.second) / 2
    np.testing.assert_allclose(
        found["rapidity_t"].value, np.arctanh(p[:, 0, 3] / p[:, 0, 0]) + boost, rtol=1e-9
    )
    assert found["mass_t_t~"].edges[0] == 346
    assert found["pt_jet1"].edges[0] == 20
    assert all((np.diff(one.edges) > 0).all() for one in found.values())
