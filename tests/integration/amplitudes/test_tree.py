"""Matrix elements against another generator's, textbook formulas, and what gauge theory demands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.amplitudes import recursion, standard_model, tree, wavefunctions
from hepjax.integration.amplitudes.standard_model import Parameters

G2 = 4 * np.pi * Parameters().alpha_s


def invariants(p):
    """s, t, u of 2 to 2 momenta [point, leg, 4]."""

    def square(x):
        return x[:, 0] ** 2 - (x[:, 1:] ** 2).sum(-1)

    return square(p[:, 0] + p[:, 1]), square(p[:, 0] - p[:, 2]), square(p[:, 0] - p[:, 3])


@pytest.mark.parametrize(
    ("name", "process"),
    [
        ("epem_mupmum", "e+ e- > mu+ mu-"),
        ("uux_ddx", "u u~ > d d~"),
        ("gg_ttx", "g g > t t~"),
        ("gg_ttxg", "g g > t t~ g"),
        ("gd_ttxemepd", "g d > t t~ e- e+ d"),
    ],
)
def test_another_generator(dumps, name, process):
    momenta, expected = dumps(name)
    found = jax.jit(lambda p: tree.squared(tree.build(process), p))(momenta)
    np.testing.assert_allclose(found, expected, rtol=5e-12)


def squared(text, p):
    """|M|^2 of a process, compiled."""
    return np.asarray(jax.jit(lambda p: tree.squared(tree.build(text), p))(p))


def of_massless(two_to, text, seed=1):
    p = two_to((0, 0), (0, 0), 800.0, seed=seed)
    return squared(text, p) / G2**2, *invariants(p)


def test_gluons_and_quarks_of_the_textbook(two_to):
    """Ellis, Stirling and Webber, table 7.1, over g^4."""
    ratio, s, t, u = of_massless(two_to, "g g > g g")
    expected = 4.5 * (3 - t * u / s**2 - s * u / t**2 - s * t / u**2) / 2
    np.testing.assert_allclose(ratio, expected, rtol=1e-10)
    ratio, s, t, u = of_massless(two_to, "g g > u u~")
    np.testing.assert_allclose(
        ratio, (t**2 + u**2) / (6 * t * u) - 3 / 8 * (t**2 + u**2) / s**2, rtol=1e-10
    )
    ratio, s, t, u = of_massless(two_to, "u g > u g")
    np.testing.assert_allclose(
        ratio, -4 / 9 * (s**2 + u**2) / (s * u) + (u**2 + s**2) / t**2, rtol=1e-10
    )
    ratio, s, t, u = of_massless(two_to, "u u > u u")
    expected = 4 / 9 * ((s**2 + u**2) / t**2 + (s**2 + t**2) / u**2) - 8 / 27 * s**2 / (t * u)
    np.testing.assert_allclose(ratio, expected / 2, rtol=1e-10)
    ratio, s, t, u = of_massless(two_to, "u u~ > u u~")
    expected = 4 / 9 * ((s**2 + u**2) / t**2 + (t**2 + u**2) / s**2) - 8 / 27 * u**2 / (s * t)
    np.testing.assert_allclose(ratio, expected, rtol=1e-10)


def test_compton_scattering(two_to):
    """Klein and Nishina, for a heavy muon-like lepton: a tau and a photon."""
    m = Parameters().mass_tau
    p = two_to((m, 0), (m, 0), 12.0)
    found = squared("ta- a > ta- a", p)

    def product(a, b):
        return a[:, 0] * b[:, 0] - (a[:, 1:] * b[:, 1:]).sum(-1)

    k, q = product(p[:, 0], p[:, 1]), product(p[:, 0], p[:, 3])
    x = 1 / k - 1 / q
    expected = 2 * (4 * np.pi / 132.507) ** 2 * (q / k + k / q + 2 * m**2 * x + m**4 * x**2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "legs"),
    [
        ("g g > t t~", (0, 1)),
        ("u u~ > g g", (2, 3)),
        ("g g > g g", (0, 3)),
        ("u d~ > w+ g", (3,)),
        ("e- e+ > w+ w- a", (4,)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("g g > g g g", (0, 2)),
                ("u u > u u g", (4,)),
                ("a w+ > z w+", (0,)),
                ("w+ w- > w+ w- a", (4,)),
                ("w+ w- > z h a", (4,)),
                ("u d~ > w+ a g", (3, 4)),
                ("g g > t t~ h g", (0, 5)),
                ("u u~ > e+ e- g g", (4,)),
                ("a a > t t~ g g", (0, 5)),
                ("u u > u u g g", (4,)),
            ]
        ),
    ],
)
def test_a_gauge_boson_along_its_momentum_does_nothing(text, legs, two_to, monkeypatch):
    """Ward's identity: with a polarisation that is the momentum the amplitude is 0."""
    plan = tree.build(text)
    particles = [standard_model.PARTICLES[abs(k)] for k in plan.fields]
    stable = Parameters(width_top=0.0, width_w=0.0, width_z=0.0)
    masses = [float(standard_model.value(stable, one.mass)) for one in particles]
    p = two_to(masses[:2], masses[2:], 900.0, n=2)
    size = np.abs(jax.jit(lambda p: tree.amplitudes(plan, p, stable))(p)).max()
    real, chosen = wavefunctions.polarisation, []

    def along(momentum, mass, helicity):
        same = abs(momentum - p[:, chosen[0]].T[:, None]).max((0, 2), keepdims=True) < 1e-9
        return jnp.where(same, momentum / momentum[:1], real(momentum, mass, helicity))

    monkeypatch.setattr(wavefunctions, "polarisation", along)
    for leg in legs:
        chosen[:] = [leg]
        found = jax.jit(lambda p: tree.amplitudes(plan, p, stable))(p)
        assert np.abs(found).max() < 1e-10 * size


