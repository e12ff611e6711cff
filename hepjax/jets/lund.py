"""The Lund plane of a jet, and simulation corrected emission by emission.

Undo the clustering of a jet by angle, and each step is an emission: how wide, Delta, and how hard
across, kt. In the plane (ln 1/Delta, ln kt) QCD radiates almost evenly (arXiv:1807.04758), so the
density of emissions tells where a shower differs from data. `primary` finds the emissions along the
harder branch, `density` their number for each jet and unit of area, `ratio` that of two samples,
and `weights` gives each simulated jet the product of the ratios of its emissions, so that a tagger
that looks at radiation is corrected without knowing how it works (as CMS does, arXiv:2507.07775).
Emissions are taken to be independent of each other but for that, which `corrected_efficiency` puts
to the test by coarser bins and states as an uncertainty.

>>> values = Emissions(np.array([0.5, 1.5, 0.7]), np.array([0.2, 0.1, 1.4]))
>>> plane = batch.Ragged(values, np.array([0, 2, 3]))
>>> found = density(plane, [np.array([0.0, 1, 2]), np.array([0.0, 1, 2])])
>>> found.value.tolist()
[[0.5, 0.5], [0.5, 0.0]]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hepjax import batch, counting

EDGES = (np.linspace(0.2, 4.7, 10), np.linspace(-1.5, 4.5, 13))
"""Bins of ln(1/Delta) and ln(kt / GeV)."""


class Emissions(NamedTuple):
    """Emissions off the harder branch [emission], widest angle first."""

    ln_angle: Any  # ln(1 / Delta), Delta the distance in rapidity and azimuth
    ln_kt: Any  # ln(kt / GeV), kt = pt of the softer branch times Delta


class Density(NamedTuple):
    """Emissions for each jet and unit of area; error from the spread over jets."""

    edges: tuple[np.ndarray, ...]
    value: np.ndarray  # [angle, kt]
    error: np.ndarray


class Ratio(NamedTuple):
    """Density of one sample over that of another; 1 where either is too sparse to tell.

    value, error: [angle, kt]; known: [angle, kt] bool; replicas: [replica, angle, kt], the value
    again from resampled jets.
    """

    edges: tuple[np.ndarray, ...]
    value: np.ndarray
    error: np.ndarray
    known: np.ndarray
    replicas: np.ndarray


class Correction(NamedTuple):
    """An efficiency of simulation, corrected.

    plain: without correction; corrected: with it; statistical: of both samples and of the ratio;
    method: change of the result with bins twice as large.
    """

    plain: float
    corrected: float
    statistical: float
    method: float


def primary(p4: np.ndarray, offsets: np.ndarray) -> batch.Ragged:
    """Decluster jets by Cambridge/Aachen and list the emissions of the harder branch.

    p4: [particle, 4] (E, px, py, pz) GeV, jet after jet; offsets: [jet + 1]. Returns a Ragged of
    Emissions. A jet of one particle has none. By FastJet (arXiv:1111.6097).
    """
    import awkward as ak
    import fastjet

    count = np.diff(offsets)
    names = ("E", "px", "py", "pz")
    particles = ak.zip(dict(zip(names, np.asarray(p4, np.float64).T)), with_name="Momentum4D")
    events = ak.unflatten(particles, count)
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    found = fastjet.ClusterSequence(events, definition).exclusive_jets_lund_declusterings(1)
    flat = ak.flatten(found, axis=2) if found.ndim > 2 else found
    number = ak.to_numpy(ak.num(flat))
    angle, kt = (ak.to_numpy(ak.flatten(flat[name])) for name in ("Delta", "kt"))
    some = (angle > 0) & (kt > 0)
    jet = np.repeat(np.arange(len(count)), number)[some]
    values = Emissions(-np.log(angle[some]), np.log(kt[some]))
    sizes = np.bincount(jet, minlength=len(count))
    return batch.Ragged(values, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def density(
    plane: batch.Ragged,
    edges: Sequence[np.ndarray] = EDGES,
    weight: np.ndarray | None = None,
) -> Density:
    """Count emissions for each jet and unit of area; weight: [jet]."""
    counts, w = _counts(plane, edges, weight)
    mean = (w[:, None, None] * counts).sum(0) / w.sum()
    spread = (w[:, None, None] ** 2 * (counts - mean) ** 2).sum(0)
    area = np.outer(*(np.diff(e) for e in edges))
    return Density(tuple(edges), mean / area, np.sqrt(spread) / w.sum() / area)


def ratio(
    data: batch.Ragged,
    simulation: batch.Ragged,
    edges: Sequence[np.ndarray] = EDGES,
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
    parts = [
        _counts(plane, edges, w)
        for plane, w in ((data, data_weight), (simulation, simulation_weight))
    ]
    known = np.min([(c > 0).sum(0) for c, _ in parts], axis=0) >= least

    def divided(copies: list[np.ndarray]) -> np.ndarray:
        means = [
            np.tensordot(w * copy, c, 1) / (w * copy).sum() for (c, w), copy in zip(parts, copies)
        ]
        return np.where(known & (means[1] > 0), means[0] / np.where(means[1] > 0, means[1], 1), 1)

    value = divided([np.ones(len(w)) for _, w in parts])
    replicas = np.stack(
        [divided([rng.poisson(1.0, len(w)) for _, w in parts]) for _ in range(n_replicas)]
    )
    return Ratio(tuple(edges), value, replicas.std(0, ddof=1), known, replicas)


def weights(
    found: Ratio, plane: batch.Ragged, value: np.ndarray | None = None, *, most: float = 20.0
) -> np.ndarray:
    """Multiply the ratios of a jet's emissions: [jet], mean 1.

    value: [angle, kt] in place of that of the ratio, of one of its replicas for instance; most:
    largest weight, in terms of the mean, which single jets with many emissions would exceed.
    """
    number = np.log(found.value if value is None else np.maximum(value, 1e-3))
    emissions = plane.values
    place, inside = _place(emissions, found.edges)
    each = np.where(inside, number[place], 0)
    total = np.concatenate([[0], np.cumsum(each)])
    log_weight = total[plane.offsets[1:]] - total[plane.offsets[:-1]]
    weight = np.exp(log_weight - log_weight.max())
    weight = np.minimum(weight / weight.mean(), most)
    return weight / weight.mean()


def corrected_efficiency(
    found: Ratio, plane: batch.Ragged, passed: np.ndarray, coarse: Ratio
) -> Correction:
    """Correct the share of simulated jets that pass a cut.

    plane: Emissions of the jets; passed: [jet] bool; coarse: a ratio of the same samples in bins
    twice as large. Raises ValueError where passed has another length.
    """
    passed = np.asarray(passed, float)
    if len(passed) != len(plane.offsets) - 1:
        raise ValueError(f"passed: {len(passed)} jets, expected {len(plane.offsets) - 1}")

    def share(weight: np.ndarray) -> float:
        return float((weight * passed).sum() / weight.sum())

    weight = weights(found, plane)
    corrected = share(weight)
    spread = np.std([share(weights(found, plane, r)) for r in found.replicas], ddof=1)
    own = counting.efficiency_error(
        np.array(corrected), (weight**2 * passed).sum(), weight.sum(), (weight**2).sum()
    )
    method = abs(share(weights(coarse, plane)) - corrected)
    return Correction(float(passed.mean()), corrected, float(np.hypot(spread, own)), method)


def _counts(
    plane: batch.Ragged, edges: Sequence[np.ndarray], weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Emissions in each bin [jet, angle, kt], and weights [jet]."""
    n_jets = len(plane.offsets) - 1
    w = counting.weights(weight, n_jets)
    if not w.sum() > 0:
        raise ValueError("weight: expected a sum above 0")
    place, inside = _place(plane.values, edges)
    jet = np.repeat(np.arange(n_jets), batch.lengths(plane))
    counts = np.zeros((n_jets, *(len(e) - 1 for e in edges)), np.float32)
    np.add.at(counts, (jet[inside], *(p[inside] for p in place)), 1)
    return counts, w


def _place(
    emissions: Emissions, edges: Sequence[np.ndarray]
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    found = [
        np.searchsorted(e, x, side="right") - 1
        for e, x in zip(edges, (emissions.ln_angle, emissions.ln_kt))
    ]
    inside = np.all([(p >= 0) & (p < len(e) - 1) for p, e in zip(found, edges)], axis=0)
    return tuple(np.where(inside, p, 0) for p in found), inside
