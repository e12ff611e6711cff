"""Object condensation and contrastive embedding: the hits of a particle are drawn to one place.

A network gives each hit a place in a learned space, and a charge. In object condensation
(arXiv:2002.03605, eqs. 3 to 8; for tracking arXiv:2312.03823) the hit of each particle with the
highest `beta` is its condensation point: it attracts the particle's hits as the squared distance
and pushes others away within a distance of 1; `condense` then collects hits around the points with
highest beta. In the contrastive form there is no beta: pairs of one particle are drawn together,
the hits of others within a margin are pushed out (arXiv:2103.06995), and hits are clustered by
density (`cluster`, DBSCAN).

Memory is that of hits times the particles that a cloud has room for.

>>> place = np.array([[0.0, 0], [0.1, 0], [3.0, 0], [3.1, 0]])
>>> condense(place, np.array([0.9, 0.5, 0.8, 0.2]), np.ones(4, bool)).tolist()
[0, 0, 2, 2]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.cluster import DBSCAN

from hepjax import batch
from hepjax.io import hits
from hepjax.nn import mlp, model
from hepjax.tracking import clouds, tracks
from hepjax.tracking.clouds import Cloud

WEIGHTS = {"attract": 1.0, "repel": 1.0, "beta": 0.2, "noise": 0.1}
"""Of the terms of object condensation."""

Q_MIN = 0.1
"""Charge of a hit of beta 0."""


class Output(NamedTuple):
    """What is said of the hits of a cloud: place [hit, coordinate], logit [hit] of beta."""

    place: jax.Array
    logit: jax.Array


class Embedding(linen.Module):
    """Places and beta of the hits of a cloud.

    width, n_layers, window: of the encoder; n_coordinates: of the learned space.
    """

    width: int = 64
    n_layers: int = 4
    window: int = 64
    n_coordinates: int = 6

    @linen.compact
    def __call__(self, cloud: Cloud, train: bool = False) -> Output:
        """Place the hits of a cloud."""
        x = clouds.Encoder(self.width, self.n_layers, self.window, name="encoder")(cloud)
        out = mlp.MLP((self.width, self.n_coordinates + 1), name="head")(x)
        out = out.astype(jnp.float32)
        return Output(out[:, 1:], out[:, 0])


class _Assigned(NamedTuple):
    """Which hits are of which wanted particle, the particles numbered from 0 [hit, particle]."""

    of: jax.Array
    exists: jax.Array
    noise: jax.Array
    counts: jax.Array


def _assigned(cloud: Cloud) -> _Assigned:
    """Number the wanted particles of a cloud by their first hits."""
    n = len(cloud.mask) // clouds.HITS_A_PARTICLE
    first = jnp.flatnonzero(cloud.is_first, size=n, fill_value=-1)
    particle = jnp.where(first >= 0, jnp.asarray(cloud.particle)[first], -3)
    of = (cloud.particle[:, None] == particle) & cloud.mask[:, None]
    return _Assigned(
        of, first >= 0, cloud.mask & (cloud.particle == -1), cloud.mask & (cloud.particle >= 0)
    )


def _distances(place: jax.Array, points: jax.Array) -> jax.Array:
    """Squared distances of hits from points [hit, point]."""
    squares = (place**2).sum(-1)[:, None] + (points**2).sum(-1) - 2 * place @ points.T
    return jnp.maximum(squares, 0)


def condensation() -> Callable[[Output, Cloud], dict[str, batch.Mean]]:
    """Build the loss of object condensation, terms of `WEIGHTS`."""

    def loss(out: Output, cloud: Cloud) -> dict[str, batch.Mean]:
        known = _assigned(cloud)
        beta = jax.nn.sigmoid(out.logit)
        charge = jnp.arctanh(jnp.minimum(beta, 0.9999)) ** 2 + Q_MIN
        score = jnp.where(known.of, beta[:, None], -1.0)
        point = jnp.argmax(score, 0)
        square = _distances(out.place, out.place[point])
        pull = charge[:, None] * charge[point] * known.exists
        attract = jnp.where(known.of, square, 0) * pull
        other = (known.counts | known.noise)[:, None] & ~known.of
        near = jnp.where(other & (square < 1), 1 - jnp.sqrt(square + 1e-6), 0)
        n_hits = jnp.maximum((known.counts | known.noise).sum(), 1).astype(jnp.float32)
        exists, noise = known.exists.astype(jnp.float32), known.noise.astype(jnp.float32)
        return {
            "attract": batch.Mean(attract.sum(), n_hits),
            "repel": batch.Mean((jnp.maximum(near, 0) * pull).sum(), n_hits),
            "beta": batch.mean(1 - beta[point], exists),
            "noise": batch.mean(beta, noise),
        }

    return loss


def contrastive(*, margin: float = 1.0) -> Callable[[Output, Cloud], dict[str, batch.Mean]]:
    """Build the contrastive loss: hits against the first hit of each particle."""

    def loss(out: Output, cloud: Cloud) -> dict[str, batch.Mean]:
        known = _assigned(cloud)
        first = jnp.flatnonzero(cloud.is_first, size=known.of.shape[1], fill_value=0)
        square = _distances(out.place, out.place[first])
        pairs = known.of & known.exists
        other = (known.counts | known.noise)[:, None] & ~known.of & known.exists
        near = other & (square < margin**2)
        push = jnp.where(near, margin - jnp.sqrt(jnp.where(near, square, 0) + 1e-6), 0) ** 2
        real = optax.sigmoid_binary_cross_entropy(out.logit, known.counts.astype(jnp.float32))
        return {
            "attract": batch.mean(square, pairs.astype(jnp.float32)),
            "repel": batch.Mean(push.sum(), near.sum() + 1.0),
            "noise": batch.mean(real, (known.counts | known.noise).astype(jnp.float32)),
        }

    return loss


def condense(
    place: Any, beta: Any, mask: Any, *, min_beta: float = 0.3, radius: float = 0.6
) -> jax.Array:
    """Collect hits around condensation points: the point of each hit, -1 for none [hit].

    place: [hit, coordinate]; beta: [hit] 0 to 1; mask: [hit]. Points are taken by falling beta,
    down to min_beta, and take what is left within the radius. Runs on device.
    """
    place, beta, mask = (jnp.asarray(x) for x in (place, beta, mask))

    def turn(state: tuple) -> tuple:
        label, left = state
        point = jnp.argmax(jnp.where(left, beta, -1.0))
        near = ((place - place[point]) ** 2).sum(-1) < radius**2
        return jnp.where(left & near, point, label), left & ~near

    def more(state: tuple) -> jax.Array:
        return (state[1] & (beta > min_beta)).any()

    start = jnp.full(len(mask), -1), mask
    return jax.lax.while_loop(more, turn, start)[0]


_condensed = jax.jit(condense, static_argnames=("min_beta", "radius"))


def cluster(place: np.ndarray, chosen: np.ndarray, *, radius: float, min_hits: int) -> np.ndarray:
    """Cluster hits by density: the cluster of each, -1 for none [hit].

    place: [hit, coordinate]; chosen: [hit] bool, the hits that may be in one; radius, min_hits: of
    DBSCAN.
    """
    label = np.full(len(place), -1)
    if chosen.any():
        label[chosen] = DBSCAN(eps=radius, min_samples=min_hits).fit_predict(place[chosen])
    return label


def find(
    network: model.Model,
    variables: Any,
    event: hits.Event,
    *,
    by: str = "condensation",
    radius: float = 0.6,
    min_beta: float = 0.3,
    min_hits: int = tracks.MIN_HITS,
) -> np.ndarray:
    """Find the tracks of one event: pairs (hit, track) [pair, 2].

    by: condensation, or density for places of the contrastive loss, of hits that are more likely
    than min_beta. Raises ValueError for another name.
    """
    if by not in ("condensation", "density"):
        raise ValueError(f"by: expected condensation or density, found {by!r}")
    if not hits.n_hits(event):
        return np.zeros((0, 2), int)
    one = clouds.cloud(event)
    out = jax.device_get(clouds.apply(network, variables, one))
    beta = 1 / (1 + np.exp(-out.logit))
    if by == "condensation":
        label = np.asarray(_condensed(out.place, beta, one.mask, min_beta=min_beta, radius=radius))
    else:
        chosen = one.mask & (beta > min_beta)
        label = cluster(out.place, chosen, radius=radius, min_hits=2)
    kept = np.flatnonzero(label >= 0)
    return tracks.numbered(np.stack([one.hit[kept], label[kept]], -1), min_hits)
