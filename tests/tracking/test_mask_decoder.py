"""Masks of queries: what is asked about, and tracks of particles after a short training."""

import jax
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import clouds, data, mask_decoder, metrics
from hepjax.tracking.simulation import velo


def events(n, seed):
    """Few straight tracks each, little noise."""
    beam = velo.Beam(n_collisions=1.0, n_prompt=12.0, noise=0.05)
    return [velo.event(jax.random.key(seed + k), beam) for k in range(n)]


@pytest.fixture(scope="module")
def sample():
    return [event for event in events(110, 300) if hits.n_hits(event) <= 256]


NETWORK = mask_decoder.MaskDecoder(32, 1, 32, n_rounds=1, cut=-2.0)
ROOM = 384


def train(sample, n_epochs):
    network = model.from_linen(NETWORK)
    made = [clouds.cloud(event, data.reconstructible(event), room=ROOM) for event in sample]
    plan = clouds.Plan(n_epochs=n_epochs, n_events=4, learning_rate=5e-3)
    return network, mask_decoder.fit(network, made, plan, seed=0)


@pytest.fixture(scope="module")
def trained(sample):
    """A network that has seen some events six times."""
    return train(sample[10:34], 6)


def test_queries_ask_about_the_hits_around_them(trained, sample):
    one = clouds.cloud(sample[0], room=ROOM)
    network = model.from_linen(NETWORK.clone(cut=-4.0))
    out = jax.device_get(clouds.apply(network, trained[1], one))
    n = int(one.mask.sum())
    assert out.real.sum() == min(int(out.n_found), ROOM // 12) > 0
    for query, looked, there in zip(out.query[out.real], out.looked, out.there):
        seen = looked[there]
        assert len(set(seen)) == len(seen) == min(n, 64)
        assert query in seen
        assert seen.max() < n


@pytest.mark.slow
def test_most_particles_are_found_and_few_tracks_are_fake(sample):
    trained, matched, wanted = train(sample[10:], 10), [], []
    for event in sample[:10]:
        found = mask_decoder.find(*trained, event)
        n = hits.n_particles(event)
        matched.append(metrics.match(found, event.truth, style="double_majority", n_particles=n))
        wanted.append(data.reconstructible(event))
    assert metrics.efficiency(matched, wanted).value > 0.6
    assert metrics.fake_rate(matched).value < 0.3


def test_all_first_hits_are_queries_while_it_trains(trained, sample):
    """And others beside them, where there is room, drawn anew each time."""
    event = max(sample[10:34], key=lambda event: data.reconstructible(event).sum())
    one = clouds.cloud(event, data.reconstructible(event), room=ROOM)
    first = set(np.flatnonzero(one.is_first))
    others = []
    for extra in (0.0, 0.1, 1.0):
        network = model.from_linen(NETWORK.clone(extra=extra))
        out = network.apply(trained[1], one, train=True, key=jax.random.key(3))
        query = np.asarray(out.query)[np.asarray(out.real)]
        assert first <= set(query)
        assert one.mask[query].all()
        assert len(query) == len(set(query)) <= ROOM // clouds.HITS_A_PARTICLE
        others.append(len(query) - len(first))
    assert others[0] == 0
    assert 0 < others[1] <= others[2]


def test_loss_of_a_perfect_answer_is_near_0(sample):
    """Logits that are right everywhere, for queries at all first hits."""
    event = sample[0]
    one = clouds.cloud(event, data.reconstructible(event))
    query = np.flatnonzero(one.is_first)
    n = int(one.mask.sum())
    looked = np.broadcast_to(np.arange(n), (len(query), n))
    target = clouds.same(one, query[:, None], looked)
    out = mask_decoder.Output(
        np.where(one.is_first, 20.0, -20.0).astype(np.float32),
        query,
        np.ones(len(query), bool),
        looked,
        np.ones(looked.shape, bool),
        np.where(target, 20.0, -20.0).astype(np.float32),
        len(query),
    )
    for term in mask_decoder.loss(out, one).values():
        assert float(term.total / term.weight) < 1e-6
    wrong = mask_decoder.loss(out._replace(masks=-out.masks, first=-out.first), one)
    assert all(float(term.total / term.weight) > 0.5 for term in wrong.values())


def test_no_hits(trained, sample):
    empty = hits.select(sample[0], np.zeros(hits.n_hits(sample[0]), bool))
    assert mask_decoder.find(*trained, empty).shape == (0, 2)


def test_a_cloud_grows_until_there_is_room_for_all_queries(sample):
    """Of an oracle that lets each hit ask for the hits of its own particle."""
    rooms = []

    def apply(variables, cloud, **_):
        n, room = cloud.mask.sum(), len(cloud.mask) // clouds.HITS_A_PARTICLE
        rooms.append(len(cloud.mask))
        query = jax.numpy.minimum(np.arange(room), n - 1)
        looked = np.broadcast_to(np.arange(len(cloud.mask)), (room, len(cloud.mask)))
        mine = clouds.same(cloud, query[:, None], looked)
        there = np.ones_like(looked, bool)
        logit = jax.numpy.where(mine, 5.0, -5.0)
        return mask_decoder.Output(None, query, there[:, 0], looked, there, logit, n)

    event = max(sample, key=hits.n_hits)
    found = mask_decoder.find(model.Model(None, apply, None), {}, event)
    assert rooms == [rooms[0] * 2**k for k in range(len(rooms))]
    assert rooms[-2] // 12 < hits.n_hits(event) <= rooms[-1] // 12
    n = hits.n_particles(event)
    matched = metrics.match(found, event.truth, style="double_majority", n_particles=n)
    assert matched.is_found[matched.particle_size >= 3].all()


def test_the_loss_falls(trained, sample):
    network, variables = trained
    one = clouds.cloud(sample[0], data.reconstructible(sample[0]), room=ROOM)
    start = jax.jit(network.init)(jax.random.key(0), one)

    @jax.jit
    def total(variables, one):
        out = network.apply(variables, one, train=True, key=jax.random.key(1))
        terms = mask_decoder.loss(out, one)
        return sum(mask_decoder.WEIGHTS[k] * x.total / x.weight for k, x in terms.items())

    assert float(total(variables, one)) < 0.8 * float(total(start, one))
