"""Clouds of hits: their order and truth, and a training that learns what it can see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import batch
from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import clouds, data


@pytest.fixture(scope="module")
def event(pixel_sample):
    return pixel_sample[0].event


def test_hits_stand_by_azimuth_with_their_truth(event):
    wanted = event.particles["pt"] > 0.5
    one = clouds.cloud(event, wanted)
    n = hits.n_hits(event)
    assert len(one.mask) % clouds.STEP == 0
    assert one.mask.sum() == n
    assert sorted(one.hit[:n]) == list(range(n))
    position = data.position(event)[one.hit[:n]]
    assert (np.diff(np.arctan2(position[:, 1], position[:, 0])) >= 0).all()
    truth = {(hit, particle) for hit, particle in event.truth.tolist()}
    for hit, particle in zip(one.hit[:n], one.particle[:n]):
        if particle >= 0:
            assert wanted[particle]
            assert (hit, particle) in truth
    noise = np.setdiff1d(np.arange(n), event.truth[:, 0])
    assert (one.particle[:n] == -1).sum() == len(noise)
    assert (one.particle[n:] == -1).all()
    assert not one.is_first[n:].any()


def test_each_wanted_particle_has_one_first_hit_the_innermost(event):
    one = clouds.cloud(event)
    particles = np.unique(one.particle[one.particle >= 0])
    assert sorted(one.particle[one.is_first]) == particles.tolist()
    far = (data.position(event) ** 2).sum(-1)
    for place in np.flatnonzero(one.is_first)[:40]:
        mine = one.hit[one.particle == one.particle[place]]
        assert far[one.hit[place]] == far[mine].min()


def test_events_that_do_not_fit_and_empty_ones(event):
    with pytest.raises(ValueError, match=r"hits, .* expected at most 64, 5"):
        clouds.cloud(event, room=64)
    empty = hits.select(event, np.zeros(hits.n_hits(event), bool))
    one = clouds.cloud(empty)
    assert not one.mask.any()
    assert len(one.mask) == clouds.STEP
    with pytest.raises(ValueError, match="sample: no event"):
        clouds.fit(model.Model(*[None] * 3), None, [], clouds.Plan(), seed=0)


def test_there_is_room_for_all_wanted_particles(event):
    """Of an event of many small particles the cloud is larger than its hits."""
    few = np.arange(hits.n_hits(event)) < 700
    cut = hits.select(event, few)
    everyone = clouds.cloud(cut)
    n = hits.n_particles(cut)
    assert n > clouds.STEP // clouds.HITS_A_PARTICLE
    assert everyone.is_first.sum() == n <= len(everyone.mask) // clouds.HITS_A_PARTICLE
    assert len(clouds.cloud(cut, np.arange(n) < 20).mask) == clouds.STEP


def test_a_network_learns_what_stands_in_the_cloud():
    """Hits of radius above 1 are to be told: a line in the features, found in some epochs."""
    rng = np.random.default_rng(0)
    sample = []
    for n in (30, 50, 20, 40):
        x = rng.normal(size=(64, 6)).astype(np.float32)
        there = np.arange(64) < n
        fill = np.full(64, -1)
        sample.append(clouds.Cloud(x, there, np.arange(64), fill, (x[:, 3] > 0.2) & there))

    def apply(variables, cloud, train=False, key=None):
        w = variables["params"]
        return cloud.features @ w[:6] + w[6]

    line = model.Model(lambda key, cloud: {"params": jnp.zeros(7)}, apply, None)

    def loss(out, cloud):
        away = jax.nn.softplus(jnp.where(cloud.is_first, -out, out))
        return batch.mean(away, cloud.mask.astype(jnp.float32))

    plan = clouds.Plan(n_epochs=150, n_events=3, learning_rate=0.2)
    found = clouds.fit(line, loss, sample, plan, seed=0)
    for one in sample:
        right = (clouds.apply(line, found, one) > 0) == one.is_first
        assert right[one.mask].mean() > 0.9


def test_batches_hold_clouds_of_one_room():
    """Three rooms, numbers of events that do not fill a batch: each event once an epoch."""
    x = np.zeros((0, 6), np.float32)
    sample = []
    for k, room in enumerate([8, 4, 8, 8, 16]):
        none = np.zeros(room, bool)
        hit = np.full(room, k)
        sample.append(clouds.Cloud(np.resize(x, (room, 6)), none, hit, hit, none))
    served = clouds._serve(sample, clouds.Plan(n_events=2), seed=0)
    seen = []
    for index in range(len(served.shapes(1))):
        one, there = served.get(1, index)
        assert one.mask.shape == (2, served.shapes(1)[index])
        seen += one.hit[there, 0].tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4]
