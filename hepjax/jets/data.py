"""Jets as records: from the columns of a file to the batches and features that a tagger sees.

A jet is a set of particles; `RaggedJets` holds a whole sample on the host, `Jets` one padded batch,
`Inputs` what every tagger takes. In order: the records; `from_columns` (a file's columns to jets)
and `from_arrays` (four-vectors alone); `split` by event; `batches` for `train.fit`; and `inputs`,
the scaled features of the JetClass papers, computed in float32 inside the step, so that files,
memory and checkpoints hold physical quantities only.

>>> import numpy as np
>>> p4 = np.array([[[50.0, 30, 0, 40], [5, 3, 0, 4], [0, 0, 0, 0]]])
>>> jets = from_arrays(p4, label=np.array([1]), classes=("QCD", "Tbqq"))
>>> jets.particles.offsets.tolist(), jets.p4.tolist()
([0, 2], [[55.0, 33.0, 0.0, 44.0]])
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from hepjax import batch, lorentz

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""The ten classes of JetClass (arXiv:2202.03772), in the order of its files and of the published
networks.
"""

PID = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
FeatureSet = Literal["full", "kinematic"]
N_FEATURES = {"full": 17, "kinematic": 7}


class Particles(NamedTuple):
    """Constituents of jets, padded [jet, particle, ...] (0 where none is) or flat [particle, ...].

    p4: [..., 4] (E, px, py, pz) GeV; deta, dphi: [...] direction relative to the jet's axis, deta
    times the sign of the jet's eta, rad; charge: [...] e; pid: [..., 5] one-hot, in the order of
    PID; d0, dz: [...] transverse and longitudinal impact parameter, mm; d0_error, dz_error: [...]
    their resolution, mm.
    """

    p4: Any
    deta: Any
    dphi: Any
    charge: Any
    pid: Any
    d0: Any
    d0_error: Any
    dz: Any
    dz_error: Any


class Jets(NamedTuple):
    """A padded batch of jets.

    particles: Particles [jet, particle, ...], or flavour.data.Tracks; mask: [jet, particle] True =
    real; p4: [jet, 4] the jet's own, GeV; label: [jet] int32 class; weight: [jet], 0 = padding;
    real: None, or lists of the real particles and their pairs, jets.pairs.real.
    """

    particles: Any
    mask: Any
    p4: Any
    label: Any
    weight: Any
    real: Any = None


class RaggedJets(NamedTuple):
    """A sample of jets on the host, numpy throughout.

    particles: Ragged of Particles [particle, ...], sorted by falling pt in each jet; p4: [jet, 4]
    GeV; label: [jet] int32, an index into classes (-1: unknown); weight: [jet]; event: [jet] int64,
    jets of one event share it; observers: name -> [jet], further columns of the file; classes:
    names.
    """

    particles: batch.Ragged
    p4: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    event: np.ndarray
    observers: dict[str, np.ndarray]
    classes: tuple[str, ...]


class Inputs(NamedTuple):
    """What every tagger takes.

    features: [jet, particle, feature] scaled, 0 where masked; points: [jet, particle, 2] (deta,
    dphi), rad; p4: [jet, particle, 4] (E, px, py, pz) GeV; mask: [jet, particle]; displacement:
    [jet, particle, 4] (d0, its error, dz, its error), mm, 0 for what left no track, None where
    the features hold no impact parameters; real: None, or lists of the real particles and their
    pairs, jets.pairs.real.
    """

    features: Any
    points: Any
    p4: Any
    mask: Any
    displacement: Any = None
    real: Any = None


Features = FeatureSet | Callable[[Jets], Inputs]
"""Which features a tagger reads: a set of `inputs`, or a function from a batch to Inputs."""


