"""Connected components of a graph, on device: which nodes can be reached from each other.

Labels are hooked onto the smallest label that a neighbour's parent has, and pointers are followed
to their ends, at once for all nodes; a graph of long chains takes five or six rounds, where passing
labels from node to node would take as many as the chain is long (FastSV, arXiv:1910.05971). The
function is pure: it runs under jit, and under vmap over masks of edges, one for each threshold.

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

    def turn(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple:
        parent, above, _ = state
        from_, to = above[senders], above[receivers]
        low = jnp.minimum(from_, to)
        moved = parent.at[parent[senders]].min(low).at[parent[receivers]].min(low)
        moved = moved.at[senders].min(low).at[receivers].min(low)
        moved = jnp.minimum(moved, above)
        new = moved[moved]
        return moved, new, jnp.any(new != above)

    parent, above, _ = jax.lax.while_loop(lambda state: state[2], turn, (own, own, jnp.array(True)))
    return jnp.minimum(parent, above)
