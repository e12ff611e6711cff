"""The Lund planes of jets, emitter by emitter, and where a shower differs from data.

Undo the clustering of a jet by angle, and each step is an emission: how wide, Delta, and how hard
across, kt. In the plane (ln 1/Delta, ln kt) QCD radiates almost evenly (arXiv:1807.04758), so the
density of emissions tells where a shower differs from data. A W or a top is no emitter but two or
three quarks: `prongs` clusters a jet back into them, and each prong has a plane of its own. What a
prong emits emits in turn, and is a leaf with a plane of its own. `plane` lists the emissions of all
emitters, `density` counts them for each emitter in bins of its pT, prongs and leaves apart, and
`ratio` divides the densities of two samples. `reweighting` makes weights of it.

>>> values = Emissions(np.array([0.5, 1.5, 0.7]), np.array([0.2, 0.1, 1.4]))
>>> emissions = batch.Ragged(values, np.array([0, 2, 3]))
>>> two = Plane(emissions, np.array([100.0, 200.0]), np.array([True, True]), np.array([0, 1, 2]))
>>> bins = Bins(np.array([0.0, 1, 2]), np.array([0.0, 1, 2]), np.array([0.0]), np.array([0.0]))
>>> density(two, bins).value[..., 0].tolist()
[[0.5, 0.5], [0.5, 0.0]]
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from hepjax import batch, counting
from hepjax.jets import clustering, substructure

Algorithm = Literal["kt", "cambridge"]


class Bins(NamedTuple):
    """Bins of the planes, and of their emitters.

    ln_angle, ln_kt: edges [bin + 1]; prong_pt, leaf_pt: [bin] GeV, where bins of an emitter's pt
    begin, the last one open; below the first counts as in the first.
    """

    ln_angle: np.ndarray
    ln_kt: np.ndarray
    prong_pt: np.ndarray
    leaf_pt: np.ndarray


BINS = Bins(
    np.linspace(0.2, 5.2, 11),
    np.linspace(-1.5, 4.5, 13),
    np.array([0.0, 110.0, 200.0, 320.0]),
    np.array([0.0]),
)


class Emissions(NamedTuple):
    """Emissions off an emitter [emission], widest angle first."""

    ln_angle: Any  # ln(1 / Delta), Delta the distance in rapidity and azimuth
    ln_kt: Any  # ln(kt / GeV), kt = pt of the softer branch times Delta


class Plane(NamedTuple):
    """Emissions of the emitters of jets.

    emissions: Ragged of Emissions, one event an emitter; pt: [emitter] GeV; prong: [emitter] True
    for a prong, False for what was emitted; offsets: [jet + 1], jet i has the emitters offsets[i]
    to offsets[i + 1].
    """

    emissions: batch.Ragged
    pt: np.ndarray
    prong: np.ndarray
    offsets: np.ndarray


class Density(NamedTuple):
    """Emissions for each emitter and unit of area; error from resampled jets.

    value, error: [angle, kt, emitter], emitters by pt, prongs before leaves; 0 where there is none.
    """

    bins: Bins
    value: np.ndarray
    error: np.ndarray


class Ratio(NamedTuple):
    """Density of data over that of simulation; 1 where either is too sparse to tell.

    value, error: [angle, kt, emitter]; known: [angle, kt, emitter] bool; scale: [emitter] mean
    product of the ratios of an emitter in simulation, by which weights are divided so that as many
    emitters of each pt stay; replicas: value [replica, angle, kt, emitter] and scale [replica,
    emitter] again from resampled jets.
    """

    bins: Bins
    value: np.ndarray
    error: np.ndarray
    known: np.ndarray
    scale: np.ndarray
    replicas: tuple[np.ndarray, np.ndarray]


def prongs(
    p4: np.ndarray, offsets: np.ndarray, n: int, algorithm: Algorithm = "kt"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cluster jets back until n prongs are left: members [member], offsets [prong + 1] of them, and
    prongs of jets [jet + 1].

    p4: [particle, 4] (E, px, py, pz) GeV, jet after jet; offsets: [jet + 1]. A jet of fewer than n
    particles has a prong a particle. By FastJet (arXiv:1111.6097), with a radius that keeps all in.
    Raises ValueError for n below 1 or an empty jet.
    """
    import awkward as ak
    import fastjet

    if n < 1:
        raise ValueError(f"n: found {n}, expected one prong or more")
    count = np.diff(offsets)
    if np.any(count == 0):
        raise ValueError(f"offsets: jet {np.flatnonzero(count == 0)[0]} has no particles")
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), 1000.0)
    number, parts = np.minimum(count, n), []
    for k in np.unique(number):
        rows = np.flatnonzero(number == k)
        index, ends = clustering.take(np.arange(offsets[-1]), offsets, rows)
        columns = zip(("E", "px", "py", "pz"), np.asarray(p4[index], np.float64).T)
        particles = ak.zip(dict(columns), with_name="Momentum4D")
        sequence: Any = fastjet.ClusterSequence(ak.unflatten(particles, np.diff(ends)), definition)
        found = sequence.exclusive_jets_constituent_index(njets=int(k))
        size = ak.to_numpy(ak.flatten(ak.num(found, axis=2)))
        local = ak.to_numpy(ak.flatten(ak.flatten(found)))
        parts.append((np.repeat(rows, k), size, index[local + np.repeat(ends[:-1], np.diff(ends))]))
    jet, size, members = (np.concatenate(columns) for columns in zip(*parts))
    starts = np.concatenate([[0], np.cumsum(size)])
    members, starts = clustering.take(members, starts, np.argsort(jet, kind="stable"))
    return members, starts, np.concatenate([[0], np.cumsum(number)])


