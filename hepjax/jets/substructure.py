"""Substructure of jets: N-subjettiness and the soft-drop mass, vectorised over jets in numpy.

A top decays to three prongs, a QCD jet has one. N-subjettiness tau_N asks how well N directions
describe a jet: the pT-weighted distance of the constituents to the nearest of N axes. tau_3 / tau_2
is small for tops. Soft drop undoes the clustering, drops the softer branch until a hard enough
splitting is found, and so leaves a mass that wide soft radiation does not shift.

Both start from a sequence of pairwise merges, which usual libraries make jet by jet. Here
``_cluster`` makes the same merge of every jet of a chunk at once, so nothing but numpy is needed,
and any file of jets can be given what a boosted decision tree wants: ``nsubjettiness``,
``soft_drop_mass``, and ``jet_p4`` for the plain sums. Jets are ragged: `p4` [particle, 4] = (E, px,
py, pz) in GeV of all constituents, one jet after the other, and `offsets` [jet + 1].

>>> p4 = np.array([[100.0, 100.0, 0.0, 0.0], [50.0, 49.0, 9.0, 4.0], [9.0, 8.0, -3.0, 2.0]])
>>> nsubjettiness(p4, np.array([0, 3]), n=3).round(3).tolist()
[[0.107, 0.029, 0.0]]
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_CHUNK = 192  # jets that are clustered together: their distance matrices fit in the cache


def jet_p4(p4: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of the constituents' four-vectors [jet, 4] in float64, zero for an empty jet."""
    p4, offsets = _checked(p4, offsets)
    total = np.zeros((len(p4) + 1, 4))
    np.cumsum(p4, axis=0, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def nsubjettiness(
    p4: np.ndarray, offsets: np.ndarray, n: int = 4, radius: float = 0.8
) -> np.ndarray:
    """tau_1 ... tau_n of each jet [jet, n], with beta = 1 and normalised by radius times sum of pT.

    The axes are the exclusive kt subjets with winner-take-all recombination (rapidity and phi of
    the harder branch). 0 where a jet has at most N constituents. Raises ValueError for ragged
    arrays that do not fit together or are not finite.

    Source: arXiv:1011.2268, eq. 2.1; axes arXiv:1401.2158. Equal to FastJet contrib's
    NormalizedMeasure with WTA_KT_Axes.
    """
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    p4, offsets = _checked(p4, offsets)
    tau = np.zeros((len(offsets) - 1, n))
    for jets, padded, mask in _chunks(p4, offsets):
        merges = _cluster(padded, mask, power=1, winner_takes_all=True, keep=n)
        pt, y, phi = _pt_y_phi(padded)
        pt = np.where(mask, pt, 0.0)
        for axes in merges.axes:
            count = axes.shape[1]
            distance2 = np.full(pt.shape, np.inf)
            for k in range(count):
                step = _delta_r2(y, phi, axes[:, k, None, 0], axes[:, k, None, 1])
                np.minimum(distance2, step, out=distance2)
            value = np.sum(pt * np.sqrt(distance2), axis=1) / (radius * pt.sum(axis=1))
            tau[jets, count - 1] = np.where(mask.sum(axis=1) > count, value, 0.0)
    return tau


def soft_drop_mass(
    p4: np.ndarray, offsets: np.ndarray, z_cut: float = 0.1, beta: float = 0.0, radius: float = 0.8
) -> np.ndarray:
    """Mass [jet] in GeV after soft drop: the first splitting with z > z_cut (dR / radius)^beta.

    The jet is clustered anew with Cambridge-Aachen and undone from its last merge; where no
    splitting passes, the one constituent that is left gives its mass. Raises ValueError as
    nsubjettiness.

    Source: arXiv:1402.2657, eq. 1.1.
    """
    p4, offsets = _checked(p4, offsets)
    mass = np.zeros(len(offsets) - 1)
    for jets, padded, mask in _chunks(p4, offsets):
        merges = _cluster(padded, mask, power=0, winner_takes_all=False)
        groomed = _undo(merges, z_cut, beta, radius)
        mass2 = groomed[:, 0] ** 2 - np.sum(groomed[:, 1:] ** 2, axis=1)
        mass[jets] = np.sqrt(np.maximum(mass2, 0.0))  # rounding of massless remnants
    return mass


class Splittings(NamedTuple):
    """All splittings of jets that were clustered by angle [splitting], the last merge of a jet
    first, jet after jet.

    The harder branch goes on as the emitter that it was, the softer one is an emitter of its own:
    emitter 0 of a jet is the jet, emitter k + 1 what split off in its splitting k.
    """

    jet: np.ndarray  # [splitting]
    emitter: np.ndarray  # [splitting] that splits, of its jet
    angle: np.ndarray  # [splitting] between the branches, in rapidity and phi
    pt: np.ndarray  # [splitting] GeV, of the softer branch


def splittings(p4: np.ndarray, offsets: np.ndarray) -> Splittings:
    """Undo the Cambridge-Aachen clustering of jets down to their particles.

    A jet of n particles has n - 1 splittings. Raises ValueError as nsubjettiness.

    Source: arXiv:1807.04758, section 2.1, all leaves.
    """
    p4, offsets = _checked(p4, offsets)
    parts = []
    for jets, padded, mask in _chunks(p4, offsets):
        merges = _cluster(padded, mask, power=0, winner_takes_all=False)
        n_steps, b = len(merges.slots), np.arange(len(jets))
        owner = np.zeros(mask.shape, np.int64)
        pt, y, phi = _pt_y_phi(merges.branches)
        emitter, hard = np.zeros((n_steps, len(jets)), np.int64), pt.argmax(axis=-1)
        for k in range(n_steps):
            pair, first = merges.slots[-1 - k], hard[-1 - k]
            emitter[k] = owner[b, pair[:, 0]]  # a merge left its result there
            owner[b, pair[b, first]] = emitter[k]
            owner[b, pair[b, 1 - first]] = k + 1
        angle = np.sqrt(_delta_r2(y[..., 0], phi[..., 0], y[..., 1], phi[..., 1]))
        begun = merges.slots[::-1, :, 0] >= 0
        columns = np.broadcast_to(jets, begun.shape), emitter, angle[::-1], pt.min(axis=-1)[::-1]
        parts.append([x.T[begun.T] for x in columns])
    if not parts:
        return Splittings(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))
    found = [np.concatenate(columns) for columns in zip(*parts)]
    order = np.argsort(found[0], kind="stable")
    return Splittings(*(column[order] for column in found))


