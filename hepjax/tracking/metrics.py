"""Tracks against the particles that made the hits: matched how, found how often, fake how often.

Experiments agree that a track belongs to the particle with most of its hits, and on little else.
`match` counts the hits that each track shares with each particle and applies one of `STYLES`:

- double_majority (TrackML, acorn's two_way): more than half of the track's hits are of the
  particle, and more than half of the particle's are on the track;
- lhc: more than 75 % of the track's hits; perfect: all hits of both;
- atlas (acorn): at least half of the track's hits; one_way (acorn): the same for tracks, and at
  least half of the particle's hits on one track for particles;
- lhcb: more than 70 % of the track's hits, for particles and for tracks each on its own, so that
  two particles that share hits may both be found by one track.

A hit may be on several tracks and of several particles: both sides are pairs (hit, track) and
(hit, particle), or one label a hit. `efficiency`, `fake_rate` and `duplicate_rate` count, with
binomial errors, over any number of events; `lhcb` gives the table of LHCb's validator,
`trackml_score` the challenge's weighted score (arXiv:1904.06778).

>>> found = match(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 7, 7, -1]), style="double_majority")
>>> found.particle_of.tolist(), found.is_found.tolist()
([0, -1], [True])
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from scipy import sparse

from hepjax import counting
from hepjax.counting import Value

Style = Literal["double_majority", "lhc", "perfect", "atlas", "one_way", "lhcb"]
STYLES: tuple[Style, ...] = get_args(Style)
ELECTRON = 11


class Matching(NamedTuple):
    """How the tracks of one event and its particles belong together.

    particle_of: the particle that a track is matched to, -1 for none (a fake, or ghost) [track];
    purity: the largest share of a track's hits from one particle [track]; track_size [track];
    is_found: whether a particle has a track [particle]; n_tracks: tracks matched to a particle
    [particle]; particle_size: its hits [particle]; completeness: the largest share of its hits on a
    track that is matched to it, 0 without [particle].
    """

    particle_of: np.ndarray
    purity: np.ndarray
    track_size: np.ndarray
    is_found: np.ndarray
    n_tracks: np.ndarray
    particle_size: np.ndarray
    completeness: np.ndarray


def match(
    tracks: np.ndarray,
    particles: np.ndarray,
    *,
    style: Style,
    n_tracks: int | None = None,
    n_particles: int | None = None,
    min_hits: int = 1,
) -> Matching:
    """Match the tracks of one event to its particles.

    tracks: pairs (hit, track) [pair, 2], or the track of each hit [hit], -1 for none; particles:
    the same of particles; with labels a hit, tracks and particles are numbered in the order of
    their labels. n_tracks, n_particles: how many there are, more where some have no hit; min_hits:
    tracks with fewer are not matched. Raises ValueError for an unknown style, a pair named twice,
    and labels of hits that differ in number.
    """
    if style not in STYLES:
        raise ValueError(f"style: {style!r}, expected one of {', '.join(STYLES)}")
    if tracks.ndim == particles.ndim == 1 and len(tracks) != len(particles):
        raise ValueError(f"tracks of {len(tracks)} hits, particles of {len(particles)}")
    n_hits = max(_n_hits(tracks), _n_hits(particles))
    on = _incidence("tracks", tracks, n_hits, n_tracks)
    of = _incidence("particles", particles, n_hits, n_particles)
    size, total = (np.asarray(x.sum(0)).ravel().astype(np.int64) for x in (on, of))
    shared = (on.T @ of).tocoo()
    track, particle, n = shared.row, shared.col, shared.data.astype(np.int64)
    valid = size[track] >= min_hits
    track, particle, n = track[valid], particle[valid], n[valid]
    pure, whole = n / size[track], n / total[particle]
    of_track, of_particle = {
        "double_majority": ((pure > 0.5) & (whole > 0.5),) * 2,
        "lhc": (pure > 0.75,) * 2,
        "perfect": ((pure == 1) & (whole == 1),) * 2,
        "atlas": (pure >= 0.5,) * 2,
        "one_way": (pure >= 0.5, whole >= 0.5),
        "lhcb": (pure > 0.7,) * 2,
    }[style]
    best = _best(track, particle, n, total, of_track, len(size))
    matched = best >= 0
    is_found = np.zeros(len(total), bool)
    complete, purity = np.zeros(len(total)), np.zeros(len(size))
    np.maximum.at(purity, track, pure)
    if style in ("lhcb", "one_way"):
        is_found[particle[of_particle]] = True
    else:
        is_found[best[matched]] = True
    pairs = of_track & (best[track] == particle)
    np.maximum.at(complete, particle[pairs], whole[pairs])
    count = np.bincount(best[matched], minlength=len(total))
    return Matching(best, purity, size, is_found, count, total, complete)


def _n_hits(assigned: np.ndarray) -> int:
    if assigned.ndim == 1:
        return len(assigned)
    return int(assigned[:, 0].max()) + 1 if len(assigned) else 0


def _incidence(name: str, assigned: np.ndarray, n_hits: int, n: int | None) -> Any:
    """Which hits stand on what, as a sparse matrix of ones [hit, track or particle]."""
    if assigned.ndim == 1:
        hit = np.flatnonzero(assigned >= 0)
        _, item = np.unique(assigned[hit], return_inverse=True)
    elif assigned.ndim == 2 and assigned.shape[1] == 2:
        hit, item = assigned.T
    else:
        counting.fail(name, f"shape {assigned.shape}", "[hit] labels or [pair, 2]")
    most = int(item.max()) + 1 if len(item) else 0
    if n is not None and n < most:
        counting.fail(f"n_{name}", n, f"at least {most}")
    shape = (n_hits, most if n is None else n)
    matrix = sparse.coo_matrix((np.ones(len(hit), np.int64), (hit, item)), shape=shape).tocsc()
    if matrix.nnz and matrix.data.max() > 1:
        counting.fail(name, "a pair of hit and label named twice", "each once")
    return matrix


def _best(
    track: np.ndarray,
    particle: np.ndarray,
    n: np.ndarray,
    total: np.ndarray,
    allowed: np.ndarray,
    n_tracks: int,
) -> np.ndarray:
    """Find the allowed particle with most hits of each track [track]."""
    best = np.full(n_tracks, -1)
    order = np.lexsort((-particle, -n, track))  # of equals the last, as velopix has it
    order = order[allowed[order]]
    first = np.unique(track[order], return_index=True)[1]
    best[track[order][first]] = particle[order][first]
    return best


def ratio(passed: float, total: float) -> Value:
    """Give passed / total with its binomial error, that of Wilson's interval (also at 0 and 1)."""
    if total == 0:
        return Value(float("nan"), float("nan"))
    interval = counting.efficiency(min(passed, total), total, interval="wilson")
    return Value(passed / total, float(interval.high - interval.low) / 2)


