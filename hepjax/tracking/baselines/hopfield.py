"""Denby and Peterson's network: edges as neurons that excite those in line and inhibit their forks.

The oldest neural tracker (B. Denby, Comput. Phys. Commun. 49 (1988) 429; C. Peterson, Nucl.
Instrum. Meth. A 279 (1989) 537; used by ALEPH) learns nothing. Each edge of a graph has an
activation s between 0 and 1 and the energy is

    E = - 1/2 sum_ij w_ij s_i s_j + alpha/2 (sum of s_i s_k over edges that share a start or an end)

where w_ij of two edges that follow each other falls with their kink, as cos^power of the angle does
for small angles, and with their length. Its minimum is looked for in the mean field, s_i =
(1 + tanh(-dE/ds_i / T)) / 2, while the temperature T falls. It is a baseline: it works where hits
are few.

>>> ends, direction = np.array([[0, 1], [1, 2], [1, 3]]), np.array([[0, 0], [0, 0], [0.5, 0]])
>>> s = activations(ends, direction, np.ones(3), n_hits=4)
>>> (s > 0.5).tolist()
[True, True, False]
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.tracking import tracks


class Settings(NamedTuple):
    """The energy and its cooling.

    power: of the cosine of the kink; alpha: price of a fork, of the weight of a straight pair;
    start, end: temperatures, in the same units; n_steps: of the cooling, geometric; bias: of all
    edges: below 0 those that nothing supports go out, and all may.
    """

    power: float = 2e4
    alpha: float = 0.5
    start: float = 20.0
    end: float = 0.05
    n_steps: int = 60
    bias: float = -0.1


DEFAULT = Settings()


def weights(
    direction: np.ndarray, length: np.ndarray, pairs: np.ndarray, power: float
) -> np.ndarray:
    """Give the weights of pairs of edges that follow each other [triplet], 1 for straight ones of
    mean length.

    direction: [edge, 2]; length: [edge]; pairs: [triplet, 2] edges.
    """
    kink = tracks.kinks(direction, pairs)
    mean = float(np.mean(length)) if len(length) else 1.0
    return np.exp(-0.5 * power * kink**2) * 2 * mean / length[pairs].sum(1)


def activations(
    ends: np.ndarray,
    direction: np.ndarray,
    length: np.ndarray,
    *,
    n_hits: int,
    settings: Settings = DEFAULT,
) -> np.ndarray:
    """Cool the network of one event's edges down and give their activations [edge].

    ends: [edge, 2] (sender, receiver); direction: [edge, 2] what stays along a track; length:
    [edge] above 0, in any unit.
    """
    pairs = tracks.triplets(*ends.T)
    weight = weights(direction, length, pairs, settings.power)
    room = [-(-max(n, 1) // 1024) * 1024 for n in (len(ends), len(pairs))]
    padded = np.pad(ends, ((0, room[0] - len(ends)), (0, 0)), constant_values=n_hits)
    following = np.pad(pairs, ((0, room[1] - len(pairs)), (0, 0)), constant_values=len(ends))
    weight = np.pad(weight, (0, room[1] - len(weight))).astype(np.float32)
    n = -(-(n_hits + 1) // 1024) * 1024
    return np.asarray(_cool(padded, following, weight, n, settings))[: len(ends)]


def link(
    position: np.ndarray, edges: np.ndarray, direction: np.ndarray, settings: Settings = DEFAULT
) -> np.ndarray:
    """Make tracks of edges by what the network leaves: pairs (hit, track) [pair, 2].

    position: [hit, 3] mm; edges: [edge, 2] (sender, receiver); direction: [edge, 2] what stays
    along a track. Of several edges that are left at a hit the straightest go on.
    """
    senders, receivers = edges.T
    length = np.linalg.norm(position[receivers] - position[senders], axis=-1)
    on = activations(edges, direction, length, n_hits=len(position), settings=settings) > 0.5
    pairs = tracks.triplets(senders[on], receivers[on])
    chain = tracks.chains(int(on.sum()), pairs, -tracks.kinks(direction[on], pairs))
    return tracks.without_clones(tracks.assemble(senders[on], receivers[on], chain))


def _cool(ends: Any, pairs: Any, weight: Any, n_hits: int, settings: Settings) -> jax.Array:
    n_edges = len(ends)
    sender, receiver = ends.T
    first, second = pairs.T

    def sums(x: jax.Array, of: jax.Array, n: int) -> jax.Array:
        return jax.ops.segment_sum(x, of, n)

    def step(s: jax.Array, temperature: jax.Array) -> tuple[jax.Array, None]:
        support = sums(weight * s[second], first, n_edges) + sums(
            weight * s[first], second, n_edges
        )
        forks = sums(s, sender, n_hits)[sender] + sums(s, receiver, n_hits)[receiver] - 2 * s
        field = support - settings.alpha * forks + settings.bias
        return (1 + jnp.tanh(field / temperature)) / 2, None

    temperature = jnp.geomspace(settings.start, settings.end, settings.n_steps)
    return jax.lax.scan(step, jnp.full(n_edges, 0.5), temperature)[0]


_cool = jax.jit(_cool, static_argnums=(3, 4))
