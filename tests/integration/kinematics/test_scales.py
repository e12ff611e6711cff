"""Scales of a hard process: by hand, and those that another program wrote beside its events."""

import gzip
import re

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.kinematics import scales

PAIR = np.array(
    [[[300, 0, 0, 300], [300, 0, 0, -300], [300, 80, 0, 240], [300, -80, 0, -240.0]]]
)  # of mass sqrt(26000), transverse mass 180


def test_fixed():
    one, other = scales.fixed(100.0, 50.0)(PAIR)
    assert (float(one[0]), float(other[0])) == (10_000.0, 2500.0)
    assert float(scales.fixed(30.0)(PAIR)[1][0]) == 900.0


@pytest.mark.parametrize("scale", [scales.transverse, scales.half_sum, scales.clustered])
def test_of_a_pair_all_are_the_transverse_mass(scale):
    for square in scale(PAIR):
        np.testing.assert_allclose(square, [180.0**2])


def test_half_sum():
    p = np.zeros((1, 5, 4))
    p[0, 2:, 0], p[0, 2:, 3] = [5, 13, 10], [3, 5, 0]
    np.testing.assert_allclose(scales.half_sum(p)[0], [((4 + 12 + 10) / 2) ** 2])


@pytest.fixture(scope="module", params=["gg_tt", "gg_ttg"])
def events(request, hepjax_data):
    """Momenta [point, leg, 4] in the rest frame of the partons, and both scales [point], GeV."""
    path = hepjax_data / "matrix_elements" / "lhe_events" / f"{request.param}_events.lhe.gz"
    with gzip.open(path, "rt") as file:
        text = file.read()
    number = r"\s+(\S+)"
    pattern = (
        rf"<event>\n(.*?)<mgrwt>\n<rscale>{number * 2}</rscale>.*?<pdfrwt beam=\"1\">{number * 4}"
    )
    momenta, known = [], []
    for match in re.finditer(pattern.replace(r"<rscale>\s+", r"<rscale>\s*"), text, re.DOTALL):
        rows = [[float(x) for x in line.split()] for line in match[1].strip().split("\n")[1:]]
        momenta.append(np.array(rows)[:, [9, 6, 7, 8]])
        known.append((float(match[3]), float(match[7].split("<")[0])))
    p, (one, other) = np.array(momenta), np.array(known).T
    y = np.log(p[:, :1, 0] / p[:, 1:2, 0]) / 2
    e, z = (
        np.cosh(y) * p[..., 0] - np.sinh(y) * p[..., 3],
        np.cosh(y) * p[..., 3] - np.sinh(y) * p[..., 0],
    )
    return np.stack([e, p[..., 1], p[..., 2], z], -1), one, other


def test_clustered_is_the_scale_of_other_events(events):
    """All but two of a thousand are the same; see the docstring for the others."""
    momenta, renormalisation, factorisation = events
    assert len(momenta) == 10_000
    for found, known in zip(
        scales.clustered(jnp.asarray(momenta)), (renormalisation, factorisation)
    ):
        apart = np.abs(np.sqrt(found) / known - 1)
        assert (apart > 1e-5).mean() <= 2e-3
        assert apart.mean() < 1e-3


def test_of_four_there_is_none():
    with pytest.raises(ValueError, match="4 outgoing particles, expected 2 or 3"):
        scales.clustered(np.zeros((1, 6, 4)))


def test_turning_about_the_beam_changes_nothing():
    p = np.array(
        [
            [
                [300, 0, 0, 300],
                [300, 0, 0, -300],
                [250, 90, 20, 100],
                [250, -60, -50, 50],
                [100, -30, 30, -150.0],
            ]
        ]
    )
    turned = p.copy()
    turned[..., 1], turned[..., 2] = p[..., 2], -p[..., 1]
    for a, b in zip(scales.clustered(p), scales.clustered(turned)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
