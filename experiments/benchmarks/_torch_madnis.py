"""madnis' side of madnis_vs_peers.py, run by the Python of the peers' environment.

Says "ready", and then answers each line of its standard input by one line. "begin CASE SEED N_STEPS
N_POINTS RATE" makes a new integrator, and answers with the number of its parameters; "train N"
makes steps and "sample N" draws points, both answer with CPU seconds; weights and channels of the
points are in sample.npz of the folder that is the first argument. "values CASE" evaluates the
integrand at points.npz and writes values.npz. Networks are in float32; all that is not named in
`begin` is madnis' default.
"""

import sys
import time
from pathlib import Path

import _torch_integrands as integrands
import numpy as np
import torch
from madnis.integrator import Integrand, Integrator, kl_divergence, stratified_variance

FOLDER = Path(sys.argv[1])


def begin(case: str, seed: int, n_steps: int, n_points: int, rate: float) -> Integrator:
    """Make an integrator: flows of three layers of 32 and ten bins, Adam along half a cosine."""
    torch.manual_seed(seed)
    flow = {"permutations": "log", "layers": 3, "units": 32, "bins": 10}
    words = {"flow_kwargs": flow, "batch_size": n_points, "learning_rate": rate}
    words["scheduler"] = lambda adam: torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps)
    if case != "lineshape":
        return Integrator(integrands.camel, int(case[5:]), loss=kl_divergence, **words)
    of = Integrand(
        integrands.lineshape, 2, channel_count=3, remapped_dim=2, has_channel_weight_prior=True
    )
    network = {"layers": 3, "units": 32, "activation": torch.nn.LeakyReLU}
    return Integrator(of, loss=stratified_variance, cwnet_kwargs=network, **words)


def values(case: str) -> None:
    """Evaluate the integrand in float64 where we are asked to."""
    with np.load(FOLDER / "points.npz") as file:
        x, channel = (torch.tensor(file[name]) for name in ("x", "channel"))
    if case == "lineshape":
        value, features, prior = integrands.lineshape(x, channel.long())
        np.savez(FOLDER / "values.npz", value=value, features=features, prior=prior)
    else:
        np.savez(FOLDER / "values.npz", value=integrands.camel(x))


def sample(integrator: Integrator, n: int) -> float:
    """Draw weighted points; weights become those of each channel by itself."""
    start = time.process_time()
    drawn = integrator.sample(n)
    seconds = time.process_time() - start
    weight = drawn.weights.double().numpy()
    channel = np.zeros(n, int) if drawn.channels is None else drawn.channels.numpy()
    if drawn.channels is not None:
        weight = weight * np.bincount(channel)[channel] / n
    np.savez(FOLDER / "sample.npz", weight=weight, channel=channel)
    return seconds


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    integrator = None
    print("ready", flush=True)
    for line in sys.stdin:
        what, *words = line.split()
        if what == "begin":
            case, seed, n_steps, n_points, rate = words
            integrator = begin(case, int(seed), int(n_steps), int(n_points), float(rate))
            print(sum(p.numel() for p in integrator.parameters()), flush=True)
        elif what == "values":
            values(words[0])
            print("done", flush=True)
        elif what == "train":
            start = time.process_time()
            integrator.train(int(words[0]))
            print(time.process_time() - start, flush=True)
        else:
            print(sample(integrator, int(words[0])), flush=True)


main()
