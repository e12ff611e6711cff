"""Showers of independent emissions, off prongs and off what they emit, with a known ratio."""

import numpy as np

from hepjax import batch
from hepjax.jets import lund

BINS = lund.Bins(
    np.linspace(0, 4, 5), np.linspace(-1, 3, 5), np.array([0.0, 100.0]), np.array([0.0])
)


def shower(n_jets, rng, *, excess=0.0, n_prongs=2):
    """Prongs emit evenly over BINS, one a unit of area, and leaves a twentieth of that; of hard
    emissions (ln kt above 2) there are more by `excess`.
    """
    n = n_jets * n_prongs
    first = _emissions(rng, n, 1.0, excess)
    n_leaves = batch.lengths(first)
    second = _emissions(rng, int(n_leaves.sum()), 0.05, excess)
    # each prong, then its leaves; what leaves emit has no emitter of its own
    before = np.concatenate([[0], np.cumsum(n_leaves + 1)])
    prong = np.zeros(before[-1], bool)
    prong[before[:-1]] = True
    where = np.empty(before[-1], np.int64)
    where[prong], where[~prong] = np.arange(n), n + np.arange(len(prong) - n)
    emissions = batch.take(batch.concatenate([first, second]), where)
    pt = np.where(prong, rng.uniform(50, 150, len(prong)), 5.0)
    return lund.Plane(emissions, pt, prong, before[::n_prongs])


def _emissions(rng, n, rate, excess):
    number = rng.poisson(rate * (16 + 4 * excess), n)
    total = int(number.sum())
    hard = rng.random(total) < 4 * (1 + excess) / (16 + 4 * excess)
    ln_kt = np.where(hard, rng.uniform(2, 3, total), rng.uniform(-1, 2, total))
    values = lund.Emissions(rng.uniform(0, 4, total), ln_kt)
    return batch.Ragged(values, np.concatenate([[0], np.cumsum(number)]))


def hardness(plane):
    """A tagger that looks at all emissions of a jet together [jet]."""
    emitter = np.repeat(np.arange(len(plane.pt)), batch.lengths(plane.emissions))
    jet = lund.jets_of(plane)[emitter]
    kt = np.exp(plane.emissions.values.ln_kt)
    return np.bincount(jet, kt, minlength=len(plane.offsets) - 1)
