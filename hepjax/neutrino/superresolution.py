"""Light on modules that are not there, predicted from those that are.

A detector is simulated of which some modules are hidden: every second string, or every second
module of a string. A network sees the pulses of the others and predicts for the hidden modules
near them how much light they would see, and when first (arXiv:2408.08474, where that is done by
convolutions on pictures of the detector). `enhance` adds what is predicted to the pulses, for a
reconstruction. All that is predicted is computed from the real pulses: it can help a method that
does not know how light goes through the medium, and cannot help one that uses all there is in
them.

Here the network is a transformer: pulses attend to each other, and hidden modules, in the same
frame, to pulses, while nothing attends to them. The light is a Poisson number, the time has a
Laplace density about what a track along the line fit would give, and what is learned on top.

In order: `every_second`, `seen_by`, `near` and `Targets` are about modules, `VirtualLight`
predicts, `loss` trains it, `enhance` uses it, `quality` measures it.

>>> from hepjax.neutrino import detectors
>>> hidden = every_second(detectors.pone(), "strings")
>>> hidden.sum(), hidden.shape
(np.int64(100), (200,))
"""

from typing import Any, Literal, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, metrics, train
from hepjax.neutrino import data, frames, media, training
from hepjax.nn import mlp, model, norm, transformer

REACH = 60.0
"""Distance, m, by which a hit counts less, where hidden modules near hits are looked for."""
SHARPEST = 2.0
"""Least width of the density of times, ns."""
DELAY = 100.0
"""An output of 1, ns."""


class Targets(NamedTuple):
    """Hidden modules of events, [event, virtual], and what they see: position [event, virtual, 3]
    m; module: row in the detector; charge, 0 where nothing is seen; time of the first pulse, ns.
    """

    position: Any
    module: Any
    charge: Any
    time: Any


class Prediction(NamedTuple):
    """What is predicted for hidden modules [event, virtual]: log_mean of the charge; time: ns, of
    the first pulse if there is one, the median; width: ns, of its Laplace density.
    """

    log_mean: Any
    time: Any
    width: Any


class Resolver(NamedTuple):
    """net: VirtualLight; detector, whole; hidden: [module] bool; medium; n_virtual: hidden modules
    of an event that are looked at; length: most pulses, one of a module, that the net sees;
    min_modules: with light, of events that count.
    """

    net: model.Model
    detector: data.Detector
    hidden: Any
    medium: media.Medium
    n_virtual: int = 48
    length: int = 48
    min_modules: int = 5


def every_second(detector: data.Detector, what: Literal["strings", "modules"]) -> np.ndarray:
    """Choose the modules [module] to hide: every second string, or on each every second module
    from below. Raises ValueError for another word.
    """
    string, z = np.asarray(detector.string), np.asarray(detector.position)[:, 2]
    if what == "strings":
        return np.unique(string, return_inverse=True)[1] % 2 == 1
    if what != "modules":
        raise ValueError(f"what: {what!r}, expected 'strings' or 'modules'")
    order = np.lexsort((z, string))
    first = np.searchsorted(string[order], string[order])
    rank = np.empty(len(z), int)
    rank[order] = np.arange(len(z)) - first
    return rank % 2 == 1


def seen_by(pulses: data.Pulses, kept: Any, *, min_pulses: int = 0) -> data.Pulses:
    """Leave the pulses of modules that are kept [module]; none of events that then have fewer than
    `min_pulses`. Padding may stand between those left.
    """
    mask = pulses.mask & jnp.asarray(kept)[pulses.module]
    mask = mask & (mask.sum(-1, keepdims=True) >= min_pulses)
    return jax.tree.map(
        lambda x: jnp.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x, jnp.zeros_like(x)),
        pulses._replace(mask=mask),
    )


def near(resolver: Resolver, pulses: data.Pulses) -> tuple[jax.Array, jax.Array]:
    """Find of each event the hidden modules with most charge around them: rows in the detector
    [event, virtual] and positions [event, virtual, 3], m.
    """
    rows = np.flatnonzero(np.asarray(resolver.hidden))
    if len(rows) < resolver.n_virtual:
        raise ValueError(f"n_virtual: {resolver.n_virtual}, but {len(rows)} modules are hidden")
    position = jnp.asarray(np.asarray(resolver.detector.position)[rows])
    charge = jnp.where(pulses.mask, jnp.sqrt(pulses.charge), 0)

    def around(one: tuple[jax.Array, jax.Array]) -> jax.Array:
        place, charge = one
        square = (position**2).sum(-1)[:, None] + (place**2).sum(-1)
        product = jnp.matmul(position, place.T, precision=jax.lax.Precision.HIGHEST)
        apart = jnp.sqrt(jnp.maximum(square - 2 * product, 0) + 1)
        total = (charge * jnp.exp(-apart / REACH)).sum(-1)
        return jax.lax.top_k(total, resolver.n_virtual)[1]

    chosen = jax.lax.map(around, (pulses.position, charge), batch_size=64)
    return jnp.asarray(rows, jnp.int32)[chosen], position[chosen]


