"""The sides of sphere_flow_vs_peers.py: flows of two numbers here and in zuko, and of the sphere.

`ours` and `zuko` give ask(what) -> (CPU seconds, value), of two numbers; `of_sphere` and `jammy`
the same of flows of the sphere, jammy_flows' where it is installed. `sphere_times` and
`float32_errors` are of our flow of the sphere, `scan` of one event's density at cells that cover
the sphere.
"""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _tracking_sides import timed

from hepjax import batch, sphere
from hepjax.flows import autoregressive
from hepjax.flows import sphere as flow
from hepjax.flows import sphere_layers as layers

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
PEERS = ("torch==2.13.0", "zuko==1.6.0", "numpy")
SPHERE = ("log_prob", "sample", "gradient")
Ask = Callable[[str], tuple[float, float]]


def ours(n: int, n_given: int, settings: autoregressive.Settings, seed: int) -> Ask:
    """Compile all of the flow of two numbers; the last layers are drawn as the others are."""
    rng = batch.generator(seed)
    parameters = autoregressive.init(jax.random.key(seed), 2, settings, n_given=n_given)
    for group in parameters:
        kernel, bias = (group[-1].kernel, group[-1].bias)
        drawn = [rng.uniform(-1, 1, x.shape) / kernel.shape[-1] ** 0.5 for x in (kernel, bias)]
        group[-1] = autoregressive.Group(None, *(jnp.asarray(x, jnp.float32) for x in drawn))
    x, given = (jnp.asarray(rng.normal(size=(n, k)), jnp.float32) for k in (2, n_given))

    def loss(parameters: Any) -> jax.Array:
        return -autoregressive.log_prob(parameters, x, given).mean()

    def sample(parameters: Any) -> jax.Array:
        return autoregressive.sample(jax.random.key(seed), parameters, n, given)[1]

    functions = {
        "log_prob": lambda p: autoregressive.log_prob(p, x, given),
        "sample": sample,
        "gradient": jax.grad(loss),
    }
    compiled = {name: jax.jit(f).lower(parameters).compile() for name, f in functions.items()}
    size = sum(a.size for a in jax.tree.leaves(parameters))

    def ask(what: str) -> tuple[float, float]:
        if what == "size":
            return 0.0, float(size)
        used, out = timed(compiled[what], parameters)
        return used, float(jnp.mean(jax.tree.leaves(out)[0]))

    return ask


def zuko(cache: Path, n: int, n_given: int, settings: autoregressive.Settings, seed: int) -> Ask:
    """Start zuko with the same sizes, in an environment that is made where it is missing."""
    python = _peers.environment(cache, PEERS)
    sizes = n, n_given, settings.n_steps, settings.n_bins, settings.width, seed
    return _asked(_peers.conversation(python, HERE / "_zuko.py", *sizes))


def jammy(cache: Path, n: int, n_layers: int, seed: int) -> Ask | None:
    """Start jammy_flows' flow of the sphere, or give None where zuko's environment lacks it: it is
    not on PyPI, so that nobody but the user can install it there.
    """
    python = _peers.environment(cache, PEERS)
    if subprocess.run([python, "-c", "import jammy_flows"], capture_output=True).returncode:
        return None
    return _asked(_peers.conversation(python, HERE / "_jammy.py", n, n_layers, seed))


def _asked(answer: Callable[..., list[str]]) -> Ask:
    def ask(what: str) -> tuple[float, float]:
        seconds, value = answer(what)
        return float(seconds), float(value)

    return ask


def drawn(plan: flow.Plan, n: int, kappa: float, seed: int) -> np.ndarray:
    """Draw parameters of n events [n, size], from N(0, 0.2), with so narrow a last zoom."""
    rng = batch.generator(seed, 1)
    params = 0.2 * rng.normal(size=(n, flow.size(plan)))
    params[:, 4] = np.log(kappa) - layers.START
    return params.astype(np.float32)


def of_sphere(plan: flow.Plan, n: int, seed: int) -> Ask:
    """Compile our flow of the sphere for n events, each with parameters of its own."""
    params = drawn(plan, n, 1e4, seed)
    key, directions = jax.random.key(seed), sphere.uniform(jax.random.key(seed), (n,))
    functions = {
        "log_prob": lambda p: flow.log_prob(plan, p, directions),
        "sample": lambda p: flow.sample(key, plan, p, 1)[1],
        "gradient": jax.grad(lambda p: flow.log_prob(plan, p, directions).mean()),
    }
    compiled = {name: jax.jit(f).lower(params).compile() for name, f in functions.items()}

    def ask(what: str) -> tuple[float, float]:
        used, out = timed(compiled[what], params)
        return used, float(jnp.mean(out))

    return ask


def sphere_times(ask: Ask, n: int, repeats: int) -> dict[str, float]:
    """Measure CPU microseconds an event of our flow of the sphere for n events."""
    found = {}
    for name in SPHERE:
        used = [ask(name)[0] / n * 1e6 for _ in range(repeats + 1)][1:]
        found[f"sphere_{name}_us"] = float(np.median(used))
        found[f"sphere_{name}_us_error"] = float(1.2533 * np.std(used, ddof=1) / repeats**0.5)
    return found


def float32_errors(plan: flow.Plan, n: int, kappa: float, seed: int) -> np.ndarray:
    """Give |log density in float32 - in float64| [n] at points of the density, rounded once."""
    params = drawn(plan, n, kappa, seed)
    log_prob = jax.jit(functools.partial(flow.log_prob, plan))
    points = jax.jit(lambda p: flow.sample(jax.random.key(seed), plan, p, 1)[0][0])(params)
    points = np.asarray(points)
    found = np.asarray(log_prob(params, points))
    with jax.enable_x64(True):
        exact = np.asarray(log_prob(params.astype(float), points.astype(float)))
    return np.abs(found - exact)


def scan(plan: flow.Plan, n_cells: int, repeats: int, seed: int) -> dict[str, float]:
    """Measure the CPU seconds of one event's density at cells that cover the sphere."""
    cells = jnp.asarray(sphere.fibonacci(n_cells), jnp.float32)
    params = drawn(plan, 1, 30.0, seed)[0]
    compiled = jax.jit(functools.partial(flow.log_prob, plan)).lower(params, cells).compile()
    used, values = zip(*(timed(compiled, params, cells) for _ in range(repeats + 1)))
    norm = float(sphere.AREA * np.exp(values[0]).mean())
    return {"scan_seconds": float(np.median(used[1:])), "scan_norm": norm}
