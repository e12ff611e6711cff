"""What other scales and other parton densities would have made of the weight of an event.

At leading order the matrix element of an event knows the scale of renormalization by a power of the
strong coupling alone, and densities stand in front of it: so the weight at other scales is a ratio
of densities times a ratio of couplings. `scales` gives it for factors on both scales, seven as is
customary, and `members` for other densities; `groups` names them for a file.

>>> [len(group.weights) for group in groups(SEVEN, 247000, range(1, 4))]
[7, 3]
>>> groups(SEVEN)[0].weights[1].attributes
{'MUR': '0.5', 'MUF': '0.5'}
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.hadrons import pdf
from hepjax.io import lhe

SEVEN = ((1.0, 1.0), (0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0))
"""Factors on the scales of renormalization and of factorization, none opposite to each other."""


def shares(momenta: Any, energies: tuple[float, float]) -> np.ndarray:
    """Give the shares of the beams [event, 2] that incoming particles have, by momenta [event, leg,
    4] and energies of the beams, GeV.
    """
    return np.asarray(momenta)[:, :2, 0] / np.asarray(energies)


def scales(
    densities: pdf.PDF,
    coupling: Callable[[Any], Any],
    power: int,
    share: Any,
    partons: Any,
    scale: Any,
    *,
    factors: Sequence[tuple[float, float]] = SEVEN,
) -> jax.Array:
    """Give the weight at other scales over that at their own [event, variation].

    coupling: squared scale -> alpha_s, of which the weight has a power; share: [event, 2] of the
    beams; partons: [event, 2] PDG codes; scale: of both kinds, GeV, [event] or [event, 2] with that
    of renormalization first; factors: on both, that of renormalization first. Raises ValueError,
    which names the event, where densities or the coupling at their own scale give nothing.
    """
    share = jnp.asarray(share)
    own = jnp.asarray(scale, float)
    own = jnp.stack([own, own], -1) if own.ndim == 1 else own
    columns = _columns(partons)
    strength, density = {}, {}
    for renormalization, factorization in (*factors, (1.0, 1.0)):
        if renormalization not in strength:
            strength[renormalization] = coupling((renormalization * own[:, 0]) ** 2) ** power
        if factorization not in density:
            q2 = (factorization * own[:, 1]) ** 2
            density[factorization] = _luminosity(densities, share, q2, columns)
    central = _some(strength[1.0] * density[1.0])
    return jnp.stack([strength[r] * density[f] / central for r, f in factors], 1)


def members(
    densities: pdf.PDF, others: Iterable[pdf.PDF], share: Any, partons: Any, scale: Any
) -> jax.Array:
    """Give the weight with other densities over that with their own [event, member], the coupling
    being the same; share, partons as in `scales`, scale: of factorization, GeV [event].
    """
    share, columns, q2 = jnp.asarray(share), _columns(partons), jnp.asarray(scale, float) ** 2
    central = _some(_luminosity(densities, share, q2, columns))
    found = [_luminosity(one, share, q2, columns) / central for one in others]
    return jnp.stack(found, 1) if found else jnp.zeros((len(share), 0))


def groups(
    factors: Sequence[tuple[float, float]] = SEVEN,
    pdf_set: int | None = None,
    numbers: Iterable[int] = (),
    *,
    combine: str = "replicas",
) -> tuple[lhe.Group, ...]:
    """Name scale variations, then members, in the order of their columns; pdf_set: its number in
    LHAPDF; numbers: of members of it; combine: how their spread is an error, replicas or hessian.
    """
    count = iter(range(1001, 10**9))
    found = []
    if factors:
        weights = []
        for renormalization, factorization in factors:
            attributes = {"MUR": str(renormalization), "MUF": str(factorization)}
            attributes |= {} if pdf_set is None else {"PDF": str(pdf_set)}
            text = f"MUR={renormalization} MUF={factorization}"
            weights.append(lhe.Weight(str(next(count)), attributes, text))
        found.append(lhe.Group({"name": "scales", "combine": "envelope"}, tuple(weights)))
    of_set = [
        lhe.Weight(str(next(count)), {"PDF": str((pdf_set or 0) + k)}, f"member {k}")
        for k in numbers
    ]
    if of_set:
        found.append(lhe.Group({"name": "densities", "combine": combine}, tuple(of_set)))
    return tuple(found)


def _columns(partons: Any) -> np.ndarray:
    """Find the columns of partons [event, 2]."""
    codes, place = np.unique(np.asarray(partons), return_inverse=True)
    return np.array([pdf.column(int(code)) for code in codes])[place].reshape(np.shape(partons))


@jax.jit
def _luminosity(densities: pdf.PDF, share: Any, q2: Any, columns: Any) -> jax.Array:
    """Give the product of both densities [event]."""
    both = [pdf.xf(densities, share[:, k], q2) for k in (0, 1)]
    found = [jnp.take_along_axis(x, columns[:, k, None], 1) for k, x in enumerate(both)]
    return (found[0] * found[1])[:, 0]


def _some(central: Any) -> Any:
    bad = ~(np.isfinite(central) & (np.asarray(central) != 0))
    if bad.any():
        k = int(np.argmax(bad))
        what = f"{float(central[k])} in event {k}; {bad.sum()} such events"
        raise ValueError(f"densities and coupling: {what}, expected a number that is not 0")
    return central
