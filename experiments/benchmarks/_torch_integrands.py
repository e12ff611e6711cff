"""The integrands of madnis_vs_peers.py in torch, written apart from those of hepjax.

Used by `_torch_madnis.py` and `_vegas.py`, which run in the environment of the peers. All take
points [point, dim] of the unit cube; the lineshape also takes the channel of each point, and gives
values, features and prior channel weights. It is worked out in float64 whatever it is given.
"""

import math

import torch

LOW, HIGH = 20.0**2, 2000.0**2  # of the squared mass, GeV^2
SIN2, ALPHA, PICOBARN = 0.2312, 0.00781751, 0.3893793721e9
RESONANCES = ((91.1876, 2.50419), (500.0, 5.0))  # mass and width of Z and Z', GeV


def camel(x: torch.Tensor) -> torch.Tensor:
    """Two normal peaks of width 0.2 on the diagonal."""
    width = 0.2
    near, far = ((x - c).square().sum(1) / width**2 for c in (1 / 3, 2 / 3))
    norm = (width * math.pi**0.5) ** x.shape[1]
    return 0.5 * (torch.exp(-near) + torch.exp(-far)) / norm


def ring_line(x: torch.Tensor) -> torch.Tensor:
    """A ring of radius 0.35 about the centre and a line 0.5 long on the diagonal, 0.01 wide."""
    dx, dy = x[:, 0] - 0.5, x[:, 1] - 0.5
    ring = torch.exp(-((torch.sqrt(dx**2 + dy**2) - 0.35) ** 2) / (2 * 0.01**2))
    on_line = (dx + dy).abs() < 0.25 * 2**0.5
    return ring + on_line * torch.exp(-((dx - dy) ** 2) / (4 * 0.01**2))


def couplings(charge: float, isospin: float) -> tuple[float, float]:
    """Give those of left- and right-handed fermions to the Z, in units of e."""
    size = math.sqrt(SIN2 * (1 - SIN2))
    return (isospin - charge * SIN2) / size, -charge * SIN2 / size


def cross_section(s: torch.Tensor, cos: torch.Tensor) -> torch.Tensor:
    """Up quarks to muons by photon, Z and Z': d sigma / d cos(theta), pb, by real and imaginary
    parts of the sums of propagators.
    """
    charges = (2 / 3, -1.0)
    up, muon = couplings(charges[0], 0.5), couplings(charges[1], -0.5)
    real, imaginary = torch.zeros_like(s), torch.zeros_like(s)
    for mass, width in RESONANCES:  # the Z' has the couplings of the Z
        away, wide = s - mass**2, s * width / mass
        size = away.square() + wide.square()
        real = real + s * away / size
        imaginary = imaginary - s * wide / size
    total = torch.zeros_like(s)
    for i, q in enumerate(up):
        for j, m in enumerate(muon):
            square = (charges[0] * charges[1] + q * m * real) ** 2 + (q * m * imaginary) ** 2
            total = total + square * (1 + (cos if i == j else -cos)) ** 2
    return PICOBARN * math.pi * ALPHA**2 / (24 * s) * total


def lineshape(
    u: torch.Tensor, channel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Photon, Z and Z' in channels 1 / s^2, Breit-Wigner of the Z, and of the Z'.

    Returns the integrand, times the Jacobian of the channel's map, features [point, 2], and the
    prior weights [point, channel], which are as the densities of the maps.
    """
    kind, u = u.dtype, u.double()
    mapped = [1 / (1 / LOW + u[:, 0] * (1 / HIGH - 1 / LOW))]
    for mass, width in RESONANCES:
        first, last = (math.atan((x - mass**2) / (mass * width)) for x in (LOW, HIGH))
        mapped.append(mass**2 + mass * width * torch.tan(first + u[:, 0] * (last - first)))
    s = torch.stack(mapped, 1).gather(1, channel[:, None])[:, 0]
    cos = 2 * u[:, 1] - 1
    density = [1 / (s**2 * (1 / LOW - 1 / HIGH))]
    for mass, width in RESONANCES:
        first, last = (math.atan((x - mass**2) / (mass * width)) for x in (LOW, HIGH))
        peak = mass * width / ((s - mass**2) ** 2 + (mass * width) ** 2)
        density.append(peak / (last - first))
    densities = torch.stack(density, 1)
    value = 2 * cross_section(s, cos) / densities.gather(1, channel[:, None])[:, 0]
    features = torch.stack([torch.log(s / LOW) / math.log(HIGH / LOW), cos], 1)
    prior = densities / densities.sum(1, keepdim=True)
    return value.to(kind), features.to(kind), prior.to(kind)
