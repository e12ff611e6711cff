"""Message passing on a graph: edges learn from their ends, nodes from the edges that they have.

An interaction network (arXiv:1612.00222) concatenates an edge with both of its nodes for a dense
layer. Its kernel falls into three parts, W [e, s, r] = W_e e + W_s s + W_r r, and the last two are
products a node and not an edge: here they are computed before they are gathered, and nothing of
three times the width is ever made. Edges in and out of a node are summed apart. Rounds of equal
shape run in one loop, whose backward pass computes each round again from what it was given and from
that sum of three: memory is that of one round and of two arrays of edges for each.

Padding: an edge between two nodes of padding touches no other; there must be one such node at
least. Edges sorted by receiver make sums faster.

>>> links = Links(jnp.array([0, 1, 1]), jnp.array([1, 2, 0]))
>>> nodes, edges = jnp.ones((3, 8)), jnp.ones((3, 8))
>>> network = Interactions(n_rounds=4)
>>> variables = network.init(jax.random.key(0), nodes, edges, links)
>>> [x.shape for x in network.apply(variables, nodes, edges, links)]
[(3, 8), (3, 8)]
"""

from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from hepjax.nn import mlp

SUMMED = "summed"
"""What an edge is told, kept for the backward pass: it is half of a round's work."""


class Links(NamedTuple):
    """Which nodes an edge joins, and the order of edges by sender, where it is known.

    senders, receivers: [edge] index of a node; by_sender: [edge] edges sorted by sender (None: not
    known).
    """

    senders: jax.Array
    receivers: jax.Array
    by_sender: jax.Array | None = None


def total(edges: jax.Array, nodes: jax.Array, n: int, *, is_sorted: bool = False) -> jax.Array:
    """Sum edges [edge, feature] by node [edge], in float32 at least: [node, feature]."""
    wide = edges.astype(jnp.promote_types(edges.dtype, jnp.float32))
    return jax.ops.segment_sum(wide, nodes, n, indices_are_sorted=is_sorted).astype(edges.dtype)


class Interaction(linen.Module):
    """One round of message passing: nodes [node, width], edges [edge, width] -> the same shapes.

    n_hidden: layers of width between the sum of the three products and the output; is_sorted:
    whether edges are sorted by receiver; dtype: of the matrix products.
    """

    n_hidden: int = 1
    is_sorted: bool = False
    dtype: Any = None

    @linen.compact
    def __call__(
        self, nodes: jax.Array, edges: jax.Array, links: Links
    ) -> tuple[jax.Array, jax.Array]:
        """Pass messages once; both outputs stand on their inputs (residuals)."""
        width, n = edges.shape[-1], nodes.shape[0]

        def dense(name: str, use_bias: bool = True) -> linen.Dense:
            return linen.Dense(
                width, use_bias=use_bias, dtype=self.dtype, dot_general=mlp.dot, name=name
            )

        def rest(x: jax.Array, name: str) -> jax.Array:
            for k in range(self.n_hidden):
                x = dense(f"{name}_{k}")(linen.relu(x))
            return linen.LayerNorm(dtype=self.dtype, name=f"{name}_norm")(x)

        sent, received = dense("sender", False)(nodes), dense("receiver", False)(nodes)
        change = dense("edge")(edges) + sent.at[links.senders].get(mode="promise_in_bounds")
        change += received.at[links.receivers].get(
            mode="promise_in_bounds", indices_are_sorted=self.is_sorted
        )
        change = checkpoint_name(change, SUMMED)
        edges = edges + rest(change, "edge_rest")
        into = total(edges, links.receivers, n, is_sorted=self.is_sorted)
        if links.by_sender is None:
            out_of = total(edges, links.senders, n)
        else:
            order = links.by_sender
            out_of = total(edges[order], links.senders[order], n, is_sorted=True)
        change = dense("node")(nodes) + dense("into", False)(into) + dense("out_of", False)(out_of)
        return nodes + rest(change, "node_rest"), edges


class Interactions(linen.Module):
    """Rounds of message passing, each with parameters of its own.

    n_rounds; n_hidden, is_sorted, dtype: see `Interaction`; remat: compute each round again in the
    backward pass.
    """

    n_rounds: int
    n_hidden: int = 1
    is_sorted: bool = False
    dtype: Any = None
    remat: bool = True

    @linen.compact
    def __call__(
        self, nodes: jax.Array, edges: jax.Array, links: Links
    ) -> tuple[jax.Array, jax.Array]:
        """Run all rounds."""

        def one(layer: Any, carry: tuple, _: None) -> tuple[tuple, None]:
            return layer(*carry, links), None

        policy = jax.checkpoint_policies.save_only_these_names(SUMMED)
        body: Any = linen.remat(one, prevent_cse=False, policy=policy) if self.remat else one
        loop: Any = linen.scan(
            body, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.n_rounds
        )
        layer = Interaction(self.n_hidden, self.is_sorted, self.dtype, name="rounds")
        return loop(layer, (nodes, edges), None)[0]