def targets(pulses: data.Pulses, module: jax.Array, position: jax.Array) -> Targets:
    """Look up what hidden modules [event, virtual] see among all pulses of the whole detector."""
    same = (pulses.module[:, None] == module[..., None]) & pulses.mask[:, None]
    charge = jnp.where(same, pulses.charge[:, None], 0).sum(-1)
    first = jnp.where(same, pulses.time[:, None], jnp.inf).min(-1)
    return Targets(position, module, charge, jnp.where(charge > 0, first, 0))


class VirtualLight(linen.Module):
    """Three numbers [event, virtual, 3] of hidden modules: logarithms of light and of the width in
    time, and a delay, from Features of pulses and of hidden modules [event, virtual, N_PULSE].
    """

    width: int = 64
    n_layers: int = 2
    n_heads: int = 4
    ratio: int = 2
    dtype: Any = None

    @linen.compact
    def __call__(
        self, inputs: frames.Features, virtual: jax.Array, train: bool = False
    ) -> jax.Array:
        """Compute the numbers, float32."""
        n, mask = inputs.mask.shape[1], inputs.mask
        sizes = (self.width, self.width)
        x = mlp.MLP(sizes, mlp.gelu, dtype=self.dtype, name="pulses")(inputs.pulse)
        query = mlp.MLP(sizes, mlp.gelu, dtype=self.dtype, name="virtual")(virtual)
        whole = mlp.MLP(sizes, mlp.gelu, dtype=self.dtype, name="whole")(inputs.whole)
        items = jnp.concatenate([x, query], 1) + whole[:, None]
        asked = jnp.concatenate([mask, jnp.zeros(virtual.shape[:2], bool)], 1)
        for k in range(self.n_layers):
            scale = (2 * self.n_layers) ** -0.5
            fields = (self.n_heads, self.ratio, self.dtype, scale)
            items = transformer.Block(*fields, name=f"block_{k}")(items, asked)
        out = norm.LayerNorm(name="norm")(items[:, n:].astype(jnp.float32))
        last = linen.initializers.variance_scaling(1e-2, "fan_in", "truncated_normal")
        return linen.Dense(3, kernel_init=last, name="head")(out)


def init(resolver: Resolver, key: jax.Array, simulate: training.Simulate) -> model.Variables:
    """Set up variables; simulate: gives events of the whole detector, one pulse of a module."""

    def start(key: jax.Array, example: jax.Array) -> model.Variables:
        real, true = sample(resolver, simulate(example, 2)[0])
        return resolver.net.init(key, *_inputs(resolver, real, true.position)[:2])

    return jax.jit(start)(*jax.random.split(key))


def predict(
    resolver: Resolver, variables: Any, pulses: data.Pulses, position: jax.Array
) -> Prediction:
    """Predict the light at hidden modules [event, virtual, 3] m from real pulses, one a module."""
    inputs, virtual, expected = _inputs(resolver, pulses, position)
    out = resolver.net.apply(variables, inputs, virtual)
    log_mean = 4 * jnp.tanh((out[..., 0] - 1) / 4)
    width = SHARPEST + 50 * jnp.exp(3 * jnp.tanh(out[..., 2] / 3))
    return Prediction(log_mean, expected + DELAY * out[..., 1], width)


def log_density(found: Prediction, true: Targets) -> tuple[jax.Array, jax.Array]:
    """Give logarithms [event, virtual] of the probability of the charge, rounded, as Poisson's,
    and of the density of the first time, 1/ns, which is 0 where there is none.
    """
    number = jnp.round(true.charge)
    count = (
        number * found.log_mean - jnp.exp(found.log_mean) - jax.scipy.special.gammaln(number + 1)
    )
    late = -jnp.abs(true.time - found.time) / found.width - jnp.log(2 * found.width)
    return count, jnp.where(true.charge > 0, late, 0)


def loss(resolver: Resolver, simulate: training.Simulate, n_events: int) -> train.Loss:
    """Build the loss on n new events of the whole detector a step: minus the logarithms of charges
    and first times, at hidden modules of events that real ones see.
    """

    def function(params: Any, _: Any, key: jax.Array) -> dict[str, batch.Mean]:
        pulses, _ = jax.lax.stop_gradient(simulate(key, n_events))
        real, true = jax.lax.stop_gradient(sample(resolver, pulses))
        found = predict(resolver, {"params": params}, real, true.position)
        count, late = log_density(found, true)
        weight = real.mask.any(-1)[:, None]
        return {
            "charge": batch.mean(-count, weight),
            "time": batch.mean(-late, weight & (true.charge > 0)),
        }

    return train.mean_loss(function, {"time": 0.2})


