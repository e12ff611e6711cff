"""Gluons against closed forms, the identities of colour-ordered amplitudes, and other sums."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.amplitudes import closed_forms, gluons, tree

ALPHA = 0.118
ENERGY = 800.0


@pytest.fixture(scope="module")
def points():
    """Function (number of legs, of points, seed) -> momenta [point, leg, 4] in all directions."""

    def momenta(n_legs, n=4, seed=0):
        """The best apart of many, isotropic and conformally mapped to be at rest (RAMBO)."""
        rng = np.random.default_rng(seed)
        many = 400 * n
        way = rng.normal(size=(many, n_legs - 2, 3))
        q = way / np.linalg.norm(way, axis=-1, keepdims=True)
        q = q * rng.gamma(2.0, size=(many, n_legs - 2, 1))
        energy = np.linalg.norm(q, axis=-1)
        mass = np.sqrt(energy.sum(1) ** 2 - (q.sum(1) ** 2).sum(-1))
        b, scale = -q.sum(1) / mass[:, None], ENERGY / mass
        gamma = energy.sum(1) / mass
        along = (b[:, None] * q).sum(-1)
        space = q + b[:, None] * (energy + along / (1 + gamma[:, None]))[..., None]
        space *= scale[:, None, None]
        out = np.concatenate([np.linalg.norm(space, axis=-1, keepdims=True), space], -1)
        beams = np.array([[1, 0, 0, 1], [1, 0, 0, -1.0]]) * ENERGY / 2
        p = np.concatenate([np.broadcast_to(beams, (many, 2, 4)), out], 1)
        pairs = np.einsum("pia,pja,a->pij", p, p, np.array([1, -1, -1, -1.0]))
        pairs[:, np.arange(n_legs), np.arange(n_legs)] = np.inf
        return p[np.argsort(-pairs.min((1, 2)))[:n]]

    return momenta


@pytest.fixture(scope="module")
def ordered():
    """The amplitude of the order of the legs, compiled."""
    return jax.jit(gluons.ordered)


def flipped(n_legs, *legs):
    """Helicities of all + but some legs, as if all came in; leg by leg as they fly."""
    h = np.ones(n_legs, int)
    h[list(legs)] = -1
    h[2:] *= -1
    return h


@pytest.mark.parametrize("n_legs", [4, 5, 6, 7, 8])
def test_parke_taylor(n_legs, points, ordered):
    """Two of one helicity, wherever they stand; beams lie on the z axis."""
    p = points(n_legs)
    pairs = list(itertools.combinations(range(n_legs), 2))
    sets = np.array([flipped(n_legs, *pair) for pair in pairs])
    found = abs(np.asarray(ordered(p, sets[:, None]))) ** 2
    expected = np.array([gluons.parke_taylor(p, *pair) for pair in pairs])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(abs(ordered(p, -sets[:, None])) ** 2, expected, rtol=1e-10)
    none = np.array([flipped(n_legs), *(flipped(n_legs, k) for k in range(n_legs))])
    vanish = abs(np.asarray(ordered(p, none[:, None])))
    assert (vanish < 1e-11 * np.sqrt(expected.max(0))).all()


def test_size_of_the_graph():
    """Operations grow with the number of legs as a line, not as a power."""

    def operations(n_legs):
        p, h = np.zeros((2, n_legs, 4)), np.ones((2, n_legs))
        return len(jax.make_jaxpr(gluons.ordered)(p, h).jaxpr.eqns)

    four, eight, twelve = (operations(n) for n in (4, 8, 12))
    assert twelve - eight == eight - four
    assert eight < 3000


def test_the_gauge_does_not_matter(points):
    p, h = points(6), np.array([1, -1, -1, 1, 1, -1])
    of = jax.jit(gluons.ordered)
    one, other = (of(p, h, np.array([1, *way])) for way in ([0.6, 0.64, 0.48], [-0.48, 0.6, 0.64]))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    inward, vectors, _ = gluons._legs(p, h)
    plain, along = (
        jax.jit(gluons._ordered)(inward, x)
        for x in (vectors, vectors.at[:, 3].set(inward[:, 3] / ENERGY))
    )
    np.testing.assert_allclose(one, plain, rtol=1e-9)
    assert abs(along).max() < 1e-12 * abs(plain).max()


@pytest.fixture(scope="module")
def orders(points):
    """Amplitudes of six legs in every order: {order: amplitude [point]}."""
    p, h = points(6, seed=1), np.array([-1, 1, 1, -1, 1, -1])
    with jax.enable_x64(True):
        inward, vectors, _ = gluons._legs(p, h)
        every = np.array(list(itertools.permutations(range(6))))
        of = jax.jit(
            lambda order: jax.lax.map(
                lambda one: gluons._ordered(inward[:, one], vectors[:, one]), order
            )
        )
        found = np.asarray(of(every))
    return dict(zip(map(tuple, every.tolist()), found))


def test_orders_turned_and_read_backwards(orders):
    first = orders[0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(orders[2, 3, 4, 5, 0, 1], first, rtol=1e-9)
    np.testing.assert_allclose(orders[5, 4, 3, 2, 1, 0], first, rtol=1e-9)  # (-1)^6


def test_a_photon_does_not_couple(orders):
    """Leg 0 in all places among the others: 0. And so, with two legs held, Kleiss and Kuijf's."""
    others = (1, 2, 3, 4, 5)
    terms = np.array([orders[*others[:k], 0, *others[k:]] for k in range(5)])
    assert (abs(terms.sum(0)) < 1e-11 * abs(terms).max(0)).all()
    shuffled = [(0, 2, 1, 3, 4, 5), (0, 2, 3, 1, 4, 5), (0, 2, 3, 4, 1, 5)]
    total = orders[0, 1, 2, 3, 4, 5] + sum(orders[order] for order in shuffled)
    np.testing.assert_allclose(-orders[0, 2, 3, 4, 5, 1], total, rtol=1e-9)