def efficiency(matchings: Sequence[Matching], wanted: Sequence[np.ndarray] | None = None) -> Value:
    """Share of particles that are found. wanted: [event][particle] bool, those that count."""
    chosen = [m.is_found if w is None else m.is_found[w] for m, w in _with(matchings, wanted)]
    return ratio(sum(int(x.sum()) for x in chosen), sum(map(len, chosen)))


def fake_rate(matchings: Sequence[Matching], *, min_hits: int = 1) -> Value:
    """Share of tracks (of min_hits or more) that are matched to no particle, whichever it be."""
    chosen = [m.particle_of[m.track_size >= min_hits] for m in matchings]
    return ratio(sum(int((x < 0).sum()) for x in chosen), sum(map(len, chosen)))


def duplicate_rate(
    matchings: Sequence[Matching], wanted: Sequence[np.ndarray] | None = None
) -> Value:
    """Tracks beyond the first of the particles that are found, over their number (clones).

    wanted: [event][particle] bool, the particles that count.
    """
    extra = found = 0
    for m, w in _with(matchings, wanted):
        count = m.n_tracks if w is None else m.n_tracks[w]
        extra += int(np.maximum(count - 1, 0).sum())
        found += int((m.is_found if w is None else m.is_found[w]).sum())
    return ratio(extra, found)


def _with(
    matchings: Sequence[Matching], wanted: Sequence[np.ndarray] | None
) -> list[tuple[Matching, np.ndarray | None]]:
    if wanted is not None and len(wanted) != len(matchings):
        raise ValueError(f"wanted of {len(wanted)} events, matchings of {len(matchings)}")
    return list(zip(matchings, wanted if wanted is not None else [None] * len(matchings)))


