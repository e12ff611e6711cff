"""The best edges of each hit, what is said of them, and the network that looks at it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tracking import partners

N_HITS, N_EDGES, K = 12, 60, 4


@pytest.fixture(scope="module")
def edges():
    """Hits at random, edges along z with odds of which some are equal, and padding at the end."""
    rng = np.random.default_rng(3)
    position = np.c_[rng.normal(size=(N_HITS, 2)), 10.0 * np.arange(N_HITS)]
    ends = np.sort(np.stack([rng.permutation(N_HITS)[:2] for _ in range(N_EDGES)]), axis=1)
    odds = rng.integers(-4, 5, N_EDGES).astype(np.float32)
    odds[-5:] = -np.inf
    return jnp.asarray(position, jnp.float32), tuple(jnp.asarray(ends.T)), jnp.asarray(odds)


@pytest.mark.smoke
def test_the_best_are_those_of_a_sort(edges):
    _, (senders, _), odds = edges
    index, rank = partners.best(senders, odds, N_HITS, K)
    for hit in range(N_HITS):
        own = np.flatnonzero((np.asarray(senders) == hit) & np.isfinite(odds))
        order = own[np.lexsort((-own, -np.asarray(odds)[own]))][:K]
        assert index[hit].tolist() == [*order, *[-1] * (K - len(order))]
        assert np.asarray(rank)[order].tolist() == list(range(len(order)))
    assert (np.asarray(rank)[-5:] == K).all()
    assert (np.asarray(rank) < K).sum() == (np.asarray(index) >= 0).sum()


def test_what_is_said_of_an_edge_against_a_loop(edges):
    position, ends, odds = edges
    near = partners.look(position, ends, odds, K)
    own, of_partners = (np.asarray(x) for x in partners.describe(near, jnp.arange(N_EDGES)))
    a, b, o, p = (np.asarray(x) for x in (*ends, odds, position))
    slope = (p[b] - p[a])[:, :2] / (p[b] - p[a])[:, 2:]

    def top(there):
        return max(o[there], default=partners.NONE) / 5

    edge = np.arange(N_EDGES)
    for k in range(N_EDGES - 5):
        others = edge != k
        assert own[k, 0] == pytest.approx(o[k] / 5)
        expected = [(a == a[k]) & others, (b == b[k]) & others, b == a[k], a == b[k]]
        np.testing.assert_allclose(own[k, 1:5], [max(top(x), -3) for x in expected], rtol=1e-6)
        for side, there in ((slice(0, K), b == a[k]), (slice(K, 2 * K), a == b[k])):
            found = of_partners[k, side]
            found = found[found[:, 3] > 0]
            listed = np.flatnonzero(there & np.isfinite(o))
            listed = listed[np.lexsort((-listed, -o[listed]))][:K]
            kink = np.linalg.norm(slope[listed] - slope[k], axis=-1)
            scaled = np.log(kink / 1e-4 + 1) / np.log(1e4 + 1)
            np.testing.assert_allclose(found[:, 0], scaled, atol=1e-4)
            np.testing.assert_allclose(found[:, 1], o[listed] / 5, rtol=1e-6)
            np.testing.assert_allclose(found[:, 2] * 50, (p[b] - p[a])[listed, 2], rtol=1e-6)


def test_the_order_of_partners_does_not_matter_and_padding_says_nothing(edges):
    position, ends, odds = edges
    near = partners.look(position, ends, odds, K)
    own, of_partners = partners.describe(near, jnp.arange(N_EDGES))
    network = partners.PartnerNetwork(width=8)
    variables = network.init(jax.random.key(0), own, of_partners)
    once = network.apply(variables, own, of_partners)
    turned = jnp.concatenate([of_partners[:, :K][:, ::-1], of_partners[:, K:][:, ::-1]], 1)
    np.testing.assert_allclose(network.apply(variables, own, turned), once, atol=1e-5)
    loud = jnp.where(of_partners[..., 3:] > 0, of_partners, of_partners.at[..., :3].set(9.0))
    np.testing.assert_allclose(network.apply(variables, own, loud), once, atol=1e-5)
    swapped = jnp.concatenate([of_partners[:, K:], of_partners[:, :K]], 1)
    assert np.abs(network.apply(variables, own, swapped) - once).max() > 1e-3
    assert once.shape == (N_EDGES,)
    assert np.isfinite(once[:-5]).all()
