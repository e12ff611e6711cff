"""Simulated jets weighted by the ratio of Lund planes, and what a tagger's efficiency becomes.

Each emission of a simulated jet counts as often as data have it there: the weight of a jet is the
product of the ratios over the emissions of its prongs, so a tagger that looks at radiation is
corrected without knowing how it works (as CMS does, arXiv:2507.07775). Were emissions independent,
that would be exact. They are not quite, nor are the prongs of a top those of the W on which the
ratio was measured; so `weigh` keeps weights from other choices beside the nominal ones, and
`efficiency` states how far each moves the result. `pulls` puts that to the test on jets whose truth
is known.

>>> replicas, varied = np.array([[0.4, 1.6], [0.6, 1.4]]), {"bins": np.array([[0.6, 1.4]])}
>>> found = efficiency(Weights(np.array([0.5, 1.5]), replicas, varied), [True, False])
>>> f"{found.plain:.2f} {found.corrected:.2f} {found.shifts['bins']:.2f}"
'0.50 0.25 0.05'
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting
from hepjax.jets import lund

MOST = 20.0
"""Largest weight, in terms of the mean, which single jets with many emissions would exceed."""


class Weights(NamedTuple):
    """Weights of simulated jets, each set of mean 1.

    nominal: [jet]; replicas: [replica, jet], for the statistics of the ratio; varied: by the name
    of another choice, [jet].
    """

    nominal: np.ndarray
    replicas: np.ndarray
    varied: Mapping[str, np.ndarray]


class Correction(NamedTuple):
    """An efficiency of simulation, corrected.

    plain: without correction; corrected: with it; statistical: of the ratio and of the jets that
    are corrected; shifts: by source, how far another choice moves it; total: all in quadrature.
    """

    plain: float
    corrected: float
    statistical: float
    shifts: dict[str, float]
    total: float


class Choice(NamedTuple):
    """One way to draw planes: bins; prongs more than there are quarks, in the jets that are
    corrected; how prongs are found; whether leaves count.
    """

    bins: lund.Bins = lund.BINS
    extra: int = 0
    algorithm: lund.Algorithm = "kt"
    leaves: bool = True


NOMINAL = Choice()
_ALL = lund.BINS
SOURCES = {
    "bins": (Choice(_ALL._replace(ln_angle=_ALL.ln_angle[::2], ln_kt=_ALL.ln_kt[::2])),),
    "kt_range": (Choice(_ALL._replace(ln_kt=_ALL.ln_kt[_ALL.ln_kt >= 0])),),
    "prong_pt": (Choice(_ALL._replace(prong_pt=_ALL.prong_pt[::2])),),
    "leaves": (Choice(leaves=False),),
    "prongs": (Choice(extra=1), Choice(extra=-1)),
    "algorithm": (Choice(algorithm="cambridge"),),
}
"""Sources of uncertainty: bins of the plane twice as large; nothing below a kt of 1 GeV, where
hadrons are made; wider bins of the prongs' pt, which may lie elsewhere in control jets; prongs
alone, without what their emissions emit; a prong more or less, for jets whose prongs are not their
quarks; prongs by angle alone. The largest shift of each counts.
"""

Planes = Mapping[tuple[int, lund.Algorithm], lund.Plane]
"""Planes of the same jets, by Choice.extra and Choice.algorithm."""


def draw(p4: np.ndarray, offsets: np.ndarray, n_prongs: int, *, control: bool = False) -> Planes:
    """Draw all planes that NOMINAL and SOURCES ask for.

    p4: [particle, 4] GeV; offsets: [jet + 1]; n_prongs: quarks of a jet; control: jets on which
    ratios are measured, always with as many prongs as quarks.
    """
    choices = [NOMINAL, *(c for several in SOURCES.values() for c in several)]
    wanted: set[tuple[int, lund.Algorithm]]
    wanted = {(0 if control else c.extra, c.algorithm) for c in choices}
    return {(k, name): lund.plane(p4, offsets, n_prongs + k, name) for k, name in sorted(wanted)}


def take(planes: Planes, rows: np.ndarray) -> Planes:
    """Pick jets of all planes, in the order of rows [jet']."""
    return {key: lund.take(plane, rows) for key, plane in planes.items()}


def weigh(
    data: Planes, simulation: Planes, signal: Planes, *, n_replicas: int = 100, seed: int = 0
) -> Weights:
    """Measure the ratios on control jets of data and simulation, and weigh the jets of signal."""

    def one(choice: Choice, n: int) -> tuple[np.ndarray, np.ndarray]:
        name, extra = choice.algorithm, choice.extra
        planes = [data[0, name], simulation[0, name], signal[extra, name]]
        if not choice.leaves:
            planes = [lund.primary(plane) for plane in planes]
        found = lund.ratio(*planes[:2], choice.bins, n_replicas=n, seed=seed)
        return weights(found, planes[2])

    nominal, replicas = one(NOMINAL, n_replicas)
    varied = {name: np.stack([one(c, 2)[0] for c in several]) for name, several in SOURCES.items()}
    return Weights(nominal, replicas, varied)


def weights(
    found: lund.Ratio, plane: lund.Plane, *, most: float = MOST
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply the ratios of a jet's emissions: [jet] and, from replicas, [replica, jet], mean 1.

    Each prong is divided by the mean of simulated prongs of its pt, so that it weighs 1 on average.
    """
    counted, place = lund.counts(plane, found.bins)
    first = lund.jets_of(plane), len(plane.offsets) - 1

    def of(value: np.ndarray, scale: np.ndarray) -> np.ndarray:
        each = lund.log_products(value, counted) - np.log(scale)[place]
        total = np.bincount(first[0], each, first[1])
        weight = np.exp(total - total.max())
        weight = np.minimum(weight / weight.mean(), most)
        return weight / weight.mean()

    return of(found.value, found.scale), np.stack([of(*pair) for pair in zip(*found.replicas)])


def efficiency(weights: Weights, passed: ArrayLike, rows: np.ndarray | None = None) -> Correction:
    """Correct the share of simulated jets that pass a cut.

    passed: [jet] bool; rows: [jet] bool, of which jets, all if None. Raises ValueError where passed
    has another length, or rows picks nothing.
    """
    p = counting.read("passed", passed, len(weights.nominal))
    some = np.ones(len(p), bool) if rows is None else np.asarray(rows, bool)
    if not some.any():
        raise ValueError("rows: no jet is picked")
    p = p[some]

    def share(weight: np.ndarray) -> np.ndarray:
        return weight[..., some] @ p / weight[..., some].sum(-1)

    w = weights.nominal[some]
    corrected = float(share(weights.nominal))
    own = counting.efficiency_error(corrected, (w**2 * p).sum(), w.sum(), (w**2).sum())
    statistical = float(np.hypot(share(weights.replicas).std(ddof=1), own))
    shifts = {
        name: float(np.abs(share(np.atleast_2d(several)) - corrected).max())
        for name, several in weights.varied.items()
    }
    total = float(np.sqrt(statistical**2 + sum(x**2 for x in shifts.values())))
    return Correction(float(p.mean()), corrected, statistical, shifts, total)


def pulls(found: Sequence[Correction], true: Sequence[counting.Value]) -> np.ndarray:
    """Divide corrected minus true efficiencies by their uncertainties in quadrature [sample]."""
    if len(found) != len(true):
        raise ValueError(f"true: found {len(true)} efficiencies, expected {len(found)}")
    return np.array(
        [(f.corrected - t.value) / np.hypot(f.total, t.error) for f, t in zip(found, true)]
    )
