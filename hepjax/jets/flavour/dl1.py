"""DL1: a network on what classical algorithms say of a jet, alone or with RNNIP or DIPS.

Its inputs are the likelihood ratios of impact parameters (`likelihood`), the properties of a
secondary vertex (`secondary_vertex`) and the momentum of the jet; DL1r has the answer of RNNIP
beside them, DL1d that of DIPS (ATL-PHYS-PUB-2017-013, FTAG-2023-01). Layers are maxout with batch
norm. A sample of such variables is a RaggedJets with one row of numbers for each jet, `sample`, so
that it is split, batched and padded like tracks.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> net = model.from_linen(DL1())
>>> rows = data.Inputs(jnp.ones((2, 1, 12)), jnp.ones((2, 2)), jnp.ones((2, 1), bool))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), rows)
>>> jax.eval_shape(net.apply, variables, rows).flavour.shape
(2, 4)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data, gn2, likelihood, secondary_vertex
from hepjax.nn import norm

BUCKETS = (1,)
"""Rows of variables a jet."""


def variables(jets: jets_data.RaggedJets, filled: np.ndarray) -> np.ndarray:
    """Compute the variables of each jet [jet, variable], float32.

    jets: a sample of Tracks; filled: likelihood.templates of the training jets. They are the three
    likelihood ratios, those of secondary_vertex.VARIABLES, log pt and abs(eta); what has long tails
    goes through asinh.
    """
    vertex = secondary_vertex.find(jets)
    long = [secondary_vertex.VARIABLES.index(f"sv_{k}") for k in ("mass", "flight", "significance")]
    vertex[:, long] = np.arcsinh(vertex[:, long])
    kinematics = np.column_stack([np.log(lorentz.pt(jets.p4)), np.abs(lorentz.eta(jets.p4))])
    found = np.arcsinh(likelihood.ratios(filled, jets))
    return np.column_stack([found, vertex, kinematics]).astype(np.float32)


def tables(parts: Sequence[jets_data.RaggedJets], path: Path) -> list[np.ndarray]:
    """Compute the `variables` of samples of Tracks, with templates of the first one, the training
    jets; they are kept in the file `path`, and read from there if it is there.
    """
    if not path.exists():
        filled = likelihood.templates(parts[0])
        found = [variables(part, filled) for part in parts]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path.with_suffix(".part.npz"), *found)
        path.with_suffix(".part.npz").rename(path)
    return list(np.load(path).values())


def sample(jets: jets_data.RaggedJets, table: np.ndarray) -> jets_data.RaggedJets:
    """Put a table [jet, variable] in the place of the tracks. Raises ValueError for other sizes."""
    if len(table) != len(jets.label):
        raise ValueError(f"table has {len(table)} rows, expected one for each of {len(jets.label)}")
    rows = batch.Ragged(np.asarray(table, np.float32), np.arange(len(table) + 1))
    return jets._replace(particles=rows)


def inputs(jets: jets_data.Jets) -> data.Inputs:
    """Take the rows of a batch of `sample` as Inputs: tracks [jet, 1, variable]."""
    mask = jnp.asarray(jets.mask)
    return data.Inputs(jets.particles, jnp.zeros((mask.shape[0], 2)), mask)


class DL1(linen.Module):
    """gn2.Output of Inputs, flavour alone, of one row of variables a jet.

    hidden: widths of the layers; pieces: linear functions of which a maxout unit takes the largest;
    axis_name: pmap's axis; dtype: of matrix products.
    """

    n_classes: int = len(data.CLASSES)
    hidden: tuple[int, ...] = (72, 57, 48, 36, 24, 12)
    pieces: int = 4
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, rows: data.Inputs, train: bool = False) -> gn2.Output:
        """Compute the logits, float32."""
        mask = rows.mask[:, 0]
        x = norm.MaskedBatchNorm(-1, self.axis_name, name="norm")(rows.tracks[:, 0], mask, train)
        for k, width in enumerate(self.hidden):
            x = linen.Dense(width * self.pieces, dtype=self.dtype, name=f"dense_{k}")(x)
            x = x.reshape(*x.shape[:-1], width, self.pieces).max(-1)
            x = norm.MaskedBatchNorm(-1, self.axis_name, name=f"norm_{k}")(x, mask, train)
        flavour = linen.Dense(self.n_classes, name="flavour")(x.astype(jnp.float32))
        return gn2.Output(flavour, None, None)


def small(**fields: Any) -> DL1:
    """Configure a network of three layers, with two pieces a unit."""
    return DL1(**{"hidden": (48, 32, 16), "pieces": 2, **fields})


def beside(table: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Add a tagger's answer to a table [jet, variable]: its log-probabilities, cut off at -10."""
    log_p = np.asarray(jax.nn.log_softmax(logits))
    return np.column_stack([table, np.maximum(log_p, -10)]).astype(np.float32)
