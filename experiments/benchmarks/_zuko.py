"""zuko's side of sphere_flow_vs_peers.py, run by the Python of its own environment.

Its neural spline flow of two numbers, told 64 others; the last linear layers are as torch begins
them. Says "ready", and then answers each line of its standard input with "CPU-seconds value": what
is log_prob, sample, sample_log_prob or gradient; `size` gives the number of parameters that are not
masked in the place of the value.
"""

import sys

import torch
import zuko
from _answers import answer

N, N_GIVEN, N_STEPS, N_BINS, WIDTH, SEED = map(int, sys.argv[1:7])


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    flow = zuko.flows.NSF(
        2, N_GIVEN, transforms=N_STEPS, bins=N_BINS, hidden_features=(WIDTH, WIDTH)
    )
    x, given = torch.randn(N, 2), torch.randn(N, N_GIVEN)

    def gradient() -> torch.Tensor:
        flow.zero_grad(set_to_none=True)
        loss = -flow(given).log_prob(x).mean()
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def log_prob() -> torch.Tensor:
        return flow(given).log_prob(x).mean()

    @torch.no_grad()
    def sample() -> torch.Tensor:
        return flow(given).sample().mean()

    @torch.no_grad()
    def sample_log_prob() -> torch.Tensor:
        return flow(given).rsample_and_log_prob()[1].mean()

    def size() -> float:
        linear = [m for m in flow.modules() if isinstance(m, torch.nn.Linear)]
        return sum(float(m.mask.sum()) + m.bias.numel() for m in linear)

    answer(log_prob, sample, sample_log_prob, gradient, size)


main()
