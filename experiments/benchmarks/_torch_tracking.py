"""torch's side of tracking_vs_torch.py, run by the Python of its own environment.

Reads graph.npz and weights.npz of a folder, says "ready", and then answers each line "way what" on
its standard input with "CPU-seconds value": way is naive (one product of what is concatenated) or
split (three products, two of them a node); what is forward, gradient, or memory, which gives what
is kept for the backward pass, MB, in the place of the value. out.npy holds the edges of the last
forward pass. A second argument names the device: cpu, or cuda, where seconds are those of the clock
and products are in TF32.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

FOLDER, DEVICE = Path(sys.argv[1]), sys.argv[2]


class Network(torch.nn.Module):
    """Rounds of message passing with the weights of a folder."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        with np.load(FOLDER / "weights.npz") as file:
            self.weights = torch.nn.ParameterDict(
                {name: torch.nn.Parameter(torch.tensor(file[name])) for name in file.files}
            )
        self.n_rounds = len(self.weights["edge_kernel"])

    def forward(self, nodes, edges, senders, receivers):
        """Pass messages in all rounds."""
        for k in range(self.n_rounds):
            w = {name: x[k] for name, x in self.weights.items()}
            if self.way == "naive":
                joined = torch.cat([edges, nodes[senders], nodes[receivers]], -1)
                kernel = [w[f"{name}_kernel"] for name in ("edge", "sender", "receiver")]
                change = joined @ torch.cat(kernel) + w["edge_bias"]
            else:
                change = edges @ w["edge_kernel"] + w["edge_bias"]
                change = change + (nodes @ w["sender_kernel"])[senders]
                change = change + (nodes @ w["receiver_kernel"])[receivers]
            edges = edges + rest(w, "edge_rest", change)
            zeros = torch.zeros_like(nodes)
            into, out_of = (zeros.index_add(0, ends, edges) for ends in (receivers, senders))
            if self.way == "naive":
                joined = torch.cat([nodes, into, out_of], -1)
                kernel = [w[f"{name}_kernel"] for name in ("node", "into", "out_of")]
                change = joined @ torch.cat(kernel) + w["node_bias"]
            else:
                change = nodes @ w["node_kernel"] + w["node_bias"]
                change = change + into @ w["into_kernel"] + out_of @ w["out_of_kernel"]
            nodes = nodes + rest(w, "node_rest", change)
        return nodes, edges


def rest(w: dict, name: str, x: torch.Tensor) -> torch.Tensor:
    """Apply the layer behind the sum, and its norm."""
    x = torch.relu(x) @ w[f"{name}_0_kernel"] + w[f"{name}_0_bias"]
    size = x.shape[-1:]
    return torch.nn.functional.layer_norm(
        x, size, w[f"{name}_norm_scale"], w[f"{name}_norm_bias"], 1e-6
    )


def kept(call: Callable[[], object], given: list[torch.Tensor]) -> float:
    """Add up what a forward pass keeps for the backward one, each storage once, MB.

    Parameters and inputs do not count.
    """
    own = {x.untyped_storage().data_ptr() for x in given}
    sizes: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        alive = call()
    del alive
    return sum(sizes.values()) / 2**20


def clock() -> float:
    """Give the seconds of the CPU, or the time once the accelerator has done all that was asked."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = True
    networks = {way: Network(way).to(DEVICE) for way in ("naive", "split")}
    with np.load(FOLDER / "graph.npz") as file:
        names = ("nodes", "edges", "senders", "receivers")
        graph = [torch.tensor(file[k], device=DEVICE) for k in names]

    def gradient(network: Network) -> float:
        network.zero_grad(set_to_none=True)
        nodes, edges = network(*graph)
        value = (nodes**2).mean() + (edges**2).mean()
        value.backward()
        return value.item()

    print("ready", flush=True)
    for line in sys.stdin:
        way, what = line.split()
        start = clock()
        if what == "forward":
            with torch.no_grad():
                out = networks[way](*graph)[1]
            seconds, value = clock() - start, float(out.mean())
            np.save(FOLDER / "out.npy", out.cpu().numpy())
        elif what == "gradient":
            value = gradient(networks[way])
            seconds = clock() - start
        else:
            network = networks[way]
            value = kept(lambda n=network: n(*graph), [*graph, *network.parameters()])
            seconds = clock() - start
        print(seconds, value, flush=True)


main()
