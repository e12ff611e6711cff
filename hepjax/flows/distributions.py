"""The faces of densities of directions to distrax: distributions that close over parameters.

>>> one = Directional(directional.VMF, jnp.array([0.0, 0.0, 0.0, 8.0]))
>>> n, log_p = one.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(5,))
>>> n.shape, log_p.shape, one.event_shape
((5, 3), (5,), (3,))
"""

import math
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hepjax import sphere
from hepjax.flows import directional


class Directional(distrax.Distribution):
    """A density of a family (`flows.directional`): params [..., size], a batch of its own."""

    def __init__(self, family: directional.Family, params: Any) -> None:
        super().__init__()
        self._family, self._params = family, jnp.asarray(params)

    def log_prob(self, value: Any) -> jax.Array:
        """Give the logarithm of the density, 1 / sr, at directions [..., 3]."""
        return self._family.log_prob(self._params, value)

    def _sample_n(self, key: Any, n: int) -> Any:
        return self._family.sample(key, self._params, n)[0]

    def _sample_n_and_log_prob(self, key: Any, n: int) -> Any:
        return self._family.sample(key, self._params, n)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Give (3,): one direction."""
        return (3,)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Give the shape of the batch of densities."""
        return self._params.shape[:-1]


class Even(distrax.Distribution):
    """The even density of the sphere, which a flow's bijector begins with."""

    def __init__(self, dtype: Any = jnp.float32) -> None:
        super().__init__()
        self._dtype = dtype

    def log_prob(self, value: Any) -> jax.Array:
        """Give -log 4 pi for directions [..., 3]."""
        return jnp.full(value.shape[:-1], -math.log(sphere.AREA), value.dtype)

    def _sample_n(self, key: Any, n: int) -> Any:
        return sphere.uniform(key, (n,), self._dtype)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Give (3,): one direction."""
        return (3,)