def sample(resolver: Resolver, pulses: data.Pulses) -> tuple[data.Pulses, Targets]:
    """Divide pulses of the whole detector, one of a module, into what the real modules see, and
    what the hidden ones near those would have seen.
    """
    real = seen_by(pulses, ~np.asarray(resolver.hidden), min_pulses=resolver.min_modules)
    real = data.strongest(real, resolver.length)
    return real, targets(pulses, *near(resolver, real))


def enhance(
    resolver: Resolver, variables: Any, pulses: data.Pulses, *, threshold: float = 0.5
) -> data.Pulses:
    """Add to real pulses, one of a module, those of hidden modules that see light with a
    probability above `threshold`: at the median time, of the charge that is expected if there is
    any.
    """
    module, position = near(resolver, pulses)
    found = predict(resolver, variables, pulses, position)
    mean = jnp.exp(found.log_mean)
    chance = -jnp.expm1(-mean)
    mask = (chance > threshold) & pulses.mask.any(-1, keepdims=True)
    zero = jnp.zeros_like(found.time)
    virtual = data.Pulses(
        jnp.where(mask[..., None], position, 0),
        jnp.where(mask, found.time, zero),
        jnp.where(mask, mean / chance, zero),
        jnp.where(mask, module, 0),
        mask,
    )
    both = data.Pulses(*(jnp.concatenate(pair, 1) for pair in zip(pulses, virtual)))
    return data.strongest(both, both.mask.shape[1])


def quality(found: Prediction, true: Targets, pulses: data.Pulses) -> dict[str, float]:
    """Judge predictions for hidden modules, of events that real modules see.

    auc: of the chance that there is light, with its error; seen, chance: means of what is and of
    what is predicted; median_delay_ns: median distance of the true first time from the predicted;
    pull: that over what the predicted widths say.
    """
    some = np.any(pulses.mask, axis=-1, keepdims=True)
    here = np.broadcast_to(some, np.shape(true.charge))
    seen = np.asarray(true.charge) > 0
    chance = -np.expm1(-np.exp(np.asarray(found.log_mean, np.float64)))
    delay = np.abs(np.asarray(true.time) - np.asarray(found.time))
    hit = here & seen
    area = metrics.auc(chance[here], seen[here])
    return {
        "auc": area.value,
        "auc_error": area.error,
        "seen": float(seen[here].mean()),
        "chance": float(chance[here].mean()),
        "median_delay_ns": float(np.median(delay[hit])),
        "pull": float(np.median((delay / np.asarray(found.width))[hit]) / np.log(2)),
    }


def _inputs(
    resolver: Resolver, pulses: data.Pulses, position: jax.Array
) -> tuple[frames.Features, jax.Array, jax.Array]:
    """Make features of pulses and of hidden modules, and their times if the line is the track."""
    medium, found = resolver.medium, frames.frame(pulses)
    local = frames.turn(found, position - found.line.origin[:, None])
    across = jnp.sqrt((local[..., :2] ** 2).sum(-1))
    tangent = media.tangent(medium)
    detour = (medium.group_index * (1 + tangent**2) ** 0.5 - 1) / tangent
    expected = found.line.time[:, None] + (local[..., 2] + detour * across) / media.LIGHT
    mask = jnp.ones(expected.shape, bool)
    like = data.Pulses(position, expected, jnp.zeros_like(expected), mask, mask)
    virtual = frames.features(like, found, medium).pulse
    return frames.features(pulses, found, medium), virtual, expected


def gains(angles: dict[str, np.ndarray]) -> dict[str, float]:
    """Compare angular errors [event] of the same events, named "METHOD, INPUT" with the inputs
    "real", "predicted" and "whole".

    By METHOD: gain, the median with real modules alone over that with predicted ones added, and
    room, over that of the whole detector, each with its error by a bootstrap of events.
    """
    rng, found = np.random.default_rng(0), {}
    for method in {name.split(",")[0]: None for name in angles}:
        three = np.stack([angles[f"{method}, {x}"] for x in ("real", "predicted", "whole")])
        draws = rng.integers(0, three.shape[1], (200, three.shape[1]))
        spread = np.median(three[:, draws], -1)
        for k, name in enumerate(("gain", "room"), 1):
            label = f"{name}_{method.replace(' ', '_')}"
            found[label] = float(np.median(three[0]) / np.median(three[k]))
            found[f"{label}_error"] = float((spread[0] / spread[k]).std(ddof=1))
    return found
