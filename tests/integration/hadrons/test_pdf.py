"""Parton densities: what is interpolated exactly, sum rules, Pythia's values, and gradients."""

import importlib.util

import jax
import numpy as np
import pytest

from hepjax.integration.hadrons import pdf
from hepjax.io import lhagrid

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)
X = np.geomspace(1e-4, 1, 30)
Q = np.concatenate([np.geomspace(1, 5, 8), np.geomspace(5, 500, 12)])


def made_of(function):
    """A grid of two sub-grids with one function of log x and log Q for all flavours."""
    values = function(np.log(X)[:, None], np.log(Q))
    return pdf.prepare(lhagrid.Grid(X, Q, (0, 8), np.repeat(values[..., None], 14, 2)))


def points(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(np.log(2e-4), np.log(0.7), n)), np.exp(rng.uniform(0.1, 12, n))


def test_a_plane_is_exact():
    """In logarithms, across the threshold too."""
    x, q2 = points()
    found = pdf.xf(made_of(lambda a, b: 3 + 2 * a - 0.5 * b + 0.1 * a * b), x, q2)
    a, b = np.log(x), np.log(q2) / 2
    expected = 3 + 2 * a - 0.5 * b + 0.1 * a * b
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 14, 1), rtol=1e-10)


def test_knots_are_met_and_what_is_smooth_is_close():
    prepared = made_of(lambda a, b: np.sin(a) * np.cos(b))
    found = np.asarray(pdf.xf(prepared, X[:-1, None], Q[None] ** 2))[..., 3]
    np.testing.assert_allclose(found, np.sin(np.log(X[:-1, None])) * np.cos(np.log(Q)), atol=1e-9)
    x, q2 = points()
    away = np.asarray(pdf.xf(prepared, x, q2))[:, 0] - np.sin(np.log(x)) * np.cos(np.log(q2) / 2)
    assert np.abs(away).max() < 0.03


def test_a_step_at_the_threshold_stays_a_step():
    """What begins there has no shadow below."""
    values = np.zeros((30, 20, 14))
    values[:, 8:] = 1
    prepared = pdf.prepare(lhagrid.Grid(X, Q, (0, 8), values))
    found = np.asarray(pdf.xf(prepared, 0.1, np.array([4.9, 4.999, 5.0, 5.1]) ** 2))[:, 0]
    np.testing.assert_allclose(found, [0, 0, 1, 1], atol=1e-9)


def test_beyond_the_knots():
    prepared = made_of(lambda a, b: 1 + a**2 + b)
    inside = pdf.xf(prepared, X[0], Q[-1] ** 2)
    np.testing.assert_allclose(pdf.xf(prepared, X[0] / 10, Q[-1] ** 2 * 9), inside)
    for x in (0.0, -0.1, 1.0, 1.7):
        assert (np.asarray(pdf.xf(prepared, x, 100.0)) == 0).all()


def test_shapes_columns_and_bad_input():
    prepared = made_of(lambda a, b: a + b)
    found = jax.jit(pdf.xf)(prepared, np.full((3, 1), 0.1), np.full(4, 100.0))
    assert found.shape == (3, 4, 14)
    assert pdf.xf(prepared, 0.1, 100.0).shape == (14,)
    assert pdf.column(21) == 12
    with pytest.raises(ValueError, match="pid: 23, expected a parton: -6, "):
        pdf.column(23)
    with jax.enable_x64(False), pytest.raises(ValueError, match="expected float64"):
        pdf.xf(prepared, 0.1, 100.0)


@needs_pythia
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("NNPDF23_lo_as_0130_qed", 13),
        ("NNPDF31_lo_as_0130", 17),
        ("NNPDF31_nnlo_as_0118_luxqed", 20),
    ],
)
def test_values_of_pythia(name, number):
    """Its own interpolation of the same grids; it sets to 0 what is below 0."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in ("ProcessLevel:all = off", f"PDF:pSet = {number}", "Print:quiet = on"):
        pythia.readString(line)
    pythia.init()
    proton = pythia.getPDFPtr(2212)
    rng = np.random.default_rng(0)
    x, q2 = 10 ** rng.uniform(-5, -0.05, 400), 10 ** rng.uniform(np.log10(4), 6, 400)
    ours = np.maximum(np.asarray(jax.jit(pdf.xf)(pdf.load(name), x, q2)), 0)
    away = []
    for pid in (-3, -2, -1, 1, 2, 3, 4, 5, 21):
        theirs = np.array([proton.xf(pid, a, b) for a, b in zip(x, q2)])
        some = theirs > 1e-3
        away.append(np.abs(ours[some, pdf.column(pid)] / theirs[some] - 1))
    away = np.concatenate(away)
    assert np.median(away) < 1e-4
    assert np.quantile(away, 0.99) < 5e-3


@needs_pythia
def test_sum_rules():
    """Two up and one down quark more than antiquarks; all momenta add up to one, to a percent."""
    prepared = pdf.load("NNPDF31_nnlo_as_0118_luxqed")
    nodes, weights = np.polynomial.legendre.leggauss(400)
    t = np.log(1e-9) * (1 - nodes) / 2
    found = np.asarray(pdf.xf(prepared, np.exp(t), 1e4)) * (weights * -np.log(1e-9) / 2)[:, None]
    number = found.sum(0)
    column = pdf.column
    assert number[column(2)] - number[column(-2)] == pytest.approx(2, abs=0.03)
    assert number[column(1)] - number[column(-1)] == pytest.approx(1, abs=0.03)
    assert (found * np.exp(t)[:, None]).sum() == pytest.approx(1, abs=0.01)


def test_slopes_in_x_and_scale():
    prepared = made_of(lambda a, b: np.sin(a) * np.cos(b))

    def of(x, q2):
        return pdf.xf(prepared, x, q2)[12]

    for k, step in ((0, 1e-5), (1, 1e-2)):
        slope = jax.grad(of, argnums=k)(0.03, 700.0)
        up, down = ([0.03, 700.0] for _ in range(2))
        up[k], down[k] = up[k] + step, down[k] - step
        assert float(slope) == pytest.approx(float(of(*up) - of(*down)) / step / 2, rel=1e-4)
