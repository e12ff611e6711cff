"""Object condensation: its potentials by hand, and clusters of what is clustered."""

import jax
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import clouds, condensation, metrics

N = 40


@pytest.fixture(scope="module")
def cloud():
    """Three particles of eight hits, one that is not wanted, some noise, some padding."""
    particle = np.repeat([0, 1, 2, -2, -1], [8, 8, 8, 2, 14])
    first = np.isin(np.arange(N), [0, 8, 16])
    mask = np.arange(N) < 28
    return clouds.Cloud(np.zeros((N, 6)), mask, np.arange(N), particle, first)


@pytest.fixture(scope="module")
def out():
    rng = np.random.default_rng(0)
    place = rng.normal(size=(N, 2)).astype(np.float32)
    return condensation.Output(place, rng.normal(size=N).astype(np.float32))


def by_hand(out, cloud):
    """Equations 3 to 8 of arXiv:2002.03605, one hit and one particle after the other."""
    beta = 1 / (1 + np.exp(-out.logit))
    q = np.arctanh(beta) ** 2 + condensation.Q_MIN
    counts = cloud.mask & (cloud.particle >= -1)
    pull = push = hold = 0.0
    for particle in range(3):
        mine = np.flatnonzero(cloud.mask & (cloud.particle == particle))
        point = mine[np.argmax(beta[mine])]
        hold += (1 - beta[point]) / 3
        for hit in np.flatnonzero(counts):
            away = np.linalg.norm(out.place[hit] - out.place[point])
            if hit in mine:
                pull += away**2 * q[hit] * q[point]
            else:
                push += max(0, 1 - away) * q[hit] * q[point]
    noise = cloud.mask & (cloud.particle == -1)
    return {
        "attract": pull / counts.sum(),
        "repel": push / counts.sum(),
        "beta": hold,
        "noise": beta[noise].mean(),
    }


def test_potentials_by_hand(out, cloud):
    found = condensation.condensation()(out, cloud)
    for name, expected in by_hand(out, cloud).items():
        assert float(found[name].total / found[name].weight) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("build", [condensation.condensation, condensation.contrastive])
def test_descent_parts_the_particles(build, cloud):
    """Places themselves are learned: in the end particles are apart, and hits together."""
    loss = build()

    def objective(place):
        terms = loss(condensation.Output(place, logit), cloud)
        return sum(terms[k].total / terms[k].weight for k in ("attract", "repel"))

    rng = np.random.default_rng(1)
    place, logit = rng.normal(size=(N, 2)).astype(np.float32) * 0.3, np.full(N, 1.0, np.float32)
    slope = jax.jit(jax.grad(objective))
    for _ in range(600):
        place = place - 0.2 * np.asarray(slope(place))
    assert np.isfinite(place).all()
    middle = np.stack([place[8 * k : 8 * k + 8].mean(0) for k in range(3)])
    spread = max(
        np.linalg.norm(place[8 * k : 8 * k + 8] - middle[k], axis=1).max() for k in range(3)
    )
    apart = min(np.linalg.norm(middle[a] - middle[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert spread < 0.4 * apart


def test_condense_takes_points_by_falling_beta():
    place = np.array([[0.0], [0.5], [1.0], [5.0], [5.1]])
    beta = np.array([0.5, 0.9, 0.6, 0.2, 0.1])
    everyone = np.ones(5, bool)
    assert condensation.condense(place, beta, everyone).tolist() == [1, 1, 1, -1, -1]
    low = condensation.condense(place, beta, everyone, min_beta=0.05)
    assert low.tolist() == [1, 1, 1, 3, 3]
    small = condensation.condense(place, beta, everyone, radius=0.3)
    assert small.tolist() == [0, 1, 2, -1, -1]
    masked = condensation.condense(place, beta, np.arange(5) != 1)
    assert masked.tolist() == [0, -1, 2, -1, -1]


def test_clusters_by_density():
    place = np.repeat([[0.0, 0], [1, 0], [0, 1]], 4, axis=0) + 0.01 * np.arange(12)[:, None]
    label = condensation.cluster(place, np.arange(12) != 5, radius=0.1, min_hits=2)
    assert label.tolist() == [0] * 4 + [1, -1, 1, 1] + [2] * 4
    none = condensation.cluster(place, np.zeros(12, bool), radius=0.1, min_hits=2)
    assert (none == -1).all()


def test_tracks_of_a_network_that_knows_the_truth(pixel_sample):
    """Both ways of clustering, on an event whose particles have places of their own."""
    event = pixel_sample[0].event
    n = hits.n_particles(event)
    own = np.random.default_rng(0).normal(size=(n, 6)) * 50

    def apply(variables, cloud, **_):
        place = np.concatenate([own, np.random.default_rng(1).normal(size=(1024, 6)) * 500])
        free = n + np.arange(len(cloud.mask)) % 1024
        at = jax.numpy.asarray(place)[jax.numpy.where(cloud.particle < 0, free, cloud.particle)]
        return condensation.Output(at, jax.numpy.where(cloud.particle < 0, -5.0, 5.0))

    oracle = model.Model(None, apply, None)
    for by in ("condensation", "density"):
        found = condensation.find(oracle, {}, event, by=by)
        matched = metrics.match(found, event.truth, style="double_majority", n_particles=n)
        many = matched.particle_size >= 3
        assert matched.is_found[many].mean() > 0.99
        assert (matched.particle_of >= 0).mean() > 0.99
    with pytest.raises(ValueError, match="by: expected condensation or density, found 'hope'"):
        condensation.find(oracle, {}, event, by="hope")
    empty = hits.select(event, np.zeros(hits.n_hits(event), bool))
    assert condensation.find(oracle, {}, empty).shape == (0, 2)


def test_the_embedding_is_made_of_a_cloud(cloud):
    network = model.from_linen(condensation.Embedding(16, 1, 20, n_coordinates=3))
    variables = network.init(jax.random.key(0), cloud)
    found = network.apply(variables, cloud)
    assert found.place.shape == (N, 3)
    assert found.logit.shape == (N,)
