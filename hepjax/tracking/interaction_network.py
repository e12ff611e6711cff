"""The interaction network: which edges of a graph of hits join hits of one particle.

Hits and edges are encoded, pass messages for some rounds, and each edge is given the logit of being
true (arXiv:2103.06995, arXiv:2103.16701). What the network knows of nodes and edges in the end is
returned too: triplets and whole tracks are judged by it.

>>> import numpy as np
>>> from hepjax.nn import model
>>> graph = graphs.pack([graphs.build(np.ones((3, 2)), np.ones((2, 1)), np.array([0, 1]),
...                                   np.array([1, 2]))], n_nodes=8, n_edges=8)
>>> network = model.from_linen(InteractionNetwork(width=8, n_rounds=2))
>>> network.apply(network.init(jax.random.key(0), graph), graph).logits.shape
(8,)
"""

from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import interaction, mlp
from hepjax.tracking import graphs


class Output(NamedTuple):
    """What is found: logits of edges [edge], and all that is known of nodes [node, width] and edges
    [edge, width].
    """

    logits: jax.Array
    nodes: jax.Array
    edges: jax.Array


class InteractionNetwork(linen.Module):
    """Edge logits of a packed graph whose nodes and edges are features [..., feature].

    width: of nodes and edges; n_rounds: of message passing; n_hidden: layers in each; remat:
    compute rounds again in the backward pass; dtype: of the matrix products.
    """

    width: int = 64
    n_rounds: int = 8
    n_hidden: int = 1
    remat: bool = True
    dtype: Any = None

    @linen.compact
    def __call__(self, graph: graphs.Graph, train: bool = False) -> Output:
        """Score the edges of a graph; those of padding have logits that mean nothing."""

        def encode(x: Any, name: str) -> jax.Array:
            x = mlp.MLP((self.width, self.width), dtype=self.dtype, name=name)(jnp.asarray(x))
            return linen.LayerNorm(dtype=self.dtype, name=f"{name}_norm")(x)

        nodes, edges = interaction.Interactions(
            self.n_rounds, self.n_hidden, True, self.dtype, self.remat, name="interactions"
        )(encode(graph.nodes, "nodes"), encode(graph.edges, "edges"), graphs.links(graph))
        logits = mlp.MLP((self.width, 1), dtype=self.dtype, name="head")(edges)[:, 0]
        return Output(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), nodes, edges)
