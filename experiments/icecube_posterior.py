"""Where on the sky did a neutrino come from? A posterior that covers what it says.

Paper:    IceCube's flows on the sphere, arXiv:2604.19846; simulation-based posteriors, 1605.06376
Command:  uv run --extra sky experiments/icecube_posterior.py --out RUN
Cost:     --quick some minutes on two CPU cores; default within two hours; --full a GPU
Expected: coverage within 1 % of nominal overall, 2 % in bins; areas of 90 % regions near the exact
          posterior's; angles near those of a fit by the exact likelihood, better in other ice

Tracks (or cascades, or starting tracks) are simulated as they are needed, in a detector and medium
whose likelihood is known, scattering, absorption and efficiency varied with each event. A
transformer looks at the pulses and a sketch of the posterior and gives the parameters of flows;
fresh events recalibrate it. On others: does its region of 90 % hold the truth in 90 % of them,
overall and in bins; how large is it, beside the posterior drawn from the likelihood itself; how far
is its mean from the truth, beside the likelihood's best fit, in ice as it is taken to be and in ice
that scatters and absorbs 20 % more. A scan of the sky for one event goes to sky.fits.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Literal

import jax

from hepjax import plot, runs
from hepjax.flows import sphere as flow
from hepjax.neutrino import (
    comparison,
    evaluation,
    first_guess,
    posterior,
    pulse_transformer,
    report,
    sketches,
    training,
)
from hepjax.nn import model

sys.path.insert(0, str(Path(__file__).parent))

import _telescopes


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/icecube_posterior")  # run folder
    detector: _telescopes.Name = "icecube86"
    kind: Literal["track", "cascade", "starting"] = "track"  # of events
    log_energy: tuple[float, float] | None = None  # log10 of GeV; by default as the kind has it
    width: int = 64  # of the transformer
    n_layers: int = 3  # of it
    pair_width: int = 0  # of the network that makes a bias of pairs of pulses; 0: none
    bfloat16: bool = False  # matrix products of the transformer
    n_flow_layers: int = 5
    n_modes: int = 4  # of the sketch by the likelihood that the network looks at; 0: a line fit
    n_rounds: int = 10  # of draws about each
    n_steps: int = 250  # of the training
    n_events: int = 128  # a step, each looked at anew
    n_fresh: int = 12_288  # events that the network has not seen, to recalibrate it with
    learning_rate: float = 2e-3
    n_test: int = 100_000  # events that coverage is counted with
    n_samples: int = 200  # directions drawn of each posterior
    n_exact: int = 300  # events whose exact posterior is drawn, and which are fitted
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint, or test a finished run again


MISTAKEN = 0.8  # lengths of scattering and absorption over nominal, in ice the fit does not know
OF_TESTS = ("n_test", "n_samples", "n_exact")  # may be others when a run is resumed

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 60, "n_fresh": 1024, "n_test": 2000, "n_exact": 16},
    "full": {
        "width": 192,
        "n_layers": 6,
        "pair_width": 16,
        "bfloat16": True,
        "n_flow_layers": 8,
        "n_rounds": 36,
        "n_steps": 2000,
        "n_events": 256,
        "n_fresh": 65_536,
    },
}


def build(config: Config, setup: Any) -> posterior.Posterior:
    """Make the posterior that a config describes."""
    plan = flow.Plan(n_layers=config.n_flow_layers)
    guess = first_guess.Settings(n_modes=config.n_modes)
    sketch = sketches.Settings(guess, config.n_rounds) if config.n_modes else None
    network = pulse_transformer.PulseTransformer(
        posterior.size(plan, sketch),
        width=config.width,
        n_layers=config.n_layers,
        n_heads=max(config.width // 16, 1),
        ratio=2,
        pair_width=config.pair_width,
        dtype=jax.numpy.bfloat16 if config.bfloat16 else None,
    )
    return posterior.Posterior(model.from_linen(network), plan, setup, sketch)


def load(folder: Path | str) -> tuple[posterior.Posterior, Any]:
    """Give the posterior of a run folder, whose setup goes with it, and its variables."""
    stored = json.loads((Path(folder) / "config.json").read_text())
    config = Config(**{**stored, "out": Path(folder)})
    setup = _telescopes.build(config.detector, config.kind, log_energy=config.log_energy)
    chosen = build(config, setup)
    example, _ = _telescopes.simulate(setup)(jax.random.key(0), 1)
    return chosen, training.restore(folder, chosen, example)


def main(config: Config) -> dict[str, Any]:
    """Train, test and compare; returns what metrics.json holds."""
    _telescopes.configure()
    run = runs.create(config.out, config, resume=config.resume, ignore=("resume", *OF_TESTS))
    setup = _telescopes.build(config.detector, config.kind, log_energy=config.log_energy)
    chosen, simulate = build(config, setup), _telescopes.simulate(setup)
    keys = jax.random.split(jax.random.key(config.seed), 4)
    plan = training.Plan(config.n_steps, config.n_events, config.learning_rate)
    plan = plan._replace(n_fresh=config.n_fresh)
    variables = training.fit(run, chosen, simulate, plan, key=keys[0], resume=config.resume)
    size = {"n_samples": config.n_samples, "chunk": min(config.n_test, 1000)}
    measured = evaluation.measure(chosen, variables, simulate, keys[1], config.n_test, **size)
    results = evaluation.summary(measured)
    title = f"{config.detector}, {config.kind}s"
    results |= report.coverage(run.path / "plots", measured, title=title)
    results |= evaluation.speed(chosen, variables, simulate, keys[2])
    runs.finish(run, results)  # what takes another half an hour may be cut short
    given = chosen, variables, setup
    if config.n_exact:
        compared = comparison.compare(*given, keys[2], config.n_exact)
        results |= comparison.summary(compared)
        results |= comparison.mistaken(*given, keys[3], 4 * config.n_exact, factor=MISTAKEN)
        with plot.figure(run.path / "plots" / "areas") as ax:
            report.areas(ax, compared.area_exact, compared.area, title=title)
    pulses, truth = simulate(keys[2], 1)
    results |= report.event(run.path, chosen, variables, pulses, truth.direction[0], title=title)
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
