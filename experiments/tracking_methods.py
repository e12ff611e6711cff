"""Ways to find tracks, from the neurons of 1988 to the masks of today, on the same events.

Paper:    Denby and Peterson's neurons, LSTM (arXiv:1810.06111), Kalman filter (arXiv:2106.13593),
          walkthrough and triplets (arXiv:2103.06995, 2406.12869), object condensation and
          contrastive places (arXiv:2312.03823), masks of a transformer (arXiv:2411.07149)
Command:  uv run experiments/tracking_methods.py --out runs/tracking_methods
Cost:     --quick ten minutes on two CPU cores; default half an hour without those that need no
          graph, which take half an hour to an hour each (--methods); --full a GPU
Expected: of the particles above 1 GeV 98.3 +- 0.1 % by triplets (0.7 % fakes), 99.5 by LSTM (3.6),
          98.0 by Kalman filter (5.8); 23 by masks and 17 by condensation, far from their end

Pixels in a solenoid, simulated in the box. Triplets, walkthrough, neurons and LSTM use the edges of
one finder, trained here or taken from a run of tracking_trackml (--edges-from RUN). All tracks get
a helix by the same fit and are dropped below --keep-pt. --methods picks some.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import runs
from hepjax.io import hits
from hepjax.tracking import clouds, data, finder, fits, methods, report, scorers, training
from hepjax.tracking.detectors import PIXELS
from hepjax.tracking.simulation import solenoid

DEFAULT = finder.PIXELS
FEW = DEFAULT.filter._replace(network=scorers.Settings(n_steps=300))
QUICK = DEFAULT._replace(filter=FEW, n_filter=12, n_tuning=4, plan=training.Plan(3))
PLAN = clouds.Plan(12)


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/tracking_methods")  # run folder
    edges_from: Path | None = None  # run whose finder gives the edges
    methods: tuple[str, ...] = methods.NAMES  # which, in the order of the table
    data_seed: int = 3  # of the simulation
    pile_up: float = 15.0  # mean number of soft collisions
    n_train: int = 240  # events for the training
    n_validation: int = 50  # events to measure on, of other numbers
    min_pt: float = 1.0  # GeV, of particles that shall be found
    max_eta: float = 3.0  # of these
    learn_pt: float = 0.75  # GeV, of particles that are learned
    keep_pt: float = 0.75  # GeV, by the fit of a helix, of tracks that are kept
    tracker: finder.Settings = DEFAULT
    plan: clouds.Plan = PLAN  # of the networks without a graph
    width: int = 64  # of these
    seed: int = 0
    resume: bool = False  # take the networks without a graph that are trained


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_train": 24, "n_validation": 4, "tracker": QUICK, "plan": clouds.Plan(2)},
    "full": {"n_train": 4000, "n_validation": 200, "plan": clouds.Plan(40, 8), "width": 256},
}


def main(config: Config) -> dict[str, Any]:
    """Train, find and compare; returns what metrics.json holds."""
    began = time.monotonic()
    methods.check(config.methods)
    run = runs.create(
        config.out, config, resume=config.resume, ignore=("resume", "methods", "edges_from")
    )
    n, beam = config.n_train + config.n_validation, solenoid.Beam(pile_up=config.pile_up)
    events = solenoid.events(n, config.data_seed, beam)
    sample = [data.labelled(e, PIXELS.layers(e), min_pt=config.learn_pt) for e in events]
    sample, events = sample[: config.n_train], events[config.n_train :]
    finds = ways(config, run, sample)
    found, seconds = {}, {}
    for name in config.methods:
        start = time.process_time()
        with runs.progress(len(events), name) as advance:
            found[name] = []
            for event in events:
                found[name].append(above(finds[name](event), event, config.keep_pt))
                advance(1)
        seconds[name] = (time.process_time() - start) / len(events)
    wanted = [
        targets(event, config.min_pt) & (np.abs(event.particles["eta"]) < config.max_eta)
        for event in events
    ]
    results: dict[str, Any] = report.targets(
        run.path / "plots", found, events, wanted, sample="validation"
    )
    for name, value in seconds.items():
        results[name]["cpu_seconds_per_event"] = value
    return runs.finish(run, {"validation": results, "seconds": time.monotonic() - began})


def targets(event: hits.Event, min_pt: float) -> np.ndarray:
    """Tell which particles are wanted [particle]."""
    return data.targets(event, PIXELS.layers(event), min_pt=min_pt)


def above(pairs: np.ndarray, event: hits.Event, min_pt: float) -> np.ndarray:
    """Keep the tracks above a transverse momentum."""
    position = data.position(event)
    return fits.above(position, pairs, solenoid.RESOLUTION, solenoid.FIELD, min_pt=min_pt)


def ways(config: Config, run: runs.Run, sample: Sequence[data.Labelled]) -> dict[str, methods.Find]:
    """Train what is asked for: by name, the function that finds the tracks of an event."""
    made = [clouds.cloud(x.event, targets(x.event, config.learn_pt)) for x in sample]
    finds, tracker = {}, None
    for name in config.methods:
        if name in methods.CLOUDS:
            finds[name] = methods.of_clouds(
                name, made, config.plan, width=config.width, seed=config.seed, run=run
            )
            continue
        if tracker is None:
            tracker = (
                finder.load(config.edges_from, PIXELS)
                if config.edges_from
                else finder.fit(run, sample, config.tracker, detector=PIXELS, seed=config.seed)
            )
        finds[name] = methods.of_graph(name, tracker, sample, seed=config.seed)
    return finds


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
