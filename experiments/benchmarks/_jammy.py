"""jammy_flows' side of sphere_flow_vs_peers.py, where the Python of the peers has it installed.

The flow of the sphere that it recommends (zooms, smooth vertical and circular splines), in double
precision as it asks for, with parameters of N events given. Says "ready", and then answers each
line of its standard input with "CPU-seconds value": what is log_prob, sample or gradient; `size`
gives the number of parameters of an event in the place of the value.
"""

import contextlib
import sys

import torch
from _answers import answer

with contextlib.redirect_stdout(sys.stderr):
    import jammy_flows
    from jammy_flows import flow_options

N, N_LAYERS, SEED = map(int, sys.argv[1:4])

OPTIONS = {
    "add_vertical_rq_spline_flow": 1,
    "add_circular_rq_spline_flow": 1,
    "spline_num_basis_functions": -1,
    "vertical_smooth": 1,
    "vertical_flow_defs": "rr",
    "circular_flow_defs": "oo",
    "vertical_fix_boundary_derivative": 1,
    "kappa_clamping": 0,
    "vertical_fix_first_width_n_height_to_zero": 1,
    "vertical_independent_width_height_parametrization": 1,
    "vertical_also_fix_second_width_to_zero": 1,
    "circular_add_rotation": 0,
    "rotation_mode": "householder",
}
"""Its documentation's, for directions; versions lack some, which are left out."""


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it is told
        known = flow_options.obtain_default_options("f")
        options = {"f": {name: x for name, x in OPTIONS.items() if name in known}}
        flow = jammy_flows.pdf(
            "s2",
            "f" * N_LAYERS,
            options_overwrite=options,
            amortize_everything=True,
            amortization_mlp_use_custom_mode=True,
        ).double()
    n_numbers = flow.total_number_amortizable_params
    given = (0.2 * torch.randn(N, n_numbers, dtype=torch.double)).requires_grad_()

    @torch.no_grad()
    def sample() -> torch.Tensor:
        return drawn()[2].mean()

    def drawn() -> tuple:
        return flow.sample(samplesize=N, amortization_parameters=given.detach())

    @torch.no_grad()
    def log_prob() -> torch.Tensor:
        return flow(x, amortization_parameters=given)[0].mean()

    def gradient() -> torch.Tensor:
        given.grad = None
        loss = -flow(x, amortization_parameters=given)[0].mean()
        loss.backward()
        return loss.detach()

    def size() -> int:
        return n_numbers

    x = drawn()[0]
    answer(log_prob, sample, gradient, size)


main()
