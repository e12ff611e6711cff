"""Tracks in the pixels of a collider: module map, edges, interaction network, links.

Paper:    Exa.TrkX, arXiv:2103.06995; TrackML, arXiv:1904.06778; ETX4VELO, arXiv:2406.12869
Command:  uv run experiments/tracking_trackml.py --out runs/trackml
Cost:     --quick some minutes on two CPU cores; default half an hour; --full a GPU
Expected: 98 % of the particles above 1 GeV found by double majority, fakes below 1 %

Events are those of the solenoid in the box, with a mean of --pile-up soft collisions each. --acts
has ACTS make them instead (Pythia, Fatras, generic detector) and shows the tracks of its
combinatorial Kalman filter beside ours; --data DIR takes events in the CSV of TrackML or of ACTS.
The first --n-train events are for the training. Particles shall be found that have pt above
--min-pt, pseudorapidity within --max-eta and hits in three layers. Edges are learned from
--learn-pt on, those below count neither for nor against; a helix is fitted to each track and those
below --keep-pt are dropped, so that nothing is seen of the lower end, where tracks are cut through.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import runs
from hepjax.io import acts, hits, trackml, trees
from hepjax.tracking import data, finder, fits, report, scorers, training
from hepjax.tracking.detectors import PIXELS, pixels
from hepjax.tracking.simulation import solenoid

sys.path.insert(0, str(Path(__file__).parent))

import _acts

DEFAULT = finder.PIXELS
FEW = DEFAULT.filter._replace(network=scorers.Settings(n_steps=500))
MANY = DEFAULT.filter._replace(n_edges=40_000)
QUICK = DEFAULT._replace(filter=FEW, n_filter=15, n_tuning=5)
LONG = training.Plan(20, max_edges=131_072)
FULL = DEFAULT._replace(filter=MANY, width=128, n_rounds=8, plan=LONG)


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/tracking_trackml")  # run folder
    data: Path | None = None  # folder of events as CSV; none: simulate
    acts: bool = False  # have ACTS make the events
    samples: Path = Path("runs/samples")  # where these are kept
    cache: Path = Path("runs/acts")  # environment of ACTS
    pile_up: float = 15.0  # mean number of soft collisions of a simulated event
    data_seed: int = 2  # of the simulation
    n_train: int = 240  # events for the training
    n_validation: int = 100  # simulated events to measure on, of other numbers
    min_pt: float = 1.0  # GeV, of particles that shall be found
    max_eta: float = 3.0  # of these
    learn_pt: float = 0.5  # GeV, of particles whose edges are learned as true
    keep_pt: float = 0.75  # GeV, by the fit of a helix, of tracks that are kept
    tracker: finder.Settings = DEFAULT
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_train": 40, "n_validation": 10, "tracker": QUICK},
    "full": {"n_train": 2000, "n_validation": 200, "pile_up": 200.0, "tracker": FULL},
}


def main(config: Config) -> dict[str, Any]:
    """Train all stages and measure; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=("resume",))
    sample, classical, n_skipped = events(config)
    if len(sample) <= config.n_train:
        raise ValueError(f"data: {len(sample)} events, expected more than {config.n_train}")
    found = finder.fit(
        run,
        [labelled(event, config) for event in sample[: config.n_train]],
        config.tracker,
        detector=PIXELS,
        seed=config.seed,
        resume=config.resume,
    )
    results: dict[str, Any] = {"training_seconds": time.monotonic() - began}
    rest = slice(config.n_train, None)
    results |= {"validation": measure(config, run, found, sample[rest], classical[rest])}
    results |= {"n_skipped": n_skipped, "seconds": time.monotonic() - began}
    return runs.finish(run, results)


def events(config: Config) -> tuple[list[hits.Event], list[np.ndarray], int]:
    """Give all events, the tracks that ACTS found in each, and how many files were skipped."""
    n, folder = config.n_train + config.n_validation, config.data
    if config.acts:
        made = config.samples / f"acts_{n}_{config.pile_up:g}_{config.data_seed}"
        folder = _acts.events(config.cache, made, n, config.pile_up, config.data_seed)
    if folder is None:
        return solenoid.events(n, config.data_seed, solenoid.Beam(pile_up=config.pile_up)), [], 0
    reader = acts if any(folder.glob("*-measurements.csv*")) else trackml
    paths = hits.expand(folder, reader.ENDINGS)
    read, skipped = trees.each_file(paths, reader.read_event, skip_bad=True)
    sample = [pixels(event) for _, event in read]
    classical = [acts.tracks_beside(path, x.hits["hit_id"]) for (path, _), x in zip(read, sample)]
    return sample, classical if any(map(len, classical)) else [], len(skipped)


def labelled(event: hits.Event, config: Config) -> data.Labelled:
    """Find the true edges of an event."""
    return data.labelled(event, PIXELS.layers(event), min_pt=config.learn_pt)


def measure(
    config: Config,
    run: runs.Run,
    tracker: finder.Finder,
    sample: list[hits.Event],
    classical: list[np.ndarray],
) -> dict[str, Any]:
    """Find the tracks of events and compare them with the particles."""
    answers = finder.find(tracker, sample)
    wanted = [
        data.targets(event, PIXELS.layers(event), min_pt=config.min_pt)
        & (np.abs(event.particles["eta"]) < config.max_eta)
        for event in sample
    ]
    found = {"ours": [one.pairs for one in answers], "acts_ckf": classical}
    kept = {
        k: [above(x, event, config) for x, event in zip(v, sample)] for k, v in found.items() if v
    }
    results: dict[str, Any] = report.targets(
        run.path / "plots", kept, sample, wanted, sample="validation"
    )
    truth, odds = [labelled(x, config) for x in sample], [one.odds for one in answers]
    edges = report.edges([x.edges for x in answers], odds, truth, cut=tracker.cut)
    results["ours"] |= edges | {"n_problems": sum(one.problem != "" for one in answers)}
    return results


def above(pairs: np.ndarray, event: hits.Event, config: Config) -> np.ndarray:
    """Keep the tracks above a transverse momentum, by the fit of a helix to their hits."""
    position, minimum = data.position(event), config.keep_pt
    return fits.above(position, pairs, solenoid.RESOLUTION, solenoid.FIELD, min_pt=minimum)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
