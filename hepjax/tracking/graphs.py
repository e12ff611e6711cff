"""Graphs of hits as jraph.GraphsTuple, in few fixed shapes.

`build` makes one event's graph: nodes are hits, edges are sorted by the hit that receives. `pack`
puts several into one padded graph; a batch holds several of these side by side, a shard each, so
that devices share them. A padded graph ends with one graph of padding whose edges go round its
nodes: all of them on one node would have an accelerator add to one place in turn. `serve` makes the
batches of a training, all of one shape: a `Budget` that `budget_of` finds for a sample.

>>> one = build(np.zeros((3, 2)), np.zeros((2, 1)), np.array([0, 1]), np.array([1, 2]))
>>> padded = pack([one, one], n_nodes=8, n_edges=6)
>>> padded.n_node.tolist(), padded.senders.tolist()
([3, 3, 2], [0, 1, 3, 4, 6, 7])
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jraph
import numpy as np

from hepjax import batch
from hepjax.nn import interaction

Graph = jraph.GraphsTuple


class Budget(NamedTuple):
    """The size of a padded graph, that of its padding included."""

    n_nodes: int
    n_edges: int
    n_graphs: int = 33


def build(nodes: Any, edges: Any, senders: np.ndarray, receivers: np.ndarray) -> Graph:
    """Make the graph of one event, its edges sorted by receiver, then by sender.

    nodes, edges: pytrees of arrays [node, ...], [edge, ...]; senders, receivers: [edge] index of a
    node. Raises ValueError for an edge to a node that is not there.
    """
    n = len(jax.tree.leaves(nodes)[0])
    for name, index in (("senders", senders), ("receivers", receivers)):
        if len(index) and not (index.min() >= 0 and index.max() < n):
            raise ValueError(f"{name}: {index.min()} to {index.max()}, expected nodes 0 to {n - 1}")
    order = np.lexsort((senders, receivers))
    found: dict[str, Any] = {
        "senders": senders[order].astype(np.int32),
        "receivers": receivers[order].astype(np.int32),
        "n_node": np.array([n], np.int32),
        "n_edge": np.array([len(senders)], np.int32),
    }
    return Graph(nodes, jax.tree.map(lambda x: x[order], edges), globals=None, **found)


def budget_of(graphs: Sequence[Graph], *, step: int = 1024) -> Budget:
    """Find the smallest budget, in steps, that holds the largest of some graphs by itself."""
    n_nodes = max((int(graph.n_node.sum()) for graph in graphs), default=0)
    n_edges = max((int(graph.n_edge.sum()) for graph in graphs), default=0)
    return Budget(-(-(n_nodes + 1) // step) * step, max(-(-n_edges // step), 1) * step)


def pack(graphs: Sequence[Graph], *, n_nodes: int, n_edges: int, n_graphs: int = 0) -> Graph:
    """Join graphs into one of a fixed size; the last graph of it is padding.

    n_graphs: how many it has, that of padding included (0: one more than there are). Raises
    ValueError where they do not fit with one node of padding.
    """
    count = sum(int(g.n_node.sum()) for g in graphs), sum(int(g.n_edge.sum()) for g in graphs)
    n_graphs = n_graphs or len(graphs) + 1
    if count[0] >= n_nodes or count[1] > n_edges or len(graphs) >= n_graphs:
        raise ValueError(
            f"graphs: {len(graphs)} of {count[0]} nodes and {count[1]} edges, expected fewer than "
            f"{n_graphs}, fewer than {n_nodes} nodes and at most {n_edges} edges"
        )
    left = n_nodes - count[0], n_edges - count[1]
    starts = np.cumsum([0, *(int(g.n_node.sum()) for g in graphs)])
    ring = count[0] + np.arange(left[1]) % left[0]

    def join(of: Any, padding: int) -> Any:
        def one(*leaves: np.ndarray) -> np.ndarray:
            zeros = np.zeros((padding, *leaves[0].shape[1:]), leaves[0].dtype)
            return np.concatenate([*leaves, zeros])

        return jax.tree.map(one, *map(of, graphs))

    def index(of: Any) -> np.ndarray:
        parts = [of(g) + start for g, start in zip(graphs, starts)]
        return np.concatenate([*parts, np.sort(ring)]).astype(np.int32)

    sizes = [g.n_node.sum() for g in graphs], [g.n_edge.sum() for g in graphs]
    none = [0] * (n_graphs - 1 - len(graphs))
    whole: dict[str, Any] = {
        "senders": index(lambda g: g.senders),
        "receivers": index(lambda g: g.receivers),
        "n_node": np.array([*sizes[0], *none, left[0]], np.int32),
        "n_edge": np.array([*sizes[1], *none, left[1]], np.int32),
    }
    nodes, edges = join(lambda g: g.nodes, left[0]), join(lambda g: g.edges, left[1])
    return Graph(nodes, edges, globals=None, **whole)


def shares(
    graphs: Sequence[Graph], budget: Budget, *, seed: int = 0, epoch: int = 0, shuffle: bool = True
) -> list[np.ndarray]:
    """Share graphs out among padded ones: which go into each [graph], all of them once.

    A pure function of its arguments; graphs are taken in a random order, or as they come, and each
    goes into the first share that has room for it. Raises ValueError for a graph that fits into no
    share.
    """
    rng = batch.generator(seed, epoch)
    order = rng.permutation(len(graphs)) if shuffle else np.arange(len(graphs))
    size = np.array([(int(g.n_node.sum()), int(g.n_edge.sum()), 1) for g in graphs]).reshape(-1, 3)
    room = np.array([budget.n_nodes - 1, budget.n_edges, budget.n_graphs - 1])
    found: list[list[int]] = []
    left = np.zeros((0, 3), np.int64)
    for k in order.tolist():
        if (size[k] > room).any():
            raise ValueError(
                f"graphs: number {k} has {size[k, 0]} nodes and {size[k, 1]} edges, {budget}"
            )
        fits = np.flatnonzero((left >= size[k]).all(1))
        if not len(fits):
            found.append([])
            left, fits = np.concatenate([left, room[None]]), np.array([len(left)])
        found[fits[0]].append(k)
        left[fits[0]] -= size[k]
    return [np.array(share) for share in found]


def serve(
    graphs: Sequence[Graph],
    budget: Budget,
    *,
    n_shards: int = 1,
    seed: int = 0,
    shuffle: bool = True,
) -> batch.Batches:
    """Make batches of padded graphs, all fields [shard, ...], for a training or a look at them.

    n_shards: padded graphs a batch, a multiple of the number of devices; the last batch is filled
    up with empty ones. `rows` gives the graph at each place [shard * n_graphs], -1 for none.
    """

    @functools.lru_cache(maxsize=2)
    def plan(epoch: int) -> list[list[np.ndarray]]:
        of = shares(graphs, budget, seed=seed, epoch=epoch, shuffle=shuffle)
        of += [np.zeros(0, int)] * (-len(of) % n_shards)
        return [of[i : i + n_shards] for i in range(0, len(of), n_shards)]

    none = np.zeros(0, np.int32)
    nodes, edges = jax.tree.map(lambda x: x[:0], (graphs[0].nodes, graphs[0].edges))
    empty = build(nodes, edges, none, none)

    def get(epoch: int, index: int) -> Graph:
        size = budget._asdict()
        packed = [
            pack([graphs[k] for k in share] or [empty], **size) for share in plan(epoch)[index]
        ]
        return jax.tree.map(lambda *x: np.stack(x), *packed)

    def rows(epoch: int, index: int) -> np.ndarray:
        places = np.full((n_shards, budget.n_graphs), -1)
        for place, share in zip(places, plan(epoch)[index]):
            place[: len(share)] = share
        return places.reshape(-1)

    return batch.Batches(lambda epoch: [budget] * len(plan(epoch)), get, rows)


def links(graph: Graph) -> interaction.Links:
    """Give the links of a graph that `pack` or `build` made, sorted by receiver."""
    ends: Any = graph.senders, graph.receivers
    return interaction.Links(*ends)


def edge_mask(graph: Graph) -> Any:
    """Tell the edges that are no padding [edge], in a graph that `pack` made."""
    return jraph.get_edge_padding_mask(graph)


def node_mask(graph: Graph) -> Any:
    """Tell the nodes that are no padding [node], in a graph that `pack` made."""
    return jraph.get_node_padding_mask(graph)
