"""Tracks in LHCb's Velo: edges chosen, scored by an interaction network, linked to tracks.

Paper:    ETX4VELO, arXiv:2406.12869; interaction networks for tracking, arXiv:2103.06995
Command:  uv run experiments/tracking_velo.py --data DIR --out runs/velo
Cost:     --quick some minutes on two CPU cores; default within an hour; --full a GPU
Expected: better in every column than the classical search by triplets on the same events

DIR holds simulated events as JSON (hepjax.io.velo), one a file, ordered by their numbers: the first
--n-train are for the training, the others for validation. --test DIR measures on more events, once
all is done. Without --data, --n-simulated events of the simulation in the box are drawn. velopix
gives the classical tracks, in an environment of its own below --cache; the neurons of Denby and
Peterson stand beside them, on the edges of the first stage.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import runs
from hepjax.io import hits, velo
from hepjax.tracking import data, edge_filter, finder, report, scorers, training
from hepjax.tracking.baselines import hopfield
from hepjax.tracking.detectors import VELO
from hepjax.tracking.simulation import velo as simulation

sys.path.insert(0, str(Path(__file__).parent))

import _velopix

DEFAULT = finder.Settings()
FEW = edge_filter.Settings(scorers.Settings(n_steps=600))
QUICK = finder.Settings(FEW, n_filter=20, n_tuning=10, plan=training.Plan(3))
FULL = finder.Settings(n_filter=400, width=128, n_rounds=8, plan=training.Plan(30))


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/tracking_velo")  # run folder
    data: Path | None = None  # folder of events; none: simulate
    n_simulated: int = 900  # events to simulate
    data_seed: int = 1  # of these
    samples: Path = Path("runs/samples")  # where they are kept
    test: Path | None = None  # folder of further events, to measure on
    n_train: int = 800  # events for the training, the first of the folder
    tracker: finder.Settings = DEFAULT
    seed: int = 0
    cache: Path = Path("runs/velopix")  # environment of the classical algorithm
    resume: bool = False  # go on from the latest checkpoint


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_simulated": 80, "n_train": 60, "tracker": QUICK},
    "full": {"tracker": FULL},
}


def main(config: Config) -> dict[str, Any]:
    """Train all stages and measure; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=("resume", "test", "cache"))
    simulated = Path()
    if config.data is None:
        simulated = simulation.cached(config.samples, config.n_simulated, config.data_seed)
    files = hits.expand(config.data or simulated, velo.ENDINGS)
    if len(files) <= config.n_train:
        raise ValueError(f"data: {len(files)} events, expected more than {config.n_train}")
    events, _ = velo.read(files[: config.n_train])
    sample = [data.Labelled(event, data.true_edges(event)) for event in events]
    found = finder.fit(run, sample, config.tracker, seed=config.seed, resume=config.resume)
    results: dict[str, Any] = {"training_seconds": time.monotonic() - began}
    results |= {"validation": measure(config, run, found, files[config.n_train :], "validation")}
    if config.test is not None:
        more = hits.expand(config.test, velo.ENDINGS)
        results |= {"test": measure(config, run, found, more, "test")}
    results |= {"n_train": len(sample), "seconds": time.monotonic() - began}
    return runs.finish(run, results)


def neurons(event: hits.Event, edges: np.ndarray) -> np.ndarray:
    """Find tracks by Denby and Peterson's network, of the same edges."""
    position = data.position(event)
    return hopfield.link(position, edges, np.asarray(VELO.direction(position, tuple(edges.T))))


def measure(
    config: Config, run: runs.Run, tracker: finder.Finder, files: list[Path], name: str
) -> dict[str, Any]:
    """Find the tracks of events of files, and those of the classical algorithm."""
    events, skipped = velo.read(files, skip_bad=True)
    skipped_files = {entry.path for entry in skipped}
    files = [file for file in files if str(file) not in skipped_files]
    answers = finder.find(tracker, events)
    classical, n_failed = _velopix.tracks(config.cache, files, run.path / f"classical_{name}.json")
    found = {"ours": [one.pairs for one in answers], "triplet_trie": list(map(pairs, classical))}
    found["hopfield"] = [neurons(event, one.edges) for event, one in zip(events, answers)]
    true = [data.Labelled(event, data.true_edges(event)) for event in events]
    edges = [one.edges for one in answers], [one.odds for one in answers]
    results: dict[str, Any] = report.velo(run.path / "plots" / name, found, events, sample=name)
    results["ours"] |= report.edges(*edges, true, cut=tracker.cut)
    results["ours"]["n_problems"] = sum(one.problem != "" for one in answers)
    results["triplet_trie"]["n_problems"] = n_failed
    return {**results, "n_skipped": len(skipped)}


def pairs(tracks: list[list[int]]) -> np.ndarray:
    """Turn lists of hits into pairs (hit, track) [pair, 2]."""
    listed = [(hit, k) for k, track in enumerate(tracks) for hit in track]
    return np.array(listed, np.int64).reshape(-1, 2)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