def from_columns(columns: Any, classes: Sequence[str] = CLASSES) -> RaggedJets:
    """Turn the columns of a file into jets; one that belongs to none of the classes is an error.

    columns: io.root.Columns (JetClass names, GeV and mm); classes: label_* without the prefix.
    Without any label_ branch every label is -1. Jets of a file without event_number are taken for
    one event by blocks of 1000 neighbours, so that the two jets of one collision, which stand side
    by side, never land in different parts of a split. Raises ValueError for a missing class branch
    or a jet of none of the classes.
    """
    part, jets = columns.particles, columns.jets
    n_jets = len(columns.offsets) - 1
    zero = np.zeros(int(columns.offsets[-1]), np.float32)

    def column(name: str) -> np.ndarray:
        return np.asarray(part.get(name, zero), np.float32)

    particles = Particles(
        p4=np.stack([column(f"part_{name}") for name in ("energy", "px", "py", "pz")], -1),
        deta=column("part_deta"),
        dphi=column("part_dphi"),
        charge=column("part_charge"),
        pid=np.stack([column(f"part_{name}") for name in PID], -1),
        d0=column("part_d0val"),
        d0_error=column("part_d0err"),
        dz=column("part_dzval"),
        dz_error=column("part_dzerr"),
    )
    pt, eta, phi = (np.asarray(jets[f"jet_{name}"], np.float64) for name in ("pt", "eta", "phi"))
    p4 = np.stack([jets["jet_energy"], pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    return RaggedJets(
        particles=batch.Ragged(particles, np.asarray(columns.offsets, np.int64)),
        p4=p4.astype(np.float32),
        label=_labels(jets, classes, n_jets),
        weight=np.asarray(jets.get("weight", np.ones(n_jets)), np.float32),
        event=np.asarray(jets.get("event_number", np.arange(n_jets) // 1000), np.int64),
        observers=dict(jets),
        classes=tuple(classes),
    )


def _labels(jets: dict[str, np.ndarray], classes: Sequence[str], n_jets: int) -> np.ndarray:
    if not any(name.startswith("label_") for name in jets):
        return np.full(n_jets, -1, np.int32)
    missing = [name for name in classes if f"label_{name}" not in jets]
    if missing:
        raise ValueError(f"classes {missing} have no label_ branch in the columns")
    one_hot = np.stack([jets[f"label_{name}"] for name in classes], -1) != 0
    bad = np.flatnonzero(one_hot.sum(1) != 1)
    if len(bad):
        raise ValueError(
            f"jet {bad[0]} (and {len(bad) - 1} more) has {one_hot[bad[0]].sum()} of the classes "
            f"{tuple(classes)}, expected exactly 1"
        )
    return one_hot.argmax(1).astype(np.int32)


def from_arrays(
    p4: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    label: np.ndarray | None = None,
    classes: Sequence[str] = CLASSES,
) -> RaggedJets:
    """Build jets from padded four-vectors alone; the jet is the sum of its constituents.

    p4: [jet, particle, 4] (E, px, py, pz) GeV; mask: [jet, particle] (None: energy > 0); label:
    [jet] class index. Charge, particle identity and impact parameters are 0. Raises ValueError for
    a shape or a jet without particles.
    """
    p4 = np.asarray(p4, np.float64)
    if p4.ndim != 3 or p4.shape[-1] != 4:
        raise ValueError(f"p4 must be [jet, particle, 4], found {p4.shape}")
    mask = p4[..., 0] > 0 if mask is None else np.asarray(mask, bool)
    count = mask.sum(1)
    if np.any(count == 0):
        raise ValueError(f"p4: jet {np.flatnonzero(count == 0)[0]} has no particles")
    jet_p4 = np.where(mask[..., None], p4, 0).sum(1)
    order = np.argsort(np.where(mask, -lorentz.pt(p4), np.inf), axis=1, kind="stable")
    p4, mask = np.take_along_axis(p4, order[..., None], 1), np.take_along_axis(mask, order, 1)
    sign = np.where(lorentz.eta(jet_p4) > 0, 1.0, -1.0)[:, None]
    flat = p4[mask].astype(np.float32)
    deta = (sign * (lorentz.eta(p4) - lorentz.eta(jet_p4)[:, None]))[mask].astype(np.float32)
    dphi = lorentz.delta_phi(p4, jet_p4[:, None])[mask].astype(np.float32)
    zero = np.zeros(len(flat), np.float32)
    none = np.zeros((len(flat), len(PID)), np.float32)
    n_jets = len(p4)
    return RaggedJets(
        particles=batch.Ragged(
            Particles(flat, deta, dphi, zero, none, zero, zero, zero, zero),
            np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        ),
        p4=jet_p4.astype(np.float32),
        label=np.full(n_jets, -1, np.int32) if label is None else np.asarray(label, np.int32),
        weight=np.ones(n_jets, np.float32),
        event=np.arange(n_jets),
        observers={},
        classes=tuple(classes),
    )


def take(jets: RaggedJets, rows: np.ndarray) -> RaggedJets:
    """Pick jets, in the order of rows [jet']."""
    return RaggedJets(
        batch.take(jets.particles, rows),
        *(leaf[rows] for leaf in (jets.p4, jets.label, jets.weight, jets.event)),
        observers={name: column[rows] for name, column in jets.observers.items()},
        classes=jets.classes,
    )


def join(samples: Sequence[RaggedJets]) -> RaggedJets:
    """Put samples of the same classes one after the other; events are numbered apart.

    Observers that not all of them have are left out. Raises ValueError for other classes.
    """
    first = samples[0]
    for sample in samples:
        if sample.classes != first.classes:
            raise ValueError(f"classes {sample.classes}, expected {first.classes} as in the first")
    numbers, begin = [], 0
    for sample in samples:
        _, number = np.unique(sample.event, return_inverse=True)
        numbers.append(number + begin)
        begin = numbers[-1].max(initial=begin - 1) + 1
    common = [k for k in first.observers if all(k in sample.observers for sample in samples)]
    return RaggedJets(
        particles=batch.concatenate([sample.particles for sample in samples]),
        p4=np.concatenate([sample.p4 for sample in samples]),
        label=np.concatenate([sample.label for sample in samples]),
        weight=np.concatenate([sample.weight for sample in samples]),
        event=np.concatenate(numbers).astype(np.int64),
        observers={k: np.concatenate([s.observers[k] for s in samples]) for k in common},
        classes=first.classes,
    )


def lose(jets: RaggedJets, share: float, seed: int) -> RaggedJets:
    """Lose particles at random, as a detector does that is worse than its simulation.

    share: probability for each particle, below 1; the first of a jet stays, and the jet's own
    momentum. Raises ValueError for another share.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share: found {share}, expected a number from 0 to below 1")
    values, offsets = jets.particles
    kept = batch.generator(seed).random(offsets[-1]) >= share
    kept[offsets[:-1][batch.lengths(jets.particles) > 0]] = True
    fewer = type(values)(*(column[kept] for column in values))
    ends = np.concatenate([[0], np.cumsum(kept)])[offsets]
    return jets._replace(particles=batch.Ragged(fewer, ends.astype(np.int64)))


def select(jets: RaggedJets, classes: Sequence[str]) -> RaggedJets:
    """Keep the jets of some classes and number these anew, in the order given.

    Raises ValueError for a class that the sample does not know, or one without any jet in it.
    """
    unknown = [name for name in classes if name not in jets.classes]
    if unknown:
        raise ValueError(f"classes {unknown} are not among {jets.classes}")
    number = np.full(len(jets.classes) + 1, -1, np.int32)
    number[[jets.classes.index(name) for name in classes]] = np.arange(len(classes))
    label = number[jets.label]
    count = np.bincount(label[label >= 0], minlength=len(classes))
    if np.any(count == 0):
        empty = [name for name, n in zip(classes, count) if n == 0]
        raise ValueError(f"there is no jet of the classes {empty}")
    kept = np.flatnonzero(label >= 0)
    return take(jets, kept)._replace(label=label[kept], classes=tuple(classes))


def split(jets: RaggedJets, fractions: Sequence[float], seed: int) -> list[RaggedJets]:
    """Share jets out at random by event, so that jets of one collision stay together.

    fractions: their sum is 1; returns one sample each. Raises ValueError for other fractions or an
    empty part.
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) <= 0:
        raise ValueError(f"fractions must be positive with sum 1, found {tuple(fractions)}")
    events, event_index = np.unique(jets.event, return_inverse=True)
    shuffled = batch.generator(seed).permutation(len(events))
    edges = np.concatenate([[0], np.round(np.cumsum(fractions) * len(events))])
    part = np.searchsorted(edges, shuffled[event_index], side="right") - 1
    parts = [take(jets, np.flatnonzero(part == i)) for i in range(len(fractions))]
    if any(len(sample.label) == 0 for sample in parts):
        raise ValueError(f"{len(events)} events are too few for the fractions {tuple(fractions)}")
    return parts


def inputs(jets: Jets, features: Features = "full") -> Inputs:
    """Scale a batch into the features of JetClass: clipped to +-5, 0 where masked, float32
    (or float64, if the momenta are).

    full: 17 features, kinematic: 7, in the order of the published networks (arXiv:2202.03772, table
    2; scales of its public configuration); or what a function of the batch gives. Raises ValueError
    for another feature set.
    """
    if callable(features):
        return features(jets)
    part, mask = jets.particles, jnp.asarray(jets.mask)
    dtype = jnp.promote_types(part.p4.dtype, jnp.float32)
    p4, deta, dphi = (jnp.asarray(x, dtype) for x in (part.p4, part.deta, part.dphi))
    log_pt = jnp.log(jnp.where(mask, jnp.hypot(p4[..., 1], p4[..., 2]), 1))
    log_energy = jnp.log(jnp.where(mask, p4[..., 0], 1))
    jet_p4 = jnp.asarray(jets.p4, dtype)
    empty = jet_p4[:, 0] <= 0
    jet_log_pt = jnp.log(jnp.where(empty, 1, jnp.hypot(jet_p4[:, 1], jet_p4[:, 2])))[:, None]
    jet_log_energy = jnp.log(jnp.where(empty, 1, jet_p4[:, 0]))[:, None]
    radius = jnp.sqrt(jnp.where(mask, deta**2 + dphi**2, 1))
    kinematic = [
        (log_pt - 1.7) * 0.7,
        (log_energy - 2.0) * 0.7,
        (log_pt - jet_log_pt + 4.7) * 0.7,
        (log_energy - jet_log_energy + 4.7) * 0.7,
        (radius - 0.2) * 4.0,
    ]
    if features == "full":
        identity = [part.charge, *jnp.moveaxis(jnp.asarray(part.pid), -1, 0)]
        displacement = [
            jnp.tanh(part.d0),
            jnp.clip(part.d0_error, 0, 1),
            jnp.tanh(part.dz),
            jnp.clip(part.dz_error, 0, 1),
        ]
        listed = [*kinematic, *identity, *displacement, deta, dphi]
        physical = jnp.stack([part.d0, part.d0_error, part.dz, part.dz_error], -1)
    elif features == "kinematic":
        listed, physical = [*kinematic, deta, dphi], None
    else:
        raise ValueError(f"features must be 'full' or 'kinematic', found {features!r}")
    stacked = jnp.clip(jnp.stack([jnp.asarray(f, dtype) for f in listed], -1), -5, 5)
    points = jnp.stack([deta, dphi], -1)
    kept = mask[..., None]
    return Inputs(
        features=jnp.where(kept, stacked, 0),
        points=jnp.where(kept, points, 0),
        p4=jnp.where(kept, p4, 0),
        mask=mask,
        displacement=None if physical is None else jnp.where(kept, physical, 0),
        real=jets.real,
    )
