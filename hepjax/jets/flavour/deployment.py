"""A flavour tagger as one function of physical quantities, to be written to a file.

What GN2 and its like know of a jet is more than a class: `function` gives class probabilities and
the discriminant D_b, and where the network has the heads, the origin of each track and the
probability that two tracks share a vertex, from tracks in GeV, mm and rad. Taggers of the DL1
family read what classical algorithms say of a jet, `dl1.variables`, and so do their files.

>>> inputs("gn2")[:3], inputs("dl1")
(('track_pt', 'track_deta', 'track_dphi'), ('variables',))
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.io import export
from hepjax.jets import batches, deployment
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data, dl1, likelihood, metrics, secondary_vertex, taggers
from hepjax.jets.simulation import events as jet_events

TRUTH = ("origin", "vertex")
TRACKS = tuple(f"track_{name}" for name in data.Tracks._fields if name not in TRUTH)
VARIABLES = (
    *(f"ln_p_{one}_over_{other}" for one, other in likelihood.RATIOS),
    *secondary_vertex.VARIABLES,
    *("log_pt", "abs_eta"),
)
"""What DL1 reads, in its order; behind them come the log-probabilities of the tagger inside it."""


def inputs(name: taggers.Name) -> tuple[str, ...]:
    """Name the inputs of a tagger's file: track_* [jet, track, ...] as in data.Tracks, most
    displaced first, mask [jet, track] bool and jet_p4 [jet, 4]; or variables [jet, variable].
    """
    return ("variables",) if taggers.is_table(name) else (*TRACKS, "mask", "jet_p4")


def function(
    tagger: taggers.Tagger, f_c: float = metrics.F_C, f_tau: float = metrics.F_TAU
) -> export.Function:
    """Join scaling, network and discriminant: {name: array} as `inputs` says -> logits and
    probabilities [jet, class], discriminant [jet], and with auxiliary heads origin [jet, track,
    origin] and vertex [jet, track, track], probabilities.

    f_c, f_tau: shares of charm and tau in the background, fixed in the file.
    """
    metrics.discriminant(np.zeros((1, len(data.CLASSES))), f_c, f_tau)  # names bad shares
    share = np.array([1 - f_c - f_tau, f_c, 0, f_tau], np.float32)
    b = data.CLASSES.index("b")

    def apply(named: dict[str, Any]) -> dict[str, Any]:
        out = tagger.model.apply(tagger.variables, tagger.inputs(_jets(named)))
        p = jax.nn.softmax(out.flavour, -1)
        log_p = jax.nn.log_softmax(out.flavour, -1)
        found = {
            "logits": out.flavour,
            "probabilities": p,
            "discriminant": log_p[:, b] - jnp.log((p * share).sum(-1)),
        }
        if out.origin is not None:
            found["origin"] = jax.nn.softmax(out.origin, -1)
            found["vertex"] = jax.nn.sigmoid(out.vertex)
        return found

    return apply


def events(jets: jets_data.RaggedJets, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Make the inputs of `function` for some jets, of Tracks or of `dl1.sample`.

    rows: [jet], -1 for padding; length: tracks that a jet is padded to or cut at.
    """
    if not isinstance(jets.particles.values, data.Tracks):
        return {"variables": np.asarray(batches.padded(jets, rows, 1).particles[:, 0])}
    padded = batches.padded(jets, rows, length)
    tracks = {f"track_{k}": np.asarray(x) for k, x in padded.particles._asdict().items()}
    return {**{name: tracks[name] for name in TRACKS}, "mask": padded.mask, "jet_p4": padded.p4}


def write(
    path: str | os.PathLike[str],
    tagger: taggers.Tagger,
    jets: jets_data.RaggedJets,
    *,
    length: int | None = None,
    f_c: float = metrics.F_C,
    f_tau: float = metrics.F_TAU,
    config: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
    **options: Any,
) -> dict[str, float]:
    """Write a tagger to a file NAME.onnx or NAME.zip, checked on some jets, as
    `jets.deployment.write` does.

    jets: what the tagger reads, Tracks or `dl1.sample`; length: tracks (None: the largest bucket).
    """
    length = length or tagger.buckets[-1]
    about = {
        "tagger": {
            "classes": list(data.CLASSES),
            "origins": list(jet_events.ORIGINS),
            "variables": list(VARIABLES if tagger.inputs is dl1.inputs else data.FEATURES),
        },
        "discriminant": {"f_c": f_c, "f_tau": f_tau},
        "normalisation": "inside: inputs are physical quantities, GeV, mm and rad",
        "length": length,
        "config": dict(config or {}),
    }
    samples = [events(jets, rows, length) for rows in deployment.chosen(jets)]
    apply = function(tagger, f_c, f_tau)
    return deployment.save(path, apply, samples, about, tolerance=tolerance, **options)


def _jets(named: Mapping[str, Any]) -> jets_data.Jets:
    """Put named arrays together; a jet without energy is padding, whose logits mean nothing."""
    if "variables" in named:
        particles = named["variables"][:, None]
        mask = jnp.ones_like(particles[..., 0], bool)
        p4, real = jnp.ones_like(particles[:, 0, :4]), mask[:, 0]
    else:
        mask, p4 = named["mask"], named["jet_p4"]
        none = jnp.zeros_like(mask, jnp.int32)
        known = {name.removeprefix("track_"): named[name] for name in TRACKS}
        particles, real = data.Tracks(**known, origin=none, vertex=none), p4[:, 0] > 0
    label = jnp.zeros_like(p4[:, 0], jnp.int32)
    return jets_data.Jets(particles, mask, p4, label, real.astype(jnp.float32))
