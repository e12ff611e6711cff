"""Connected components of a graph, on device: which nodes can be reached from each other.

Each node points to another one of its component, at first to itself. In a round all edges hook the
larger of what their ends point to onto the smaller, and all pointers are followed once more; a
graph of chains takes six or seven rounds, where passing labels from node to node would take as many
as the chain is long (a short form of FastSV, arXiv:1910.05971: one of its four sums an edge is
enough). The function is pure: it runs under jit, and under vmap over masks of edges, one for each
threshold.

>>> senders, receivers = jnp.array([0, 1, 3]), jnp.array([1, 2, 4])
>>> components(senders, receivers, 6).tolist()
[0, 0, 0, 3, 3, 5]
>>> masks = jnp.array([[True, True, True], [False, True, True]])
>>> jax.vmap(lambda m: components(senders, receivers, 6, m))(masks)[1].tolist()
[0, 1, 1, 3, 3, 5]
"""

import jax
import jax.numpy as jnp


def components(
    senders: jax.Array, receivers: jax.Array, n_nodes: int, mask: jax.Array | None = None
) -> jax.Array:
    """Label each node by the smallest node of its component [node] int32.

    senders, receivers: [edge] index of a node, their order and direction do not matter; mask:
    [edge] the edges that count (None: all). A node without edges is a component.
    """
    own = jnp.arange(n_nodes, dtype=jnp.int32)
    senders, receivers = senders.astype(jnp.int32), receivers.astype(jnp.int32)
    if mask is not None:  # a dropped edge joins its sender with itself
        receivers = jnp.where(mask, receivers, senders)
    if not len(senders):
        return own

    def turn(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        parent, _ = state
        from_, to = parent[senders], parent[receivers]
        hooked = parent.at[jnp.maximum(from_, to)].min(jnp.minimum(from_, to))
        above = hooked[hooked]
        return above, jnp.any(above != parent)

    return jax.lax.while_loop(lambda state: state[1], turn, (own, jnp.array(True)))[0]