class Merges(NamedTuple):
    """What ``_cluster`` did; a merge of slots i and j leaves its result in slot i."""

    slots: np.ndarray  # [step, jet, 2] i and j; i = -1 where a jet had not begun
    branches: np.ndarray  # [step, jet, 2, 4] the four-vectors that were merged
    last: np.ndarray  # [jet] slot of the whole jet
    p4: np.ndarray  # [jet, 4] the whole jet
    axes: list[np.ndarray]  # (y, phi) [jet, N, 2] of the last N branches, N = keep ... 1


def _cluster(
    p4: np.ndarray, mask: np.ndarray, power: int, winner_takes_all: bool, keep: int = 0
) -> Merges:
    """Merge the pair of least min(pT_i, pT_j)^(2 power) dR_ij^2 until one branch is left.

    All jets of `p4` [jet, slot, 4], `mask` [jet, slot] advance together; jets come by rising length
    and a shorter one begins later, so that all end at once and those at work are a slice. Nearest
    neighbours are kept and only looked up anew where one of them was merged away.
    """
    n_jets, n_slots = mask.shape
    p4, count = p4.copy(), mask.sum(axis=1)
    pt, y, phi = _pt_y_phi(p4)
    dead = np.where(mask, 0.0, np.inf)  # is added to distances
    pair = np.empty((n_jets, n_slots, n_slots))
    nearest, closest = np.empty((n_jets, n_slots), np.int64), np.empty((n_jets, n_slots))
    for k in range(n_slots):
        row = _distance(pt, y, phi, pt[:, k, None], y[:, k, None], phi[:, k, None], power)
        row += dead + dead[:, k, None]
        row[:, k] = np.inf
        pair[:, k], nearest[:, k], closest[:, k] = row, row.argmin(axis=1), row.min(axis=1)
    slots = np.full((n_slots - 1, n_jets, 2), -1)
    branches = np.zeros((n_slots - 1, n_jets, 2, 4))
    axes = []
    for step in range(n_slots - 1):
        if n_slots - step <= keep:
            axes.append(_axes(y, phi, pt, dead, n_slots - step))
        start = int(np.searchsorted(count, n_slots - step))
        b = np.arange(start, n_jets)
        i = closest[start:].argmin(axis=1)
        j = nearest[b, i]
        slots[step, start:, 0], slots[step, start:, 1] = i, j
        if winner_takes_all:
            hard = np.where(pt[b, i] >= pt[b, j], i, j)
            merged = pt[b, i] + pt[b, j], y[b, hard], phi[b, hard]
        else:
            p4_i, p4_j = p4[b, i], p4[b, j]
            branches[step, start:, 0], branches[step, start:, 1] = p4_i, p4_j
            p4[b, i] = p4_i + p4_j
            merged = _pt_y_phi(p4[b, i])
        pt[b, i], y[b, i], phi[b, i] = merged
        dead[b, j] = np.inf
        now = slice(start, None)
        new_pt, new_y, new_phi = (x[:, None] for x in merged)
        fresh = _distance(pt[now], y[now], phi[now], new_pt, new_y, new_phi, power)
        fresh += dead[now]
        fresh[b - start, i] = np.inf
        pair[b, i, :] = pair[b, :, i] = fresh
        closest[b, j] = np.inf
        _update_nearest(pair[now], nearest[now], closest[now], dead[now], fresh, i, j)
    last = dead.argmin(axis=1)
    if keep:
        axes.append(_axes(y, phi, pt, dead, 1))
    return Merges(slots, branches, last, p4[np.arange(n_jets), last], axes)


