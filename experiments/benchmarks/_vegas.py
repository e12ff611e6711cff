"""vegas' side of madnis_vs_peers.py, run by the Python of the peers' environment.

Says "ready", and then answers each line "CASE CHANNEL DIM BETA N_POINTS N_STEPS SEED" on its
standard input with "value error n": it adapts in N_STEPS steps of N_POINTS calls, then keeps map
and cells and integrates in as many more. Without BETA there is the map alone, without cells.
CHANNEL is that of the lineshape, whose prior weight is part of the integrand then.
"""

import sys

import _torch_integrands as integrands
import gvar
import numpy as np
import torch
import vegas


def function(case: str, channel: int) -> object:
    """Make an integrand of numpy's points [point, dim]."""

    @vegas.lbatchintegrand
    def evaluate(x: np.ndarray) -> np.ndarray:
        points = torch.tensor(np.asarray(x))
        if case == "lineshape":
            of = torch.full((len(points),), channel)
            value, _, prior = integrands.lineshape(points, of)
            return (value * prior[:, channel]).numpy()
        of_case = integrands.ring_line if case == "ring_line" else integrands.camel
        return of_case(points).numpy()

    return evaluate


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        case, *words = line.split()
        channel, dim, n_points, n_steps, seed = (int(words[k]) for k in (0, 1, 3, 4, 5))
        beta = float(words[2])
        gvar.ranseed(seed)
        cells = {} if beta else {"nstrat": [1] * dim}
        integrator = vegas.Integrator(
            [[0, 1]] * dim, neval=n_points, nitn=n_steps, beta=beta, **cells
        )
        of = function(case, channel)
        integrator(of)
        found = integrator(of, adapt=False)
        each = np.array([(one.mean, one.var) for one in found.itn_results])
        value, error = each[:, 0].mean(), each[:, 1].sum() ** 0.5 / n_steps
        print(value, error, found.sum_neval, flush=True)


main()