def plane(
    p4: np.ndarray, offsets: np.ndarray, n_prongs: int = 1, algorithm: Algorithm = "kt"
) -> Plane:
    """Decluster the prongs of jets by Cambridge/Aachen and list all emissions.

    Arguments as in `prongs`. Each particle is the end of one emitter; those of a jet stand prong by
    prong, each followed by its leaves.
    """
    members, starts, per_jet = prongs(p4, offsets, n_prongs, algorithm)
    inside = np.asarray(p4, np.float64)[members]
    found = substructure.splittings(inside, starts)
    total = substructure.jet_p4(inside, starts)
    prong = np.zeros(len(members), bool)
    prong[starts[:-1]] = True
    pt = np.empty(len(members))
    pt[prong], pt[~prong] = np.hypot(total[:, 1], total[:, 2]), found.pt
    kt = found.angle * found.pt
    some = kt > 0
    emitter = (starts[found.jet] + found.emitter)[some]
    order = np.argsort(emitter, kind="stable")
    values = Emissions(-np.log(found.angle[some][order]), np.log(kt[some][order]))
    ends = np.concatenate([[0], np.cumsum(np.bincount(emitter, minlength=len(pt)))])
    return Plane(batch.Ragged(values, ends.astype(np.int64)), pt, prong, starts[per_jet])


def take(plane: Plane, rows: np.ndarray) -> Plane:
    """Pick jets, in the order of rows [jet'], repeats allowed."""
    picked = batch.take(batch.Ragged(np.arange(len(plane.pt)), plane.offsets), rows)
    k = picked.values
    return Plane(batch.take(plane.emissions, k), plane.pt[k], plane.prong[k], picked.offsets)


def primary(plane: Plane) -> Plane:
    """Keep the prongs and what they emit, without leaves."""
    kept = np.flatnonzero(plane.prong)
    before = np.concatenate([[0], np.cumsum(plane.prong)])
    emissions = batch.take(plane.emissions, kept)
    return Plane(emissions, plane.pt[kept], plane.prong[kept], before[plane.offsets])


def jets_of(plane: Plane) -> np.ndarray:
    """Give the jet of each emitter [emitter]."""
    return np.repeat(np.arange(len(plane.offsets) - 1), np.diff(plane.offsets))


def density(
    plane: Plane,
    bins: Bins = BINS,
    weight: np.ndarray | None = None,
    *,
    n_replicas: int = 100,
    seed: int = 0,
) -> Density:
    """Count emissions for each emitter and unit of area.

    weight: [jet]; n_replicas: resamplings of the jets, whose spread is the error.
    """
    found = _resampled(plane, bins, weight, n_replicas, np.random.default_rng(seed))
    area = np.outer(np.diff(bins.ln_angle), np.diff(bins.ln_kt))[..., None]
    grid = found.means.reshape(-1, *shape(bins)) / area
    return Density(bins, grid[0], grid[1:].std(0, ddof=1))


