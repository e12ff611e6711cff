"""The search on device finds what a loop finds, says when it runs out of room, and no more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tracking import neighbours


@pytest.fixture(scope="module")
def event():
    """Positions [hit, 3] and modules [hit] of 60 hits in 6 modules, one of them empty."""
    rng = np.random.default_rng(0)
    module = rng.choice([0, 1, 2, 4, 5], 60)
    position = rng.normal(size=(60, 3)).astype(np.float32)
    position[:, 2] = 2.0 * module
    return position, module


def brute(position, module, slope, steps):
    d = position[None] - position[:, None]
    near = np.abs(d[..., :2]).max(-1) < slope * d[..., 2]
    return set(zip(*map(list, np.nonzero(near & np.isin(module[None] - module[:, None], steps)))))


def found(pairs):
    mask = np.asarray(pairs.mask)
    return list(zip(*(np.asarray(x)[mask].tolist() for x in pairs[:2])))


@functools.partial(jax.jit, static_argnames=("steps", "capacity"))
def search(hits, position, steps, capacity):
    links = neighbours.steps(6, steps)
    return neighbours.search(hits, position, neighbours.window(0.5), links=links, capacity=capacity)


@pytest.mark.smoke
@pytest.mark.parametrize("steps", [(1,), (2,), (1, 2, 3, 9)])
def test_a_window_finds_what_a_loop_finds(event, steps):
    position, module = event
    hits = neighbours.table(module, n_modules=6, width=32)
    pairs = search(hits, position, steps, 2000)
    listed = found(pairs)
    assert len(listed) == len(set(listed)) == int(pairs.n_found)
    assert set(listed) == brute(position, module, 0.5, steps)


def test_what_does_not_fit_is_counted(event):
    position, module = event
    hits = neighbours.table(module, n_modules=6, width=32)
    whole, cut = (search(hits, position, (1, 2), capacity) for capacity in (2000, 7))
    assert int(cut.n_found) == int(whole.n_found) > 7
    assert found(cut) == found(whole)[:7]


def test_the_order_of_hits_and_more_places_do_not_matter(event):
    position, module = event
    order = np.random.default_rng(1).permutation(60)
    hits = neighbours.table(module, n_modules=6, width=32)
    moved = neighbours.table(module[order], n_modules=6, width=48)
    once, again = search(hits, position, (1,), 500), search(moved, position[order], (1,), 500)
    assert {(order[a], order[b]) for a, b in found(again)} == set(found(once))


def test_learned_coordinates(event):
    position, module = event
    hits = neighbours.table(module, n_modules=6, width=32)
    flat = jnp.asarray(position[:, :2])
    pairs = neighbours.search(
        hits, flat, neighbours.within(0.7), links=neighbours.steps(6, (1,)), capacity=900
    )
    d = np.linalg.norm(position[None, :, :2] - position[:, None, :2], axis=-1)
    near = (d < 0.7) & (module[None] - module[:, None] == 1)
    assert set(found(pairs)) == set(zip(*map(list, np.nonzero(near))))


def test_an_event_without_hits():
    hits = neighbours.table(np.zeros(0, int), n_modules=6, width=4)
    pairs = search(hits, np.zeros((1, 3), np.float32), (1,), 5)
    assert int(pairs.n_found) == 0
    assert not pairs.mask.any()


@pytest.mark.parametrize(("n_modules", "width"), [(5, 32), (6, 3)])
def test_a_table_that_is_too_small(event, n_modules, width):
    with pytest.raises(ValueError, match="module: 6 modules of up to"):
        neighbours.table(event[1], n_modules=n_modules, width=width)


def test_places():
    kept = jnp.array([True, False, True, True])
    assert neighbours.places(kept, 9).tolist() == [0, 9, 1, 2]
    assert neighbours.places(kept, 2).tolist() == [0, 2, 1, 2]
    assert neighbours.places(kept, 9, start=5).tolist() == [5, 9, 6, 7]
