"""The likelihood of a jet's impact parameters, track by track: what IP3D makes of them.

`templates` fills, for each flavour and each kind of track (with or without a hit in the first
layer), a histogram of the two signed significances; `ratios` adds up the logarithm of the ratio of
two flavours over the tracks of a jet, as if they knew nothing of each other
(ATL-PHYS-PUB-2015-022). The histograms are to be filled with training jets only.

>>> RATIOS
(('b', 'u'), ('b', 'c'), ('c', 'u'))
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data

RATIOS = (("b", "u"), ("b", "c"), ("c", "u"))
EDGES = np.sinh(np.linspace(-4.2, 5.2, 41))
"""Bins of a significance, finer near 0; what is outside counts in the last ones."""


def templates(jets: jets_data.RaggedJets) -> np.ndarray:
    """Fill the histograms: [flavour, hit, bin of d0, bin of dz], each flavour and hit with sum 1.

    jets: a sample of Tracks with labels. Half a track is added to each bin, so that no logarithm is
    infinite.
    """
    place, jet = _place(jets)
    n = len(EDGES) - 1
    shape = (len(data.CLASSES), 2, n, n)
    counts = np.full(shape, 0.5)
    np.add.at(counts, (jets.label[jet], *place), jets.weight[jet])
    return counts / counts.sum((2, 3), keepdims=True)


def ratios(filled: np.ndarray, jets: jets_data.RaggedJets) -> np.ndarray:
    """Sum ln(p of one flavour / p of the other) over tracks: [jet, ratio], in the order of RATIOS.

    filled: of `templates`.
    """
    place, jet = _place(jets)
    found = np.zeros((len(jets.label), len(RATIOS)), np.float32)
    for k, (one, other) in enumerate(RATIOS):
        a, b = (np.log(filled[data.CLASSES.index(name)][place]) for name in (one, other))
        found[:, k] = np.bincount(jet, a - b, len(jets.label))
    return found


def _place(jets: jets_data.RaggedJets) -> tuple[Any, np.ndarray]:
    """Bins of each track in a template, and its jet."""
    tracks, count = jets.particles.values, batch.lengths(jets.particles)
    jet = np.repeat(np.arange(len(count)), count)
    forward = np.where(lorentz.eta(jets.p4) < 0, -1.0, 1.0)[jet]
    row = data.Tracks(*(jnp.asarray(x)[:, None] for x in tracks))
    both = (np.asarray(x)[:, 0] for x in data.significances(row, jnp.asarray(forward)))
    n = len(EDGES) - 1
    bins = (np.clip(np.searchsorted(EDGES, x, "right") - 1, 0, n - 1) for x in both)
    return (tracks.hits[:, 0].astype(int).clip(0, 1), *bins), jet