@pytest.mark.parametrize(
    "text",
    ["e- e+ > w- w+", "w- w+ > w- w+", "w- w+ > z z", "w- w+ > h h", "t t~ > w- w+", "z z > h h"],
)
def test_longitudinal_bosons_do_not_grow_with_the_energy(text):
    """Each diagram grows like E^2 or E^4; with the right quartic and Higgs couplings the sum stays
    (Cornwall, Levin, Tiktopoulos 1974). At ninety degrees, no widths.
    """
    plan = tree.build(text)
    stable = Parameters(width_top=0.0, width_w=0.0, width_z=0.0, width_higgs=0.0)
    masses = [
        float(standard_model.value(stable, standard_model.PARTICLES[abs(k)].mass))
        for k in plan.fields
    ]
    size = jax.jit(lambda p: abs(tree.amplitudes(plan, p, stable)).max())
    sizes = []
    for beam in (2e3, 2e4):
        legs = []
        for mass, way in zip(masses, ([0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0])):
            legs.append([beam, *np.sqrt(beam**2 - mass**2) * np.array(way)])
        sizes.append(float(size(np.array([legs]))))
    assert sizes[1] < 1.5 * sizes[0]


def test_the_order_of_legs_does_not_matter(two_to):
    """The last leg is treated apart: any may be it, whatever its kind."""
    m = 173.0
    p = two_to((0, 0), (m, m, 0), 1500.0)
    outgoing = ("t", "t~", "g")
    expected = squared("u u~ > t t~ g", p)
    for order in ((1, 2, 0), (2, 0, 1)):
        text = "u u~ > " + " ".join(outgoing[k] for k in order)
        legs = [0, 1, *(2 + k for k in order)]
        np.testing.assert_allclose(squared(text, p[:, legs]), expected, rtol=1e-9)
    turned = squared("u~ u > t t~ g", p[:, [1, 0, 2, 3, 4]])
    np.testing.assert_allclose(turned, expected, rtol=1e-9)


