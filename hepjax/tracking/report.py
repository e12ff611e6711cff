"""What a track finder is worth, in numbers and plots, beside another on the same events.

`edges` tells how many true edges a graph holds, and how many its network keeps; `velo` gives the
table of LHCb's validator for each algorithm and draws efficiencies against momentum,
pseudorapidity and the size of the event, electrons apart, the rate of ghosts, and the first event.
`targets` does the like where a tracker shall find the particles that are told it.

>>> pairs, true = np.array([[0, 1], [0, 2]]), np.array([[0, 1], [1, 2]])
>>> one = data.Labelled(None, true)
>>> found = edges([pairs], [np.array([2.0, -2.0])], [one])
>>> found["graph_edge_efficiency"], found["edge_purity"]
(0.5, 1.0)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import metrics, plot
from hepjax.counting import Value
from hepjax.io import hits
from hepjax.plot import style
from hepjax.tracking import data, display
from hepjax.tracking import metrics as tracking_metrics

TITLES = {"ours": "hepjax", "triplet_trie": "triplet trie", "acts_ckf": "ACTS CKF"}
TITLES |= {"hopfield": "Denby-Peterson"}
COLUMNS = {
    "velo_efficiency": "velo_efficiency",
    "long_efficiency": "long_efficiency",
    "long5_efficiency": "long5_efficiency",
    "strange_efficiency": "strange_efficiency",
    "from_b_efficiency": "from_b_efficiency",
    "electron_efficiency": "electron_efficiency",
    "clone_rate": "velo_clone_rate",
    "long_clone_rate": "long_clone_rate",
    "electron_clone_rate": "electron_clone_rate",
    "purity": "velo_purity",
    "ghost_rate": "ghost_rate",
}
"""Names of the table: ours -> those of `tracking.metrics.lhcb`."""


def flat(name: str, value: Value) -> dict[str, float]:
    """Name a value and its error."""
    return {name: value.value, f"{name}_error": value.error}


def edges(
    pairs: Sequence[np.ndarray],
    odds: Sequence[np.ndarray],
    truth: Sequence[data.Labelled],
    *,
    cut: float = 0.0,
) -> dict[str, float]:
    """Measure graphs, and what is kept of their edges; both efficiencies are of all true edges.

    pairs: [event][edge, 2] of the graphs; odds: [event][edge]; truth: [event], whose ignored edges
    count for nothing. Returns graph_edge_efficiency, edges_per_event, edge_efficiency, edge_purity
    and their errors.
    """
    label = [data.labels(p, one.true) for p, one in zip(pairs, truth)]
    n_true = sum(len(one.true) for one in truth)
    kept = [(x > cut) & ~data.labels(p, one.ignored) for x, p, one in zip(odds, pairs, truth)]
    right = sum(int((y & k).sum()) for y, k in zip(label, kept))
    n_edges = np.array([len(p) for p in pairs])
    spread = float(n_edges.std() / np.sqrt(max(len(pairs), 1)))
    ratio = tracking_metrics.ratio
    return {
        **flat("graph_edge_efficiency", ratio(sum(int(y.sum()) for y in label), n_true)),
        **flat("edges_per_event", Value(float(n_edges.mean()), spread)),
        **flat("edge_efficiency", ratio(right, n_true)),
        **flat("edge_purity", ratio(right, sum(int(k.sum()) for k in kept))),
    }


def velo(
    folder: Path,
    found: Mapping[str, Sequence[np.ndarray]],
    events: Sequence[hits.Event],
    *,
    sample: str,
) -> dict[str, dict[str, float]]:
    """Compare algorithms on the same events; draws into a folder.

    found: by algorithm, [event][pair, 2] (hit, track); sample: what the events are, for the plots.
    Returns for each algorithm the numbers of COLUMNS with their errors, n_events and n_tracks.
    """
    truth = [(event.truth, event.particles) for event in events]
    results = {}
    for name, tracks in found.items():
        table = tracking_metrics.lhcb(tracks, truth)
        row: dict[str, Any] = {}
        for ours, theirs in COLUMNS.items():
            row |= flat(ours, table[theirs])
        row["n_events"] = len(events)
        row["n_tracks"] = sum(int(x[:, 1].max(initial=-1)) + 1 for x in tracks)
        results[name] = row
    _draw(folder, found, events, f"{sample}, {len(events):,} events")
    _show(folder, found, events, sample)
    return results


STYLES: tuple[tracking_metrics.Style, ...] = ("double_majority", "lhc", "perfect")
TARGET_AXES = {
    "pt": (np.geomspace(1, 30, 11), r"$p_T$ [GeV]", "log"),
    "eta": (np.linspace(-4, 4, 17), r"$\eta$", "linear"),
    "radius": (np.linspace(0, 120, 13), "Radius of production [mm]", "linear"),
}


def targets(
    folder: Path,
    found: Mapping[str, Sequence[np.ndarray]],
    events: Sequence[hits.Event],
    wanted: Sequence[np.ndarray],
    *,
    sample: str,
) -> dict[str, dict[str, float]]:
    """Compare algorithms on the same events by the particles that shall be found.

    found: by algorithm, [event][pair, 2] (hit, track); wanted: [event][particle] bool. Returns for
    each algorithm STYLE_efficiency and STYLE_fake_rate for each of STYLES, a fake being a track
    that belongs to no particle at all, duplicate_rate by double majority, their errors, n_events,
    n_targets and n_tracks.
    """
    results: dict[str, dict[str, Any]] = {}
    curves: dict[str, np.ndarray] = {}
    radius = [np.hypot(event.particles["vx"], event.particles["vy"]) for event in events]
    for name, tracks in found.items():
        row: dict[str, Any] = {}
        for how in STYLES:
            matched = [
                tracking_metrics.match(
                    pairs, event.truth, style=how, n_particles=hits.n_particles(event)
                )
                for pairs, event in zip(tracks, events)
            ]
            row |= flat(f"{how}_efficiency", tracking_metrics.efficiency(matched, wanted))
            row |= flat(f"{how}_fake_rate", tracking_metrics.fake_rate(matched))
            if how == "double_majority":
                row |= flat("duplicate_rate", tracking_metrics.duplicate_rate(matched, wanted))
                curves[name] = np.concatenate([m.is_found[w] for m, w in zip(matched, wanted)])
        row |= {"n_events": len(events), "n_targets": sum(int(w.sum()) for w in wanted)}
        row["n_tracks"] = sum(int(x[:, 1].max(initial=-1)) + 1 for x in tracks)
        results[name] = row
    columns = {k: [event.particles[k] for event in events] for k in ("pt", "eta")}
    for axis, (bins, label, scale) in TARGET_AXES.items():
        x = np.concatenate([v[w] for v, w in zip(columns.get(axis, radius), wanted)])
        binned = {TITLES.get(k, k): metrics.efficiency_against(x, curves[k], bins) for k in curves}
        with plot.figure(folder / f"efficiency_{axis}") as ax:
            plot.efficiency_against(ax, binned, xlabel=label, ylabel="Double majority efficiency")
            ax.set_xscale(scale)
            plot.sample(ax, f"{sample}, {len(events):,} events")
    _show(folder, found, events, sample)
    return results


def _show(
    folder: Path,
    found: Mapping[str, Sequence[np.ndarray]],
    events: Sequence[hits.Event],
    sample: str,
) -> None:
    """Draw the first event with the tracks of the first algorithm, on paper and for a browser."""
    name, tracks = next(iter(found.items()))
    with style.drawn(folder / "event", 9) as whole:
        display.picture(whole.subplots(2, 1), events[0], tracks[0])
    about = f"{sample}, first event, tracks of {TITLES.get(name, name)}"
    display.page(folder / "event.html", events[0], tracks[0], about=about)


AXES = {
    "p": (np.geomspace(0.03, 60, 15), "Momentum [GeV]", "log"),
    "pt": (np.geomspace(0.05, 6, 12), r"$p_T$ [GeV]", "log"),
    "eta": (np.linspace(-5, 5, 21), r"$\eta$", "linear"),
    "n_hits": (np.linspace(0, 6000, 13), "Hits in the event", "linear"),
}


def _draw(
    folder: Path,
    found: Mapping[str, Sequence[np.ndarray]],
    events: Sequence[hits.Event],
    about: str,
) -> None:
    """Draw efficiencies against each of AXES, of `velo` and of electrons, and rates of ghosts."""
    matched = {
        name: [
            tracking_metrics.match(
                pairs, event.truth, style="lhcb", n_particles=hits.n_particles(event)
            )
            for pairs, event in zip(tracks, events)
        ]
        for name, tracks in found.items()
    }
    kinds = {"": "velo", ", electrons": "electron"}
    for axis, (bins, label, scale) in AXES.items():
        curves = {}
        for (name, ms), (end, kind) in ((n, k) for n in matched.items() for k in kinds.items()):
            chosen = [tracking_metrics.category(event.particles, kind) for event in events]
            x = [_values(event, axis)[c] for event, c in zip(events, chosen)]
            passed = [m.is_found[c] for m, c in zip(ms, chosen)]
            curves[f"{TITLES.get(name, name)}{end}"] = metrics.efficiency_against(
                np.concatenate(x), np.concatenate(passed), bins
            )
        with plot.figure(folder / f"efficiency_{axis}") as ax:
            plot.efficiency_against(ax, curves, xlabel=label, ylabel="Track efficiency")
            ax.set_xscale(scale)
            plot.sample(ax, about)
    bins, label, _ = AXES["n_hits"]
    curves = {}
    for name, ms in matched.items():
        x = np.concatenate(
            [np.full(len(m.purity), hits.n_hits(event)) for m, event in zip(ms, events)]
        )
        ghost = np.concatenate([m.particle_of < 0 for m in ms])
        curves[TITLES.get(name, name)] = metrics.efficiency_against(x, ghost, bins)
    with plot.figure(folder / "ghosts_n_hits") as ax:
        plot.efficiency_against(ax, curves, xlabel=label, ylabel="Ghost rate")
        plot.sample(ax, about)


def _values(event: hits.Event, axis: str) -> np.ndarray:
    """Give what particles are binned by [particle]."""
    if axis == "n_hits":
        return np.full(hits.n_particles(event), float(hits.n_hits(event)))
    return event.particles[axis]
