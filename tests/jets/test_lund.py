"""The Lund plane: emissions by hand, densities with errors, and toys that close."""

import numpy as np
import pytest

from hepjax import batch, lorentz
from hepjax.jets import lund

EDGES = (np.linspace(0, 4, 5), np.linspace(-1, 3, 5))


def shower(n_jets, rng, *, excess=0.0, rate=1.0):
    """Independent emissions: even over the plane, with more of hard ones by `excess`."""
    number = rng.poisson(rate * 16 * (1 + excess / 4), n_jets)
    total = int(number.sum())
    hard = rng.random(total) < excess / 4 / (1 + excess / 4)
    ln_kt = np.where(hard, rng.uniform(2, 3, total), rng.uniform(-1, 3, total))
    values = lund.Emissions(rng.uniform(0, 4, total), ln_kt)
    return batch.Ragged(values, np.concatenate([[0], np.cumsum(number)]))


def hardness(plane):
    """A tagger that looks at the hard emissions of a jet, and not at each one alone."""
    jet = np.repeat(np.arange(len(plane.offsets) - 1), batch.lengths(plane))
    kt = np.exp(plane.values.ln_kt)
    return np.bincount(jet, kt, minlength=len(plane.offsets) - 1)


def test_emissions_of_three_particles_by_hand():
    pytest.importorskip("fastjet")
    pt, eta, phi = (np.array(x) for x in ([100.0, 20, 5], [0.0, 0.3, 0.05], [0.0, 0.0, 0.02]))
    p4 = lorentz.from_pt_eta_phi_mass(pt, eta, phi, np.zeros(3))
    plane = lund.primary(np.concatenate([p4, p4[:1]]), np.array([0, 3, 4]))
    assert batch.lengths(plane).tolist() == [2, 0]
    near = np.hypot(0.05, 0.02)  # the closest two come together first
    core = p4[0] + p4[2]
    wide = float(lorentz.delta_r(core, p4[1], use_rapidity=True))
    np.testing.assert_allclose(plane.values.ln_angle, [-np.log(wide), -np.log(near)], rtol=1e-6)
    kt = [np.log(20 * wide), np.log(5 * near)]
    np.testing.assert_allclose(plane.values.ln_kt, kt, rtol=1e-6)


def test_a_density_counts_every_emission_inside_once():
    plane = shower(500, np.random.default_rng(0))
    found = lund.density(plane, EDGES)
    area = np.outer(*(np.diff(e) for e in EDGES))
    assert (found.value * area).sum() == pytest.approx(plane.offsets[-1] / 500, rel=1e-6)
    outside = plane._replace(values=plane.values._replace(ln_kt=plane.values.ln_kt + 10))
    assert lund.density(outside, EDGES).value.sum() == 0


def test_errors_of_a_density_are_those_of_toys():
    rng = np.random.default_rng(1)
    found = [lund.density(shower(300, rng), EDGES) for _ in range(60)]
    values, errors = (np.array([getattr(f, k) for f in found]) for k in ("value", "error"))
    np.testing.assert_allclose(values.mean(), 1.0, rtol=0.02)
    assert np.median(values.std(0, ddof=1) / errors.mean(0)) == pytest.approx(1, abs=0.1)


def test_weights_of_jets_enter_a_density():
    plane = shower(400, np.random.default_rng(2))
    weight = np.random.default_rng(3).integers(0, 3, 400)
    rows = np.repeat(np.arange(400), weight)
    a, b = lund.density(plane, EDGES, weight), lund.density(batch.take(plane, rows), EDGES)
    np.testing.assert_allclose(a.value, b.value, rtol=1e-5)
    with pytest.raises(ValueError, match="weight"):
        lund.density(plane, EDGES, np.zeros(400))


def test_equal_showers_have_ratio_one_within_errors():
    rng = np.random.default_rng(4)
    found = lund.ratio(shower(4000, rng), shower(4000, rng), EDGES)
    assert found.known.all()
    pull = (found.value - 1) / found.error
    assert np.std(pull) == pytest.approx(1, abs=0.4)
    sparse = lund.ratio(shower(4000, rng), shower(20, rng), EDGES, least=50)
    assert not sparse.known.any()
    assert (sparse.value == 1).all()


@pytest.fixture(scope="module")
def samples():
    """Data with more hard emissions than simulation has."""
    rng = np.random.default_rng(5)
    return shower(20_000, rng, excess=0.4), shower(20_000, rng)


def test_weighted_simulation_has_the_plane_of_data(samples):
    data, simulation = samples
    found = lund.ratio(data, simulation, EDGES, n_replicas=5)
    weight = lund.weights(found, simulation)
    assert weight.mean() == pytest.approx(1)
    a, b = lund.density(data, EDGES), lund.density(simulation, EDGES, weight)
    before = lund.density(simulation, EDGES)
    pull = (b.value - a.value) / np.hypot(a.error, b.error)
    assert np.abs(pull).max() < 4.5
    assert np.abs((before.value - a.value) / a.error)[:, 3].min() > 10


def test_a_tagger_is_corrected_within_the_stated_uncertainty(samples):
    data, simulation = samples
    cut = np.quantile(hardness(simulation), 0.7)
    coarse = tuple(e[::2] for e in EDGES)
    found = lund.ratio(data, simulation, EDGES, n_replicas=40)
    wide = lund.ratio(data, simulation, coarse, n_replicas=2)
    result = lund.corrected_efficiency(found, simulation, hardness(simulation) > cut, wide)
    truth = (hardness(data) > cut).mean()
    error = np.sqrt(truth * (1 - truth) / 20_000)
    assert abs(result.plain - truth) > 20 * error
    total = np.hypot(np.hypot(result.statistical, error), result.method)
    assert abs(result.corrected - truth) < 3 * total
    assert abs(result.corrected - truth) < 0.1 * abs(result.plain - truth)
    assert result.statistical < 0.02
    with pytest.raises(ValueError, match="passed: 5 jets, expected 20000"):
        lund.corrected_efficiency(found, simulation, np.ones(5), wide)


def test_the_largest_weight_is_bounded(samples):
    data, simulation = samples
    found = lund.ratio(data, simulation, EDGES, n_replicas=2)
    free, bound = (
        lund.weights(found, simulation, found.value**2, most=most) for most in (1e9, 3.0)
    )
    assert bound.max() < free.max()
    assert bound.mean() == pytest.approx(1)
    order = np.argsort(free, kind="stable")
    assert (np.diff(bound[order]) >= 0).all()
