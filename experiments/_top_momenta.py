"""Top pairs by transverse momentum and two rapidities: a family of integrands, and its plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from hepjax import plot
from hepjax.integration import gradients, integrator
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import pdf, processes

FORWARD = 1e-9
"""How far |cos| stays from one, where rounding could leave it."""


def family(densities: pdf.PDF, max_pt: float, energy: float = 13_000.0) -> gradients.Family:
    """Top pairs by transverse momentum and two rapidities, pb, with parameters (mass,); up to a
    transverse momentum, GeV, that is linear in the first number of the cube.
    """

    def function(u: Any, channel: Any, path: Any, theta: Any) -> integrator.Values:
        pt = u[:, 0] * max_pt
        most = jnp.arccosh(energy / (2 * jnp.hypot(pt, path[0])))
        y = (2 * u[:, 1:] - 1) * most[:, None]
        mt = jnp.hypot(pt, theta[0])
        share = mt / energy
        first, second = (share * jnp.exp(sign * y).sum(1) for sign in (1, -1))
        half = (y[:, 0] - y[:, 1]) / 2
        s = 4 * mt**2 * jnp.cosh(half) ** 2
        beta = jnp.sqrt(1 - 4 * theta[0] ** 2 / s)
        cos = jnp.clip(jnp.tanh(half) / beta, FORWARD - 1, 1 - FORWARD)
        pair = processes.top_pair(theta[0], energy=energy)
        columns = np.array([[pdf.column(pid) for pid in both] for both in pair.partons])
        q2 = pair.scale2(s)
        flux = [pdf.xf(densities, x, q2) for x in (first, second)]
        both = flux[0][:, columns[:, 0]] * flux[1][:, columns[:, 1]]
        sigma = (both * pair.partonic(s, cos)).sum(-1) * 2 / (s * beta)  # by t
        jacobian = 2 * pt * max_pt * (2 * most) ** 2
        return integrator.Values(sigma * jacobian * closed_forms.PICOBARN)

    return function


def draw(path: Path, edges: Any, counts: Any, expected: gradients.Histogram, *, title: str) -> None:
    """Draw counts [bin] between edges [bin + 1], GeV, the expectation, and what a GeV changes."""
    middle = (edges[1:] + edges[:-1]) / 2
    relative = 100 * expected.slope[:, 0] / expected.value
    size = 100 * expected.slope_error[:, 0] / expected.value
    with plot.figure_with_ratio(path) as (ax, below):
        ax.errorbar(middle, counts, np.sqrt(counts), fmt="ko", ms=3, label="pseudo-data")
        ax.stairs(expected.value, edges, label="expectation at the start")
        below.stairs(relative, edges)
        below.errorbar(middle, relative, size, fmt="none")
        below.axhline(0, color="grey", linewidth=0.8)
        ax.set(ylabel="Events a bin", yscale="log")
        below.set(xlabel="Top transverse momentum [GeV]", ylabel="Slope [% / GeV]")
        plot.sample(ax, title, f"{counts.sum()} events")
        ax.legend()