def trackml_score(tracks: np.ndarray, particles: np.ndarray, weight: np.ndarray) -> float:
    """Sum the weights of the hits that good tracks have of their particle: TrackML's score.

    tracks: [hit] label of the one track of each hit; particles: [hit], 0 for noise, which competes
    for the majority as if it were a particle; weight: [hit], 0 for noise, divided by its sum. A
    track is good where more than half of its hits are of one particle, and more than half of that
    particle's on it. Source: arXiv:1904.06778, section 3.2.
    """
    for name, x in (("particles", particles), ("weight", weight)):
        if x.shape != tracks.shape:
            counting.fail(name, f"shape {x.shape}", f"{tracks.shape}, one a hit")
    _, track = np.unique(tracks, return_inverse=True)
    _, particle = np.unique(particles, return_inverse=True)
    counts: Any = sparse.coo_matrix((np.ones(len(track)), (track, particle))).tocsr()
    major = np.asarray(counts.argmax(1)).ravel()
    n = counts[np.arange(counts.shape[0]), major].A1
    size, total = np.bincount(track), np.bincount(particle)
    good = (n > 0.5 * size) & (n > 0.5 * total[major])
    return float(weight[good[track] & (particle == major[track])].sum() / weight.sum())


LHCB: Mapping[str, Sequence[str]] = {
    "velo": ("has_velo",),
    "long": ("is_long",),
    "long5": ("is_long", "over5"),
    "strange": ("is_long", "from_strange"),
    "from_b": ("is_long", "from_beauty"),
}
"""Categories of LHCb's validator: the flags that their particles have; electrons stand apart."""


def lhcb(
    tracks: Sequence[np.ndarray], truth: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]]
) -> dict[str, Value]:
    """Give the table of LHCb's validator over many events.

    tracks: [event][pair, 2] (hit, track); truth: [event] of the pairs (hit, particle) and the
    particles' columns as `io.velo` reads them. Returns NAME_efficiency, NAME_clone_rate and
    NAME_purity for the categories of LHCB and for electron (those of `velo`), with hits of
    electrons left out of all others, and ghost_rate: tracks with at most 70 % of their hits from
    one particle of any kind. A track counts as a clone in a category by the particle with most of
    its hits among those of the category.
    """
    if len(tracks) != len(truth):
        raise ValueError(f"tracks of {len(tracks)} events, truth of {len(truth)}")
    sums = {name: np.zeros(4) for name in (*LHCB, "electron")}
    n_all = n_ghosts = 0
    for found, (pairs, columns) in zip(tracks, truth):
        n = len(columns.get("pid", ()))
        whole = match(found, pairs, style="lhcb", n_particles=n)
        n_all, n_ghosts = n_all + len(whole.purity), n_ghosts + int((whole.particle_of < 0).sum())
        for name, row in sums.items():
            chosen = category(columns, name)
            some = pairs[chosen[pairs[:, 1]]]
            m = match(found, some, style="lhcb", n_particles=n, n_tracks=len(whole.purity))
            row += [
                m.is_found[chosen].sum(),
                chosen.sum(),
                (m.particle_of >= 0).sum() - (m.n_tracks > 0).sum(),
                m.purity[m.particle_of >= 0].sum(),
            ]
    results = {"ghost_rate": ratio(n_ghosts, n_all)}
    for name, (n_found, n_wanted, n_clones, pure) in sums.items():
        results[f"{name}_efficiency"] = ratio(n_found, n_wanted)
        results[f"{name}_clone_rate"] = ratio(n_clones, n_found)
        results[f"{name}_purity"] = ratio(pure, n_found + n_clones)
    return results


def category(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Tell which particles belong to a category of `lhcb`, or to "electron" [particle]."""
    if "pid" not in columns:
        return np.zeros(0, bool)
    flags = {**columns, "over5": np.abs(columns["p"]) > 5}
    is_electron = np.abs(columns["pid"]) == ELECTRON
    wanted = LHCB["velo" if name == "electron" else name]
    return np.all([flags[k] for k in wanted], 0) & (is_electron == (name == "electron"))
