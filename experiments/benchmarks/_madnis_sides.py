"""The sides of madnis_vs_peers.py: what is integrated, hepjax here, madnis and vegas beside it.

A side has begin(seed), which gives the number of parameters, train(n) -> CPU seconds, and
sample(n) -> (CPU seconds, points). `ours` compiles all first. `madnis` and `classical` start
`_torch_madnis.py` and `_vegas.py` in an environment of their own, made where it is missing.
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from hepjax.integration import closed_forms, integrator, losses, maps, sampling, toys, vegas

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
PEERS = ("torch==2.13.0", "madnis==1.0.0", "vegas==6.4.1")
LIMITS = 60.0**2, 1000.0**2  # of the squared mass, GeV^2
VECTORS = [
    closed_forms.PHOTON,
    closed_forms.z_boson(91.1876, 2.50419, 0.2312),
    closed_forms.z_boson(400.0, 0.5, 0.2312),
]


class Case(NamedTuple):
    """An integrand, its integral, and how flows are trained on it."""

    integrand: integrator.Integrand
    exact: float
    n_steps: int
    loss: losses.Loss


class Side(NamedTuple):
    """One of those that are compared; see the module."""

    begin: Callable[[int], int]
    train: Callable[[int], float]
    sample: Callable[[int], tuple[float, sampling.Sampled]]


def cross_section(s: Any, cos: Any) -> Any:
    """Up quarks to muons by photon, Z and Z': d sigma / d cos(theta), pb."""
    size = closed_forms.fermion_pair(s, cos, 2, 13, VECTORS, 0.00781751)
    return size * closed_forms.PICOBARN


def lineshape(u: jax.Array, channel: jax.Array) -> integrator.Values:
    """Map points by 1 / s^2 or by one of the two peaks, and give the cross-section there."""
    peaks = [(one.mass, one.width) for one in VECTORS[1:]]
    mapped = [maps.power(u[:, 0], *LIMITS, 2.0)]
    mapped += [maps.breit_wigner(u[:, 0], *LIMITS, *peak) for peak in peaks]
    row = jnp.arange(len(u))
    s, log_jacobian = (jnp.stack(x)[channel, row] for x in zip(*mapped))
    cos = 2 * u[:, 1] - 1
    log_prior = [maps.power_inverse(s, *LIMITS, 2.0)[1]]
    log_prior += [maps.breit_wigner_inverse(s, *LIMITS, *peak)[1] for peak in peaks]
    features = jnp.stack([jnp.log(s / LIMITS[0]) / math.log(LIMITS[1] / LIMITS[0]), cos], -1)
    value = 2 * jnp.exp(log_jacobian) * cross_section(s, cos)
    return integrator.Values(value, features, jax.nn.log_softmax(jnp.stack(log_prior, -1), -1))


def lineshape_integral() -> float:
    """Integrate the lineshape by a rule, piece by piece; of cos(theta), whose square is all there
    is, three points are exact.
    """
    at, weight = np.polynomial.legendre.leggauss(3)
    width = [k * m for m in (91.1876, 400.0) for k in (m - 20, m - 5, m, m + 5, m + 20)]
    edges = np.array([LIMITS[0], *width, LIMITS[1]])

    def over_cos(s: float) -> float:
        return float((weight * np.asarray(cross_section(np.full(3, s), at))).sum())

    pieces = [integrate.quad(over_cos, *x, epsrel=1e-9) for x in zip(edges, edges[1:])]
    return sum(value for value, _ in pieces)


def cases() -> dict[str, Case]:
    """Give the integrands that flows are trained on."""
    found = {}
    for dim, n_steps in ((4, 300), (8, 500)):
        one = integrator.Integrand(lambda x, _: integrator.Values(toys.camel(x)), dim)
        found[f"camel{dim}"] = Case(one, toys.camel_integral(dim), n_steps, losses.kullback_leibler)
    three = integrator.Integrand(lineshape, 2, 3, 2)
    found["lineshape"] = Case(three, lineshape_integral(), 300, losses.stratified_variance)
    return found


def ours(case: Case, settings: integrator.Settings, n: int, chunk: int) -> Side:
    """Compile blocks of n steps, and the drawing of a chunk of points."""
    step = integrator.train_step(case.integrand, settings)
    block = jax.jit(lambda state: jax.lax.scan(step, state, None, n), donate_argnums=0)
    start = jax.jit(lambda key: integrator.init(case.integrand, settings, key))
    state = start(jax.random.key(0))
    compiled = block.lower(state).compile()
    sampling.sample(case.integrand, settings, state, jax.random.key(0), chunk, chunk=chunk)
    drawn = 0

    def begin(seed: int) -> int:
        nonlocal state
        state = start(jax.random.key(seed))
        return sum(x.size for x in jax.tree.leaves(state.params))

    def train(n_steps: int) -> float:
        nonlocal state
        begun = time.process_time()
        for _ in range(n_steps // n):
            state, _ = jax.block_until_ready(compiled(state))
        return time.process_time() - begun

    def sample(n_points: int) -> tuple[float, sampling.Sampled]:
        nonlocal drawn
        drawn += 1
        key = jax.random.fold_in(state.key, 1_000_000 + drawn)
        begun = time.process_time()
        found = sampling.sample(case.integrand, settings, state, key, n_points, chunk=chunk)
        return time.process_time() - begun, found

    return Side(begin, train, sample)


def madnis(
    cache: Path, folder: Path, name: str, case: Case, settings: integrator.Settings
) -> tuple[Side, float]:
    """Start madnis; also tell how far its integrand is from ours, relatively, at random points."""
    folder.mkdir()
    n_channels = case.integrand.n_channels
    rng = np.random.default_rng(0)
    x, channel = rng.random((10_000, case.integrand.dim)), rng.integers(n_channels, size=10_000)
    np.savez(folder / "points.npz", x=x, channel=channel)
    python = _peers.environment(cache, PEERS)
    ask = _peers.conversation(python, HERE / "_torch_madnis.py", folder)
    ask("values", name)
    given = case.integrand.function(jnp.asarray(x), jnp.asarray(channel))
    found = {"value": given.value}
    if n_channels > 1:
        found |= {"features": given.features, "prior": jnp.exp(given.log_prior)}
    with np.load(folder / "values.npz") as file:
        apart = max(float(np.abs(file[k] / np.asarray(v) - 1).max()) for k, v in found.items())

    def begin(seed: int) -> int:
        return int(
            ask("begin", name, seed, case.n_steps, settings.n_points, settings.learning_rate)[0]
        )

    def train(n_steps: int) -> float:
        return float(ask("train", n_steps)[0])

    def sample(n_points: int) -> tuple[float, sampling.Sampled]:
        seconds = float(ask("sample", n_points)[0])
        with np.load(folder / "sample.npz") as file:
            weight, of = file["weight"], file["channel"]
        none: Any = None
        return seconds, sampling.Sampled(none, of, weight, none, none)

    return Side(begin, train, sample), apart