def _update_nearest(pair, nearest, closest, dead, fresh, i, j) -> None:
    """Bring `nearest` and `closest` [jet, slot] up to date after slots i, j merged into i."""
    stale = (nearest == i[:, None]) | (nearest == j[:, None])
    stale[np.arange(len(i)), i] = True
    stale &= dead == 0
    better = fresh < closest
    np.copyto(nearest, i[:, None], where=better)
    np.copyto(closest, fresh, where=better)
    row, slot = np.divmod(np.flatnonzero(stale), stale.shape[1])
    rows = pair[row, slot]
    rows += dead[row]
    best = rows.argmin(axis=1)
    nearest[row, slot] = best
    closest[row, slot] = rows[np.arange(len(rows)), best]


def _distance(pt1, y1, phi1, pt2, y2, phi2, power: int) -> np.ndarray:
    """Distance of the kt family, without its 1 / R^2, broadcast."""
    distance = _delta_r2(y1, phi1, y2, phi2)
    if power:
        distance *= np.minimum(pt1, pt2) ** (2 * power)
    return distance


def _undo(merges: Merges, z_cut: float, beta: float, radius: float) -> np.ndarray:
    """Four-vector [jet, 4] that soft drop leaves, walking the merges backwards."""
    groomed, slot = merges.p4.copy(), merges.last.copy()
    active = np.ones(len(slot), bool)
    for slots, branches in zip(merges.slots[::-1], merges.branches[::-1]):
        b = np.flatnonzero(active & (slots[:, 0] == slot))
        pt, y, phi = _pt_y_phi(branches[b])
        z = pt.min(axis=1) / pt.sum(axis=1)
        delta_r2 = _delta_r2(y[:, 0], phi[:, 0], y[:, 1], phi[:, 1])
        passes = z > z_cut * (delta_r2 / radius**2) ** (beta / 2)
        active[b[passes]] = False
        b, hard = b[~passes], pt.argmax(axis=1)[~passes]
        groomed[b], slot[b] = branches[b, hard], slots[b, hard]
    return groomed


def _axes(y, phi, pt, dead, count: int) -> np.ndarray:
    """(y, phi) [jet, count, 2] of the branches alive; a jet with fewer repeats one of them."""
    order = np.argsort(dead - pt, axis=1)[:, :count]
    alive = np.take_along_axis(dead, order, axis=1) == 0
    order = np.where(alive, order, order[:, :1])
    return np.stack([np.take_along_axis(x, order, axis=1) for x in (y, phi)], axis=-1)


def _pt_y_phi(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pT, rapidity and phi of p4 [..., 4]; 0 for a zero vector."""
    energy, px, py, pz = np.moveaxis(p4, -1, 0)
    pt2 = px**2 + py**2
    mass2 = np.maximum((energy - pz) * (energy + pz) - pt2, 0.0)
    transverse = np.sqrt(pt2 + mass2)
    zero = transverse == 0
    rapidity = np.log((energy + np.abs(pz) + zero) / (transverse + zero))
    return np.sqrt(pt2), np.copysign(rapidity, pz), np.arctan2(py, px)


def _delta_r2(y1, phi1, y2, phi2) -> np.ndarray:
    """Squared distance in rapidity and phi, broadcast."""
    delta_phi = np.abs(phi1 - phi2)
    np.minimum(delta_phi, 2 * np.pi - delta_phi, out=delta_phi)
    delta_phi *= delta_phi
    delta_y = y1 - y2
    delta_y *= delta_y
    delta_y += delta_phi
    return delta_y


def _chunks(
    p4: np.ndarray, offsets: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Non-empty jets of like length: their indices [jet], p4 [jet, slot, 4], mask [jet, slot]."""
    length = np.diff(offsets)
    order = np.argsort(length, kind="stable")
    order = order[length[order] > 0]
    for start in range(0, len(order), _CHUNK):
        jets = order[start : start + _CHUNK]
        mask = np.arange(length[jets].max()) < length[jets, None]
        padded = np.zeros((*mask.shape, 4))
        padded[mask] = p4[(offsets[jets, None] + np.arange(mask.shape[1]))[mask]]
        yield jets, padded, mask


def _checked(p4: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p4, offsets = np.asarray(p4, np.float64), np.asarray(offsets, np.int64)
    if p4.ndim != 2 or p4.shape[1] != 4:
        raise ValueError(f"p4 has shape {p4.shape}, expected [particle, 4]")
    if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(p4):
        raise ValueError(f"offsets must be [jet + 1] from 0 to {len(p4)}, the number of particles")
    if (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets fall at jet {int(np.argmax(np.diff(offsets) < 0))}")
    bad = ~np.isfinite(p4).all(axis=1)
    if bad.any():
        raise ValueError(f"p4 is not finite at particle {int(np.argmax(bad))}")
    return p4, offsets