def test_a_soft_gluon_factorises(points, ordered):
    """|A(.., a, s, b, ..)|^2 goes to |A(.., a, b, ..)|^2 times s_ab / (s_as s_sb)."""
    p = points(5, seed=2)
    soft = np.broadcast_to(1e-5 * np.array([1, 0.6, 0.64, 0.48]), (len(p), 1, 4))
    six = np.concatenate([p[:, :4], soft, p[:, 4:]], 1)
    # the recoil goes to the beams, which stay on the axis
    total = six[:, 2:].sum(1)
    mass = np.sqrt(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(-1))
    way = np.array([[1, 0, 0, 1], [1, 0, 0, -1.0]])
    first = (mass**2 / (2 * (total[:, 0] - total[:, 3])))[:, None] * way[0]
    six[:, 0], six[:, 1] = first, total - first

    def s(i, j):
        product = six[:, i] * six[:, j] * np.array([1, -1, -1, -1.0])
        return 2 * product.sum(-1)

    hard, h = np.array([1, -1, 1, -1, 1]), np.array([1, -1, 1, -1, 1, 1])
    ratio = abs(ordered(six, h)) ** 2 / abs(ordered(p, hard)) ** 2
    np.testing.assert_allclose(ratio, s(3, 5) / (s(3, 4) * s(4, 5)), rtol=1e-4)


def test_two_gluons_to_two(points):
    p = points(4, 8)
    cos = p[:, 2, 3] / p[:, 2, 0]
    expected = closed_forms.gluon_pair(ENERGY**2, cos, ALPHA) * 32 * np.pi * ENERGY**2
    np.testing.assert_allclose(gluons.squared(p, ALPHA), expected, rtol=1e-11)


@pytest.mark.parametrize("n_legs", [5, 6])
def test_the_recursion_of_all_processes(n_legs, points):
    """Colours by flows there, by structure constants here."""
    p = points(n_legs, seed=3)
    plan = tree.build("g g > " + " ".join(["g"] * (n_legs - 2)))
    expected = jax.jit(lambda p: tree.squared(plan, p))(p)
    np.testing.assert_allclose(jax.jit(gluons.squared)(p, ALPHA), expected, rtol=1e-10)


