"""The last correction of a posterior, by events that its training has not seen.

A network is a little surer of events that it has learned from than of others, and what is rare, an
upright track whose sketch has missed it, hardly moves its training. Both are seen in a few thousand
fresh events: `fit` finds the table of a dozen numbers (`posterior.recalibrated`) that makes the
true directions of these likeliest: by which factors widths and odds of wide parts should grow,
depending on direction, number of pulses and size of the sketch. That is scaling of temperature
(arXiv:1706.04599) for densities on the sphere; numbers that few events speak for stay near 0, by a
Gaussian prior. The table is kept in the run's folder.

>>> PRIOR
(0.2, 1.0)
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from hepjax import runs
from hepjax.neutrino import posterior
from hepjax.train import evaluation as train_evaluation

PRIOR = (0.2, 1.0)
"""Widths of the prior of numbers of the table, for widths and odds."""
FILE, COLUMNS = "recalibration.json", ("log_width", "log_odds_wide")


def fit(
    run: runs.Run,
    model: posterior.Posterior,
    variables: Any,
    new: Callable[[jax.Array], tuple[posterior.Look, Any]],
    n_events: int,
) -> jax.Array:
    """Find the table [term, 2] of variables and keep it, or read what was kept.

    new: index -> looks at some events that variables have not been learned from, and their true
    directions; it is asked, in two threads, until there are n_events of them.
    """
    kept = read(run.path)
    if kept is not None:
        return kept

    @jax.jit
    def found(variables: Any, seen: posterior.Look) -> tuple[posterior.Encoded, jax.Array]:
        return posterior.found(model, variables, seen), posterior.terms(seen)

    def one(k: int) -> tuple[posterior.Encoded, jax.Array, Any]:
        seen, direction = new(jnp.uint32(k))
        return jax.device_get((*found(variables, seen), direction))

    parts = [one(0)]
    n_each = len(parts[0][-1])
    with runs.progress(n_events, "fresh events") as advance:
        for part in train_evaluation.ahead(one, range(1, -(-n_events // n_each)), n_threads=2):
            parts.append(part)
            advance(n_each)
    table, gain = solve(model, *jax.tree.map(lambda *x: np.concatenate(x), *parts))
    columns = dict(zip(COLUMNS, table.T.tolist()))
    about = {"terms": posterior.TERMS, **columns, "gain": gain, "n_events": n_each * len(parts)}
    runs.write_json(run.path / FILE, about)  # never half of it
    return jnp.asarray(table, jnp.float32)


def solve(
    model: posterior.Posterior, encoded: posterior.Encoded, terms: Any, direction: Any
) -> tuple[np.ndarray, float]:
    """Find the table that makes directions [event, 3] likeliest, and what it adds to the mean
    log-density.
    """
    scale, shape = np.array(PRIOR), (len(posterior.TERMS), len(PRIOR))
    given = jax.tree.map(jnp.asarray, (encoded, terms, direction))

    @jax.jit
    def loss(table: jax.Array, given: tuple) -> tuple[jax.Array, jax.Array]:
        encoded, terms, direction = given

        def value(table: jax.Array) -> jax.Array:
            better = posterior.recalibrated(encoded, terms, table)
            return -posterior.log_prob(model, better, direction).mean()

        return jax.value_and_grad(value)(table)

    def goal(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = loss(jnp.asarray(x.reshape(shape) * scale, jnp.float32), given)
        slope = (np.asarray(slope, float) * scale).ravel() + x / len(direction)
        return float(value) + (x**2).sum() / 2 / len(direction), slope

    best = optimize.minimize(goal, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    table = best.x.reshape(shape) * scale
    before, after = (float(loss(jnp.asarray(t, jnp.float32), given)[0]) for t in (0 * table, table))
    return table, before - after


def read(folder: Path | str) -> jax.Array | None:
    """Read the table of a run's folder; None where there is none. Raises ValueError for other
    terms.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text())
        if tuple(kept["terms"]) != posterior.TERMS:
            raise ValueError(f"terms {kept['terms']}, expected {list(posterior.TERMS)}")
        table = np.array([kept[name] for name in COLUMNS], np.float32).T
        if table.shape != (len(posterior.TERMS), len(COLUMNS)) or not np.isfinite(table).all():
            raise ValueError(f"{table.tolist()}, expected two numbers of each term")
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    return jnp.asarray(table)