@pytest.mark.parametrize("text", ["u d > u d g", "u u > u u g", "e- mu- > e- mu- h"])
def test_any_leg_may_be_the_last(text, two_to):
    """Whether pairs of fermions meet in bosons or stay in their lines: signs are the same."""
    process = standard_model.parse(text)
    m = 125.0 if text.endswith("h") else 0.0
    p = two_to((0, 0), (0, 0, m), 700.0, n=3)
    found = []
    for last in (0, 3, 4):
        plan = recursion.plan(process, None, last)
        assert plan.last == last
        found.append(jax.jit(lambda p, plan=plan: tree.squared(plan, p))(p))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-9)


def test_charge_conjugation_and_parity_of_qcd(two_to):
    p = two_to((0, 0), (0, 0, 0), 500.0)
    one = squared("u d > u d g", p)
    np.testing.assert_allclose(squared("u~ d~ > u~ d~ g", p), one, rtol=1e-9)
    mirrored = p * np.array([1, 1, -1, 1.0])
    np.testing.assert_allclose(squared("u d > u d g", mirrored), one, rtol=1e-9)


def test_a_soft_gluon_factorises(two_to):
    """|M(e+ e- > q q~ g)|^2 goes to |M(e+ e- > q q~)|^2 times the eikonal factor."""
    base = two_to((0, 0), (0, 0), 100.0, n=3)

    def product(a, b):
        return a[:, 0] * b[:, 0] - (a[:, 1:] * b[:, 1:]).sum(-1)

    q, other = base[:, 2], base[:, 3]
    k = np.broadcast_to(1e-4 * np.array([1, 0.6, 0.64, 0.48]), (3, 4))
    total = q + other + k
    way = np.array([1, 0, 0, 1.0])  # of the first beam; the second is what is left, massless
    first = product(total, total)[:, None] / (2 * product(total, way[None]))[:, None] * way
    p = np.stack([first, total - first, q, other, k], 1)
    eikonal = G2 * 4 / 3 * 2 * product(q, other) / (product(q, k) * product(other, k))
    base[:, :2] = [[50, 0, 0, 50], [50, 0, 0, -50]]
    found = squared("e+ e- > u u~ g", p)
    np.testing.assert_allclose(found / squared("e+ e- > u u~", base), eikonal, rtol=1e-4)


def test_identical_particles_and_spins_are_counted():
    of = {text: tree.average(standard_model.parse(text)) for text in ("g g > g g", "u u~ > z z z")}
    assert of["g g > g g"] == (2 * 8) ** 2 * 2
    assert of["u u~ > z z z"] == (2 * 3) ** 2 * 6
    assert tree.average(standard_model.parse("w+ h > w+ h")) == 3


def test_masses_and_couplings_can_be_differentiated(two_to):
    p = two_to((0, 0), (173.0, 173.0), 600.0, n=3)
    plan = tree.build("u u~ > t t~")

    @jax.jit
    def total(mass, alpha_s, p=p):
        return tree.squared(plan, p, Parameters(mass_top=mass, alpha_s=alpha_s)).sum()

    by_mass, by_alpha = jax.jit(jax.grad(total, argnums=(0, 1)))(173.0, 0.118)
    assert float(by_alpha) == pytest.approx(2 * float(total(173.0, 0.118)) / 0.118, rel=1e-9)
    step = 1e-3
    difference = (total(173.0 + step, 0.118) - total(173.0 - step, 0.118)) / step / 2
    assert float(by_mass) == pytest.approx(float(difference), rel=1e-5)
    by_momenta = jax.jit(jax.grad(total, argnums=2))(173.0, 0.118, jnp.asarray(p))
    assert np.isfinite(by_momenta).all()


def test_points_in_any_shape(two_to):
    p = two_to((0, 0), (0, 0), 100.0, n=6)
    plan = tree.build("e+ e- > mu+ mu-")
    of = jax.jit(lambda p: tree.squared(plan, p))
    found = of(p.reshape(2, 3, 4, 4))
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.ravel(), of(p), rtol=1e-13)
    assert of(p[0]).shape == ()