def test_sums_of_colours():
    """Of N = 3: four structure constants around a square, and across it."""
    unit = 8 * 3**2 * 2**2  # f f f f of a square is N^2 (N^2 - 1), each f times sqrt(2)
    np.testing.assert_allclose(gluons.colour_matrix(4), unit * np.array([[1, 0.5], [0.5, 1]]))
    six = gluons.colour_matrix(6)
    np.testing.assert_allclose(six, six.T, atol=1e-9)
    assert np.linalg.eigvalsh(six).min() > 0
    np.testing.assert_allclose(np.diag(six), 8 * (2 * 3) ** 4)


@pytest.mark.parametrize("n_legs", [4, 5])
def test_leading_colour_is_all_there_is_of_few_legs(n_legs, points):
    """The mean of the estimate over all orders and helicities."""
    p = points(n_legs, 2)
    every = np.array(list(itertools.permutations(range(1, n_legs))))
    table = gluons.helicity_table(n_legs)
    estimate = jax.jit(gluons.leading_colour)(p, every[:, None, None], table[:, None], ALPHA)
    assert estimate.shape == (len(every), len(table), 2)
    np.testing.assert_allclose(estimate.mean((0, 1)), gluons.squared(p, ALPHA), rtol=1e-10)


def test_drawn_orders_and_helicities(points):
    """Each as often as any other, and their mean is the sum within its error."""
    n = 20_000
    order, helicity = gluons.draw(jax.random.key(1), 4, (n,))
    assert order.shape == (n, 3)
    assert helicity.shape == (n, 4)
    counts = np.unique(np.asarray(order), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert (abs(counts - n / 6) < 5 * np.sqrt(n / 6)).all()
    sets, counts = np.unique(np.asarray(helicity), axis=0, return_counts=True)
    assert sets.tolist() == sorted(gluons.helicity_table(4).tolist())
    assert (abs(counts - n / 6) < 5 * np.sqrt(n / 6)).all()
    p = points(4, 1)[0]
    found = np.asarray(gluons.leading_colour(p, order, helicity, ALPHA))
    error = found.std() / np.sqrt(n)
    assert abs(found.mean() - gluons.squared(p, ALPHA)) < 4 * error


def test_helicities_that_do_not_vanish():
    for n in (4, 6):
        table = gluons.helicity_table(n)
        assert len(table) == 2**n - 2 * (n + 1)
        assert sorted((-table).tolist()) == sorted(table.tolist())


def test_derivatives_by_momenta(points):
    """Against differences, along a boost: the square is a scalar, so the derivative is 0; and along
    a change of scale, by its dimension.
    """
    p = jnp.asarray(points(5, 3))
    generator = np.zeros((4, 4))
    generator[0, 1] = generator[1, 0] = 1.0
    of = jax.jit(lambda p, t: jax.jvp(lambda p: gluons.squared(p, ALPHA), (p,), (t,)))
    value, boosted = of(p, p @ generator)
    assert (abs(boosted) < 1e-9 * value).all()
    np.testing.assert_allclose(of(p, p)[1], -2 * value, rtol=1e-9)
    by_momenta = jax.jit(jax.grad(lambda p: gluons.squared(p, ALPHA).sum()))(p)
    np.testing.assert_allclose((by_momenta * p).sum((1, 2)), -2 * value, rtol=1e-9)


def test_bad_input(points):
    p = points(4)
    with pytest.raises(ValueError, match=r"momenta: \(4, 3, 4\), expected \[..., leg, 4\] of at"):
        gluons.ordered(p[:, :3], np.ones(3))
    with pytest.raises(ValueError, match=r"helicities: \(5,\), expected \[..., 4\]"):
        gluons.ordered(p, np.ones(5))
    with pytest.raises(ValueError, match="momenta: 8 legs, expected 4 to 7"):
        gluons.squared(np.zeros((8, 4)), ALPHA)
    with jax.enable_x64(False), pytest.raises(ValueError, match="expected float64"):
        gluons.ordered(p, np.ones(4))