def ratio(
    data: Plane,
    simulation: Plane,
    bins: Bins = BINS,
    *,
    data_weight: np.ndarray | None = None,
    simulation_weight: np.ndarray | None = None,
    least: float = 30.0,
    n_replicas: int = 100,
    seed: int = 0,
) -> Ratio:
    """Divide the density of data by that of simulation.

    weights: [jet]; least: number of emissions in a bin, of either sample, below which the ratio is
    1; n_replicas: resamplings of the jets of both.
    """
    rng = np.random.default_rng(seed)
    a, b = (
        _resampled(plane, bins, weight, n_replicas, rng)
        for plane, weight in ((data, data_weight), (simulation, simulation_weight))
    )
    known = np.minimum(a.n, b.n) >= least
    found = np.where(known & (b.means > 0), _divide(a.means, b.means), 1)
    grid = found.reshape(-1, *shape(bins))
    scale = np.ones((len(grid), grid.shape[-1]))
    for value, weight, row in zip(grid, b.copies, scale):
        product, each = np.exp(log_products(value, b.counts)), weight[b.jet]
        total, number = (np.bincount(b.place, x, len(row)) for x in (each * product, each))
        row[total > 0] = _divide(total, number)[total > 0]
    kept = known.reshape(shape(bins))
    error = grid[1:].std(0, ddof=1)
    return Ratio(bins, grid[0], error, kept, scale[0], (grid[1:], scale[1:]))


def shape(bins: Bins) -> tuple[int, int, int]:
    """Give the numbers of bins (angle, kt, emitter)."""
    n_emitters = len(bins.prong_pt) + len(bins.leaf_pt)
    return len(bins.ln_angle) - 1, len(bins.ln_kt) - 1, n_emitters


def counts(plane: Plane, bins: Bins = BINS) -> tuple[Any, np.ndarray]:
    """Count emissions: sparse [emitter, bin], bins of (angle, kt, emitter) in order, and the bin of
    each emitter [emitter]. Emissions outside of the plane do not count.
    """
    n_angle, n_kt, n_emitters = shape(bins)
    in_prongs = _begun(plane.pt, bins.prong_pt)
    in_leaves = len(bins.prong_pt) + _begun(plane.pt, bins.leaf_pt)
    place = np.where(plane.prong, in_prongs, in_leaves)
    emitter = np.repeat(np.arange(len(plane.pt)), batch.lengths(plane.emissions))
    x, y = (
        np.searchsorted(edges, values, side="right") - 1
        for edges, values in zip((bins.ln_angle, bins.ln_kt), plane.emissions.values)
    )
    inside = (x >= 0) & (x < n_angle) & (y >= 0) & (y < n_kt)
    index = ((x * n_kt + y) * n_emitters + place[emitter])[inside]
    grid = len(plane.pt), n_angle * n_kt * n_emitters
    return sparse.csr_array((np.ones(len(index)), (emitter[inside], index)), grid), place


def log_products(value: np.ndarray, counted: Any) -> np.ndarray:
    """Logarithm of the product of the ratios of an emitter's emissions [emitter].

    value: ratios [angle, kt, emitter]; counted: of `counts`.
    """
    return counted @ np.log(np.maximum(value, 1e-3)).ravel()


class _Resampled(NamedTuple):
    """Emissions for each emitter in bins, as they are and from resampled jets."""

    means: np.ndarray  # [1 + replica, bin]
    n: np.ndarray  # [bin] number of emissions, without weights
    copies: np.ndarray  # [1 + replica, jet] weights
    jet: np.ndarray  # [emitter]
    counts: Any  # [emitter, bin]
    place: np.ndarray  # [emitter]


def _resampled(
    plane: Plane,
    bins: Bins,
    weight: np.ndarray | None,
    n_replicas: int,
    rng: np.random.Generator,
) -> _Resampled:
    """Average over emitters, with jets counted once, then as often as a Poisson number says."""
    counted, place = counts(plane, bins)
    w = counting.weights(weight, len(plane.offsets) - 1)
    if not w.sum() > 0:
        raise ValueError("weight: expected a sum above 0")
    if n_replicas < 2:
        raise ValueError(f"n_replicas: found {n_replicas}, expected 2 or more")
    copies = np.concatenate([np.ones((1, len(w))), rng.poisson(1.0, (n_replicas, len(w)))]) * w
    jet, (n_angle, n_kt, n_emitters) = jets_of(plane), shape(bins)
    pairs = np.ones(len(jet)), (jet, np.arange(len(jet)))
    of_jets = sparse.csr_array(pairs, (len(w), len(jet)))
    kinds = sparse.csr_array((np.ones(len(jet)), (jet, place)), (len(w), n_emitters))
    number = np.tile(copies @ kinds, n_angle * n_kt)
    means = _divide(copies @ (of_jets @ counted), number)
    return _Resampled(means, np.asarray(counted.sum(0)), copies, jet, counted, place)


def _begun(x: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The last of the rising starts [bin] that is not above x, or the first."""
    return np.maximum(np.searchsorted(starts, x, side="right") - 1, 0)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)
