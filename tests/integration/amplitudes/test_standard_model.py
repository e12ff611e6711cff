"""Particles, names and couplings."""

import jax
import numpy as np
import pytest

from hepjax.integration.amplitudes import standard_model
from hepjax.integration.amplitudes.standard_model import Parameters, Process


def test_processes_are_read_as_they_are_written():
    assert standard_model.parse("u u~ > d d~") == Process((2, -2), (1, -1))
    assert standard_model.parse("G D>T T~ E+ E- D") == Process((21, 1), (6, -6, -11, 11, 1))
    assert standard_model.parse("w+ w- > h a z") == Process((24, -24), (25, 22, 23))
    assert standard_model.parse("e- ve~ > w-") == Process((11, -12), (-24,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u u~ d d~", "expected incoming particles > outgoing"),
        ("u u~ >", "expected incoming particles > outgoing"),
        ("u x > d d~", "'x' is none of d, d~"),
        ("u u~ > d > d~", "expected incoming particles > outgoing"),
    ],
)
def test_what_is_no_process(text, message):
    with pytest.raises(ValueError, match=message):
        standard_model.parse(text)


def test_every_particle_has_a_name_and_conserved_numbers():
    for text, pid in standard_model.NAMES.items():
        assert standard_model.name(pid) == text
    for pid, partner in standard_model.PARTNER.items():
        one, other = standard_model.PARTICLES[pid], standard_model.PARTICLES[partner]
        assert abs(one.charge - other.charge) == pytest.approx(1)
        assert one.isospin == -other.isospin
        assert one.colour == other.colour
    for generation in ((1, 2, 11, 12), (3, 4, 13, 14), (5, 6, 15, 16)):
        charges = [standard_model.PARTICLES[k] for k in generation]
        assert sum(p.charge * p.colour for p in charges) == pytest.approx(0)  # no anomaly


def test_couplings_of_the_reference_cards():
    """sin^2 = 0.2222 and m_W = 80.419 GeV of that scheme; vev from Fermi's constant."""
    p = Parameters()
    c = standard_model.couplings(p)
    assert c.mass_w == pytest.approx(80.419, abs=1e-3)
    assert c.sin**2 == pytest.approx(0.2222, abs=1e-4)
    assert c.sin**2 + c.cos**2 == pytest.approx(1)
    assert c.vev == pytest.approx(1 / np.sqrt(np.sqrt(2) * p.fermi), rel=1e-12)
    assert c.e == pytest.approx(c.g * c.sin)
    assert standard_model.value(p, "mass_w") == c.mass_w
    assert standard_model.value(p, "mass_top") == 173.0
    assert standard_model.value(p, "") == 0.0


def test_couplings_can_be_differentiated():
    """d m_W / d m_Z by differences."""

    def mass_w(mass_z):
        return standard_model.couplings(Parameters(mass_z=mass_z)).mass_w

    slope = jax.grad(mass_w)(91.188)
    assert float(slope) == pytest.approx((mass_w(91.288) - mass_w(91.088)) / 0.2, rel=1e-5)


def test_factors_of_vertices():
    """By name; names that are made of several are products."""
    known = standard_model.factors(standard_model.DEFAULT)
    c = standard_model.couplings(standard_model.DEFAULT)
    assert standard_model.factor("strong", known) == pytest.approx(1j * c.g_s)
    assert standard_model.factor("photon 11", known) == pytest.approx(-1j * c.e)
    left, right = standard_model.factor("z 12", known)
    assert right == 0  # no right-handed neutrino
    assert left == pytest.approx(0.5j * c.g / c.cos)
    assert standard_model.factor("w", known)[1] == 0
    assert standard_model.factor("weak sin cos", known) == pytest.approx(-1j * c.g * c.sin * c.cos)
    assert standard_model.factor("i hhz", known) == pytest.approx(0.5j * c.g**2 / c.cos**2)
    with pytest.raises(KeyError, match="nothing"):
        standard_model.factor("nothing", known)
