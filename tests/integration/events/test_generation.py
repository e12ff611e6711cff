"""Events of a process: flavours as often as their parts, colours of quarks, a whole file."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.integration.events import generation
from hepjax.integration.hadrons import (
    alpha_s,
    hadronic,
    pdf,
    processes,
)
from hepjax.integration.kinematics import scales
from hepjax.io import lhe_reader

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc, whose parton densities are used, comes with the extra `generators`",
)
N = 1500


def coupling(square):
    return alpha_s.alpha_s(alpha_s.running(0.13, 91.188, loops=2), square)


@pytest.fixture(scope="module")
def densities():
    with jax.enable_x64(True):
        return pdf.load(processes.PROTON)


@pytest.fixture(scope="module")
def top(densities):
    """Top pairs of all partons: the process, numbers of points with some weight, and events."""
    with jax.enable_x64(True):
        process = hadronic.top_pair(0, scale=scales.transverse, coupling=coupling)
        u = np.random.default_rng(0).uniform(0.2, 0.8, (N, 4))
        channel = np.zeros(N, int)
        drawn = generation.of_particles(process, densities, u, channel, np.random.default_rng(1))
    return process, u, channel, drawn


def test_flavours_are_drawn_by_their_parts(top, densities):
    process, u, channel, drawn = top

    @jax.jit
    def parts(u, channel):
        return hadronic.parts(process, densities, hadronic.points(process, u, channel))

    size = np.asarray(parts(u, channel))
    expected = size / size.sum(1, keepdims=True)
    for k, case in enumerate(hadronic.cases(process)):
        count = (drawn.pid == np.array(case.pids)).all(1).sum()
        error = (expected[:, k] * (1 - expected[:, k])).sum() ** 0.5
        assert abs(count - expected[:, k].sum()) < 4.5 * error + 1
    assert set(np.unique(drawn.pid[:, 2:], axis=0).ravel().tolist()) == {6, -6}


def test_the_top_has_the_colour_of_the_quark(top):
    """Gluon exchange joins the quark that comes in to the top, from whichever hadron it comes."""
    _, _, _, drawn = top
    seen = set()
    for pid, colours in zip(drawn.pid, drawn.colours):
        if 21 in pid:
            continue
        quark, antiquark = np.argmax(pid[:2] > 0), np.argmax(pid[:2] < 0)
        assert colours[quark, 0] == colours[2, 0] > 0
        assert colours[antiquark, 1] == colours[3, 1] > 0
        seen.add(int(quark))
    assert seen == {0, 1}


def test_helicities_of_quarks_that_annihilate_are_opposite(top):
    _, _, _, drawn = top
    quarks = (drawn.pid[:, :2] != 21).all(1)
    assert quarks.sum() > 50
    assert (drawn.spin[quarks, :2].sum(1) == 0).all()
    assert set(np.unique(drawn.spin)) == {-1, 1}


def test_scales_and_coupling(top):
    _, _, _, drawn = top
    p = drawn.p4[:, 2:]
    expected = np.sqrt(np.prod(np.sqrt(p[..., 0] ** 2 - p[..., 3] ** 2), 1))
    assert drawn.power == 2
    np.testing.assert_allclose(drawn.scale[:, 0], drawn.scale[:, 1])
    along = np.hypot(lorentz.pt(p), 173.0)
    np.testing.assert_allclose(drawn.scale[:, 0], np.sqrt(along.prod(1)), rtol=1e-9)
    assert (drawn.scale[:, 0] <= expected * (1 + 1e-9)).all()
    np.testing.assert_allclose(drawn.alpha_s, coupling(jnp.asarray(drawn.scale[:, 0] ** 2)))


def test_a_file_holds_all(top, densities, tmp_path):
    """What is written is read again: the cross-section by its weights, scales, further weights."""
    _, _, _, drawn = top
    drawn = drawn._replace(scale=drawn.scale * np.array([0.5, 1.0]))
    weight = np.maximum(np.random.default_rng(3).exponential(0.7, N), 1)
    path = tmp_path / "top.lhe.gz"
    given = weight, (566.0, 1.5), densities, coupling
    made = generation.write(path, drawn, *given, text="a test")
    head, events = lhe_reader.read(path)
    assert events.weight.mean() == pytest.approx(566.0)
    assert sum(process.cross_section for process in head.processes) == pytest.approx(566.0)
    np.testing.assert_allclose(events.p4, made.p4)
    np.testing.assert_array_equal(events.colours, made.colours)
    np.testing.assert_allclose(events.scale, drawn.scale[:, 1])  # of factorisation
    assert events.variations.shape == (N, 7)
    np.testing.assert_allclose(events.variations[:, 0], events.weight)
    lower, higher = events.variations.mean(0)[[-1, 1]] / 566.0
    assert min(lower, higher) < 0.95
    assert max(lower, higher) > 1.05
    assert "a test" in head.text


@pytest.mark.parametrize("name", ["drell_yan", "gluons"])
def test_pairs(name, densities):
    from hepjax.integration.amplitudes import closed_forms

    z = closed_forms.z_boson(91.2, 2.5, 0.23)
    made = {
        "drell_yan": lambda: processes.drell_yan([closed_forms.PHOTON, z], (60.0, 120.0)),
        "gluons": processes.gluons,
    }[name]()
    rng = np.random.default_rng(0)
    u = rng.uniform(0.2, 0.8, (200, 3))
    drawn = generation.of_pair(made, densities, u, np.zeros(200, int), rng)
    assert (drawn.pid[:, 2:] == np.array(made.outgoing)).all()
    np.testing.assert_allclose(drawn.p4[:, :2].sum(1), drawn.p4[:, 2:].sum(1), atol=1e-8)
    ends = [
        np.sort(np.concatenate([drawn.colours[:, :2, k], drawn.colours[:, 2:, 1 - k]], 1))
        for k in (0, 1)
    ]
    np.testing.assert_array_equal(*ends)
    assert (drawn.spin == 9).all()


def test_one_flow_of_colour_needs_no_amplitudes(densities, monkeypatch):
    """Drell-Yan: the only line joins quark and antiquark."""
    from hepjax.integration.amplitudes import closed_forms
    from hepjax.integration.events import assembly

    def states(*given):
        raise AssertionError("amplitudes were computed")

    monkeypatch.setattr(assembly, "states", states)
    made = processes.drell_yan([closed_forms.PHOTON], (60.0, 120.0))
    rng = np.random.default_rng(1)
    drawn = generation.of_pair(
        made, densities, rng.uniform(0.2, 0.8, (100, 3)), np.zeros(100, int), rng
    )
    row = np.arange(100)
    quark = np.where(drawn.pid[:, 0] > 0, 0, 1)
    line = drawn.colours[row, quark, 0]
    assert (line > 0).all()
    np.testing.assert_array_equal(drawn.colours[row, 1 - quark, 1], line)
    assert (drawn.colours > 0).sum() == 200
