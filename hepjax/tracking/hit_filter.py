"""Which hits are worth a tracker's time: a network drops noise, and particles nobody looks for.

The transformer over hits in the order of azimuth (`clouds`) gives each hit the logit of being of a
wanted particle (arXiv:2411.07149, its first stage). `fit` trains it and sets the cut that keeps a
given share of the wanted hits, `choose` says which hits of an event are kept, and
`io.hits.select` makes the smaller event.

>>> Settings().keep
0.995
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch
from hepjax.io import hits
from hepjax.nn import mlp, model
from hepjax.tracking import clouds
from hepjax.tracking.clouds import Cloud


class Settings(NamedTuple):
    """A filter and its training.

    width, n_layers, window: of the encoder; keep: share of wanted hits above the cut; n_tuning:
    events, the last of the sample, that the cut is set on; plan: of the training.
    """

    width: int = 32
    n_layers: int = 3
    window: int = 64
    keep: float = 0.995
    n_tuning: int = 20
    plan: clouds.Plan = clouds.Plan(6)


class HitNetwork(linen.Module):
    """Logits [hit] of a cloud."""

    width: int
    n_layers: int
    window: int

    @linen.compact
    def __call__(self, cloud: Cloud, train: bool = False) -> jax.Array:
        """Score the hits of a cloud."""
        x = clouds.Encoder(self.width, self.n_layers, self.window, name="encoder")(cloud)
        return mlp.MLP((self.width, 1), name="head")(x)[:, 0].astype(jnp.float32)


class HitFilter(NamedTuple):
    """A network, its variables, and the cut on its logits."""

    network: model.Model
    variables: Any
    cut: float


def loss(logit: jax.Array, cloud: Cloud) -> batch.Mean:
    """Give the cross-entropy of hits; both kinds have the same weight in a cloud."""
    wanted = cloud.mask & (cloud.particle >= 0)
    other = cloud.mask & ~wanted
    each = optax.sigmoid_binary_cross_entropy(logit, wanted.astype(jnp.float32))
    weight = sum(0.5 * x / jnp.maximum(x.sum(), 1) for x in (wanted, other))
    return batch.mean(each, weight)


def fit(sample: Sequence[Cloud], settings: Settings, *, seed: int = 0) -> HitFilter:
    """Train the network on clouds whose particles are wanted or not, and set its cut.

    Raises ValueError for too few events.
    """
    if len(sample) <= settings.n_tuning:
        raise ValueError(f"sample: {len(sample)} events, expected over {settings.n_tuning}")
    network = model.from_linen(HitNetwork(settings.width, settings.n_layers, settings.window))
    last = len(sample) - settings.n_tuning
    variables = clouds.fit(network, loss, sample[:last], settings.plan, seed=seed)
    logits = [
        np.asarray(clouds.apply(network, variables, one))[one.mask & (one.particle >= 0)]
        for one in sample[last:]
    ]
    cut = float(np.quantile(np.concatenate(logits), 1 - settings.keep))
    return HitFilter(network, variables, cut)


def choose(chosen: HitFilter, event: hits.Event) -> np.ndarray:
    """Tell which hits of an event are kept [hit] bool."""
    kept = np.zeros(hits.n_hits(event), bool)
    if len(kept):
        one = clouds.cloud(event)
        above = np.asarray(clouds.apply(chosen.network, chosen.variables, one)) > chosen.cut
        kept[one.hit[one.mask & above]] = True
    return kept
