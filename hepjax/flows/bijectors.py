"""The faces of the flows to distrax: bijectors that close over parameters.

>>> parameters = coupling.init(jax.random.key(0), 2)
>>> flow = distribution(Coupling(parameters), 2)
>>> x = jnp.array([[0.2, 0.7], [0.9, 0.1]])
>>> bool(jnp.allclose(jax.jit(flow.log_prob)(x), 0, atol=1e-4))
True
"""

from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hepjax.flows import coupling
from hepjax.flows import sphere as sphere_flow


class Coupling(distrax.Bijector):
    """A coupling flow of the unit cube, from latent points [..., dim] to data.

    given: [..., n_given] what the flow was told to depend on.
    """

    def __init__(self, parameters: coupling.Parameters, given: Any = None) -> None:
        super().__init__(event_ndims_in=1)
        self._parameters, self._given = parameters, given

    def _mapped(self, function: Any, points: Any) -> tuple[jax.Array, jax.Array]:
        flat = jnp.reshape(points, (-1, points.shape[-1]))
        given = self._given
        if given is not None:
            whole = jnp.broadcast_to(given, (*points.shape[:-1], given.shape[-1]))
            given = whole.reshape(len(flat), -1)
        found, log_det = function(self._parameters, flat, given)
        return found.reshape(points.shape), log_det.reshape(points.shape[:-1])

    def forward_and_log_det(self, x: Any) -> tuple[jax.Array, jax.Array]:
        """Map latent points [..., dim] to data, and give log |dy/dx| [...]."""
        return self._mapped(coupling.forward, x)

    def inverse_and_log_det(self, y: Any) -> tuple[jax.Array, jax.Array]:
        """Map data [..., dim] to latent points, and give log |dx/dy| [...], -inf for what lies
        outside of the cube.
        """
        x, log_det = self._mapped(coupling.inverse, y)
        inside = ((y >= 0) & (y <= 1)).all(-1)
        return x, jnp.where(inside, log_det, -jnp.inf)


class Sphere(distrax.Bijector):
    """A flow of the sphere, from even points [..., 3] to directions; log_det is by area.

    params: [..., size], see `flows.sphere`. Transformed(distributions.Even(), Sphere(plan, params))
    is its density, where the parameters are those of one event.
    """

    def __init__(self, plan: sphere_flow.Plan, params: Any) -> None:
        super().__init__(event_ndims_in=1)
        self._plan, self._params = plan, params

    def forward_and_log_det(self, x: Any) -> tuple[jax.Array, jax.Array]:
        """Map even points [..., 3] to directions, and give the logarithm of the areas' ratio."""
        return sphere_flow.forward(self._plan, self._params, x)

    def inverse_and_log_det(self, y: Any) -> tuple[jax.Array, jax.Array]:
        """Map directions [..., 3] to even points."""
        return sphere_flow.inverse(self._plan, self._params, y)


def distribution(bijector: distrax.Bijector, dim: int) -> distrax.Transformed:
    """Give the density of what a bijector makes of even points of the cube [dim]."""
    even = distrax.Uniform(jnp.zeros(dim), jnp.ones(dim))
    return distrax.Transformed(distrax.Independent(even, 1), bijector)
