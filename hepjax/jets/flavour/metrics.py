"""How well flavours are told apart: the discriminant, rejections at a b efficiency, and vertices.

`discriminant` makes one number of a tagger's probabilities, with a share of charm and of tau in the
background that is a choice (f_c, f_tau); `rejections` gives what remains of each background, and
`fraction_scan` shows how the choice trades one against another. `vertex_performance` compares
groups of tracks with the vertices of the generator.

>>> flat = np.zeros((1, 4))
>>> round(float(discriminant(flat)[0]), 6) + 0.0
0.0
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting, metrics
from hepjax.jets.flavour.generator import CLASSES

F_C, F_TAU = 0.2, 0.01
"""Shares of charm and tau in the background of the b discriminant, as ATLAS has them for GN2."""


def discriminant(logits: ArrayLike, f_c: float = F_C, f_tau: float = F_TAU) -> np.ndarray:
    """ln(p_b / (f_c p_c + f_tau p_tau + (1 - f_c - f_tau) p_u)): [jet].

    logits: [jet, class] in the order of CLASSES. Raises ValueError for shares below 0 or with a
    sum above 1. Source: arXiv:2505.19689, eq. 1.
    """
    if f_c < 0 or f_tau < 0 or f_c + f_tau > 1:
        counting.fail("f_c, f_tau", f"{f_c}, {f_tau}", "shares of at least 0, their sum at most 1")
    x = counting.read("logits", logits, axes="[jet, class]")
    if x.shape[1] != len(CLASSES):
        counting.fail("logits", x.shape, f"[jet, {len(CLASSES)}]")
    with np.errstate(divide="ignore"):
        share = np.log([1 - f_c - f_tau, f_c, 0, f_tau])
    return x[:, CLASSES.index("b")] - np.logaddexp.reduce(x + share, axis=1)


def rejections(
    score: ArrayLike, label: ArrayLike, efficiency: float = 0.7, weight: ArrayLike | None = None
) -> dict[str, metrics.Rejection]:
    """1 / efficiency of each background that has jets, at an efficiency of b jets.

    score: [jet]; label: [jet] index into CLASSES; weight: [jet].
    """
    s, y = np.asarray(score, np.float64), np.asarray(label)
    w, b = counting.weights(weight, len(s)), CLASSES.index("b")
    found = {}
    for k, name in enumerate(CLASSES):
        pair = (y == b) | (y == k)
        if k != b and np.any(y == k):
            found[name] = metrics.rejection(s[pair], y[pair] == b, efficiency, w[pair])
    return found


def fraction_scan(
    logits: ArrayLike,
    label: ArrayLike,
    fractions: Sequence[float],
    *,
    efficiency: float = 0.7,
    f_tau: float = F_TAU,
) -> dict[str, list[metrics.Rejection]]:
    """Rejections of each background for each f_c in `fractions`."""
    found: dict[str, list[metrics.Rejection]] = {}
    for f_c in fractions:
        of = rejections(discriminant(logits, f_c, f_tau), label, efficiency)
        for name, value in of.items():
            found.setdefault(name, []).append(value)
    return found


class VertexPerformance(NamedTuple):
    """How found vertices compare with true ones."""

    efficiency: Mapping[str, counting.Efficiency]  # flavour -> true secondary vertices found
    fake_rate: Mapping[str, counting.Efficiency]  # flavour -> found ones that match none


def vertex_performance(
    found: np.ndarray,
    true: np.ndarray,
    jet: np.ndarray,
    label: np.ndarray,
    *,
    recall: float = 0.65,
    purity: float = 0.5,
) -> VertexPerformance:
    """Match groups of at least two tracks to true secondary vertices of at least two.

    found, true: [track] vertex within the jet, 0 the primary one; jet: [track]; label: [jet]. A
    true vertex is found if one group holds more than `recall` of its tracks, which are more than
    `purity` of that group (ATL-PHYS-PUB-2022-027). A group that so matches nothing is a fake.
    """
    true_id, n_true = _ids(jet, true)
    found_id, n_found = _ids(jet, found)
    both = (true_id >= 0) & (found_id >= 0)
    pair, shared = np.unique(np.stack([true_id[both], found_id[both]]), axis=1, return_counts=True)
    size_true = np.bincount(true_id[true_id >= 0], minlength=n_true)
    size_found = np.bincount(found_id[found_id >= 0], minlength=n_found)
    match = (shared > recall * size_true[pair[0]]) & (shared > purity * size_found[pair[1]])
    is_found, is_true = np.zeros(n_true, bool), np.zeros(n_found, bool)
    is_found[pair[0][match]], is_true[pair[1][match]] = True, True
    of_true, of_found = _first(true_id, jet, n_true), _first(found_id, jet, n_found)
    real, group = size_true >= 2, size_found >= 2
    efficiency, fake = {}, {}
    for k, name in enumerate(CLASSES):
        at = real & (label[of_true] == k)
        if at.any():
            efficiency[name] = counting.efficiency(is_found[at].sum(), at.sum())
        at = group & (label[of_found] == k)
        if at.any():
            fake[name] = counting.efficiency((~is_true[at]).sum(), at.sum())
    return VertexPerformance(efficiency, fake)


def _ids(jet: np.ndarray, vertex: np.ndarray) -> tuple[np.ndarray, int]:
    """Number secondary vertices through all jets: [track], -1 for tracks of the primary one."""
    ids = np.full(len(jet), -1)
    away = vertex > 0
    pairs, index = np.unique(np.stack([jet[away], vertex[away]]), axis=1, return_inverse=True)
    ids[away] = index.ravel()
    return ids, pairs.shape[1]


def _first(ids: np.ndarray, jet: np.ndarray, n: int) -> np.ndarray:
    of = np.zeros(n, np.int64)
    of[ids[ids >= 0]] = jet[ids >= 0]
    return of
