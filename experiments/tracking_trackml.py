"""Tracks in the pixels of a collider: module map, edges, interaction network, links.

Paper:    Exa.TrkX, arXiv:2103.06995; TrackML, arXiv:1904.06778; ETX4VELO, arXiv:2406.12869
Command:  uv run experiments/tracking_trackml.py --out runs/trackml
Cost:     --quick some minutes on two CPU cores; default half an hour; --full a GPU
Expected: 98 % of the particles above 1 GeV found by double majority, fakes below 1 %

Events are those of the solenoid in the box, with a mean of --pile-up soft collisions each; --data
DIR takes events in TrackML's CSV instead, of which the pixels are used, the first --n-train of them
for the training. Particles shall be found that have pt above --min-pt and hits in three layers or
more; those below count neither for nor against an edge, and their tracks are no fakes.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from hepjax import runs
from hepjax.io import hits, trackml
from hepjax.tracking import data, edge_filter, finder, report, training
from hepjax.tracking.detectors import PIXELS, pixels
from hepjax.tracking.simulation import solenoid


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/tracking_trackml")  # run folder
    data: Path | None = None  # folder of events as CSV; none: simulate
    pile_up: float = 15.0  # mean number of soft collisions of a simulated event
    data_seed: int = 1  # of the simulation
    n_train: int = 300  # events for the training
    n_validation: int = 100  # simulated events to measure on, of other numbers
    min_pt: float = 1.0  # GeV, of particles that shall be found
    tracker: finder.Settings = finder.Settings(
        filter=edge_filter.Settings(n_edges=3000, n_steps=2000),
        n_filter=100,
        n_tuning=20,
        plan=training.Plan(12),
    )
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


QUICK = finder.Settings(
    filter=edge_filter.Settings(n_edges=3000, n_steps=500),
    n_filter=15,
    n_tuning=5,
    plan=training.Plan(6),
)
FULL = finder.Settings(
    filter=edge_filter.Settings(n_edges=20_000), width=128, n_rounds=8, plan=training.Plan(40)
)
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_train": 40, "n_validation": 10, "tracker": QUICK},
    "full": {"n_train": 2000, "n_validation": 200, "pile_up": 200.0, "tracker": FULL},
}


def main(config: Config) -> dict[str, Any]:
    """Train all stages and measure; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=("resume",))
    training_events, validation_events, n_skipped = events(config)
    sample = [
        data.labelled(event, PIXELS.layers(event), min_pt=config.min_pt)
        for event in training_events
    ]
    found = finder.fit(
        run, sample, config.tracker, detector=PIXELS, seed=config.seed, resume=config.resume
    )
    results: dict[str, Any] = {"training_seconds": time.monotonic() - began}
    results |= {"validation": measure(config, run, found, validation_events)}
    results |= {"n_train": len(sample), "n_skipped": n_skipped}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def events(config: Config) -> tuple[list[hits.Event], list[hits.Event], int]:
    """Give the events to train on, those to measure on, and how many files were skipped."""
    if config.data is not None:
        read, skipped = trackml.read(config.data, skip_bad=True)
        if len(read) <= config.n_train:
            raise ValueError(f"data: {len(read)} events, expected more than {config.n_train}")
        kept = [pixels(event) for event in read]
        return kept[: config.n_train], kept[config.n_train :], len(skipped)
    beam = solenoid.Beam(pile_up=config.pile_up)
    drawn = solenoid.events(config.n_train + config.n_validation, config.data_seed, beam)
    return drawn[: config.n_train], drawn[config.n_train :], 0


def measure(
    config: Config, run: runs.Run, tracker: finder.Finder, sample: list[hits.Event]
) -> dict[str, Any]:
    """Find the tracks of events and compare them with the particles."""
    answers = finder.find(tracker, sample)
    layers = [PIXELS.layers(event) for event in sample]
    pairs = zip(sample, layers)
    wanted = [data.targets(event, layer, min_pt=config.min_pt) for event, layer in pairs]
    found = {"ours": [one.pairs for one in answers]}
    results: dict[str, Any] = report.targets(
        run.path / "plots", found, sample, wanted, sample="validation"
    )
    labelled = [data.labelled(e, layer, min_pt=config.min_pt) for e, layer in zip(sample, layers)]
    edges = [one.edges for one in answers], [one.odds for one in answers]
    results["ours"] |= report.edges(*edges, [x.true for x in labelled], cut=config.tracker.cut)
    results["ours"]["n_problems"] = sum(one.problem != "" for one in answers)
    return results


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