def test_bad_input():
    plan = tree.build("e+ e- > mu+ mu-")
    with pytest.raises(ValueError, match=r"momenta: \(3, 5, 4\), expected \[..., 4, 4\]"):
        tree.squared(plan, np.zeros((3, 5, 4)))
    many = Parameters(alpha_s=np.full(3, 0.118))
    with pytest.raises(ValueError, match=r"parameters: alpha_s is \(3,\), expected a number"):
        tree.squared(plan, np.zeros((3, 4, 4)), many)
    with jax.enable_x64(False), pytest.raises(ValueError, match="expected float64"):
        tree.squared(plan, np.zeros((3, 4, 4)))


def test_a_coupling_that_runs(two_to):
    """As the docstring says: a power of the ratio."""
    p = two_to((0, 0), (0, 0), 300.0, n=2)
    for text, qed in (("u g > u g", 0), ("u g > u a", 1)):
        plan = tree.build(text)
        assert plan.qed == qed
        of = jax.jit(lambda a, plan=plan: tree.squared(plan, p, Parameters(alpha_s=a)))
        np.testing.assert_allclose(of(0.2), of(0.118) * (0.2 / 0.118) ** (2 - qed), rtol=1e-12)


def test_flows_of_colour(two_to):
    """Of e+ e- > q q~ g there is one, and its square is all; of u u~ > t t~ the one that has no
    octet is 1 / 9 of the other.
    """
    p = two_to((0, 0), (0, 0, 0), 200.0, n=2)
    plan = tree.build("e+ e- > u u~ g")
    found = jax.jit(lambda p: tree.flow_squares(plan, p))(p)
    assert found.shape == (2, 1)
    whole = jax.jit(lambda p: tree.squared(plan, p))(p) * tree.average(plan.process)
    # N C_F = 4 colours with generators of trace 1/2
    np.testing.assert_allclose(found[:, 0] * 4, whole, rtol=1e-10)
    plan = tree.build("u u~ > t t~")
    p = two_to((0, 0), (173.0, 173.0), 600.0, n=2)
    found = jax.jit(lambda p: tree.flow_squares(plan, p))(p)
    # in the leading one the colour of the quark goes to the top
    (leading,) = np.flatnonzero(tree.leading(plan))
    np.testing.assert_allclose(found[:, 1 - leading] / found[:, leading], 1 / 9, rtol=1e-12)


@pytest.mark.parametrize(
    ("process", "n"),
    [("g g > t t~ g", 6), ("u u~ > t t~", 1), ("u u~ > u u~", 2), ("g u > t t~ u", 2)],
)
def test_flows_at_the_leading_power(process, n):
    """Quarks of one flavour have two ways, by exchange and by annihilation; of two, one."""
    assert tree.leading(tree.build(process)).sum() == n


def test_flows_of_a_weak_boson_are_not_suppressed():
    plan = tree.build("u u~ > d d~", qed=2)
    assert plan.flows[np.argmax(tree.leading(plan))] == ((2, 1), (3, 4))


def test_points_some_at_a_time(two_to):
    p = two_to((0, 0), (0, 0), 100.0, n=7)
    plan = tree.build("u u~ > d d~")
    whole = jax.jit(lambda p: tree.squared(plan, p))(p)
    table = tree.helicity_table(plan)
    for size in (1, 3, 7, 100):
        some = jax.jit(lambda p, size=size: tree.squared(plan, p, chunk=size))(p)
        np.testing.assert_allclose(some, whole, rtol=1e-13)
    one = jax.jit(lambda p, h: tree.squared(plan, p, helicity=h, chunk=3))(p, table[0])
    again = jax.jit(lambda p, h: tree.squared(plan, p, helicity=h))(p, table[0])
    np.testing.assert_allclose(one, again, rtol=1e-13)
    assert tree.squared(plan, p[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"helicity: \(3,\), expected \[..., 4\]"):
        tree.squared(plan, p, helicity=np.ones(3))
