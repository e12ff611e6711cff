"""Jets of five quarks, their antiquarks and gluons at an electron-positron collider.

`generate` makes both jets of each event: particles are measured by a parametrised detector, and the
Durham algorithm shares them out between two jets. Each jet is labelled by one of the two partons,
such that the sum of the angles between jets and partons is least: an event gives one quark and one
antiquark, or two gluons (`label_b`, `label_bbar`, ... `label_g`). aux_parton_* are that parton and
its distance; part_truth_pid is what a perfect identification of particles would tell. The jets of
one event share event_number. `cached` keeps a sample as a ROOT file.

A sample is a pure function of (source, n_jets, seed, detector), as that of `simulation.generator`;
its classes are equal in number, and its order is random.

>>> CLASSES
('b', 'bbar', 'c', 'cbar', 's', 'sbar', 'u', 'ubar', 'd', 'dbar', 'g')
>>> shares("higgs", 110)
{'b': 20, 'c': 20, 's': 20, 'u': 20, 'd': 20, 'g': 10}
>>> generate("higgs", 110, seed=1).jets["label_sbar"].sum()  # doctest: +SKIP
10
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from hepjax.jets import clustering, substructure
from hepjax.jets.origin import collisions
from hepjax.jets.origin.collisions import CODES, FLAVOURS, SOURCES
from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import generator, production

if TYPE_CHECKING:
    from hepjax.io.root import Columns

CLASSES = (*(name for f in FLAVOURS for name in (f, f"{f}bar")), "g")
"""Partons in the order of logits: each quark beside its antiquark, then the gluon."""

Source = Literal["higgs", "z"]


class Task(NamedTuple):
    """One piece of work, enough to do it anywhere."""

    source: str
    flavour: str
    detector: detectors.Detector
    seed: int
    index: int
    n_events: int


def generate(
    source: str,
    n_jets: int,
    seed: int,
    *,
    detector: detectors.Detector = detectors.HIGGS_FACTORY,
    workers: int | None = None,
    progress: bool = True,
    events_per_task: int = 500,
) -> "Columns":
    """Generate `n_jets` jets of a source, "higgs" or "z", as measured by a detector.

    n_jets: even, at least 22; the classes of a Z are the ten of quarks. The other arguments are
    those of `simulation.generator.generate`. Momenta in GeV, lengths in mm, float32.

    Raises ValueError for arguments that make no sense, ImportError without Pythia or FastJet, and
    RuntimeError where a worker fails.
    """
    from hepjax.io import root

    request = shares(source, n_jets)
    production.check(request, seed, None, events_per_task=events_per_task)

    def task(flavour: str, index: int) -> Task:
        return Task(source, flavour, detector, seed, index, events_per_task)

    tables = production.produce(
        request,
        task,
        __name__,
        "make_jets",
        jets_per_task=2.0 * events_per_task,
        workers=workers,
        progress=progress,
    )
    stream = (SOURCES[source].index, len(CODES))
    order = production.random_numbers(seed, *stream).permutation(n_jets)
    return root.take(root.concatenate(tables), order)


def shares(source: str, n_jets: int) -> dict[str, int]:
    """Share jets out over pairs of partons: even numbers, the same for all classes but for rounding
    that the last one takes.
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}, expected one of {sorted(SOURCES)}")
    if n_jets < 2 * len(CLASSES) or n_jets % 2:
        raise ValueError(f"n_jets is {n_jets}, expected an even number of at least 22")
    partons = SOURCES[source].partons
    n_classes = sum(1 if name == "g" else 2 for name in partons)
    found = dict.fromkeys(partons[:-1], 2 * (n_jets // n_classes))
    return found | {partons[-1]: n_jets - sum(found.values())}


def cached(folder: Path, source: Source, n_jets: int, seed: int) -> Path:
    """Give the ROOT file of `generate`, generating it unless the folder has it."""
    from hepjax.io import root

    path = Path(folder) / f"origin_{source}_{n_jets}_{seed}.root"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        root.write_jetclass(path, generate(source, n_jets, seed))
    return path


def make_jets(task: Task) -> production.Piece:
    """Both jets of the events of one task: what a worker does."""
    source = SOURCES[task.source]
    process = len(CODES) * source.index + list(CODES).index(task.flavour)
    seed = production.pythia_seed(task.seed, process, task.index)
    truth, partons = collisions.make_collisions(source, task.flavour, seed, task.n_events)
    rng = production.random_numbers(task.seed, process, task.index)
    objects = detectors.measure(truth, task.detector, rng)
    members, offsets = clustering.durham(objects, 2)
    particles, jets = clustering.columns(objects, members, offsets)
    particles["part_truth_pid"] = truth.pid[objects.source[members]].astype(np.int32)
    event = objects.region[members[offsets[:-1]]]
    jets |= _labels(substructure.jet_p4(objects.p4[members], offsets), event, partons)
    number = (task.index * len(SOURCES) * len(CODES) + process) * generator.EVENTS_PER_TASK
    jets["event_number"] = number + event.astype(np.int64)
    return production.Piece(production.single(particles), offsets, production.single(jets))


def _labels(
    p4: np.ndarray, event: np.ndarray, partons: collisions.Partons
) -> dict[str, np.ndarray]:
    """Give each jet one of the partons of its event; jets stand in pairs."""
    pid, angle = nearest(p4, event, partons)
    name = np.array([f"{_NAMES[abs(k)]}{'bar' if k < 0 else ''}" for k in pid])
    return {
        **{f"label_{c}": (name == c).astype(np.int32) for c in CLASSES},
        "aux_parton_pid": pid.astype(np.int32),
        "aux_parton_angle": angle,
    }


_NAMES = {code: name for name, code in CODES.items()}


def nearest(
    p4: np.ndarray, event: np.ndarray, partons: collisions.Partons
) -> tuple[np.ndarray, np.ndarray]:
    """Find the PDG code of each jet's parton [jet] and the angle between them [jet], rad.

    p4: [jet, 4] GeV and event: [jet], the two jets of an event side by side. Of the two ways to
    give partons to jets, the one with the smaller sum of angles.
    """
    jets = _direction(p4).reshape(-1, 2, 1, 3)
    which = event[::2]
    towards = _direction(partons.p4[which])[:, None]
    angle = np.arccos(np.clip(np.sum(jets * towards, -1), -1, 1))  # [event, jet, parton]
    crossed = angle[:, 0, 1] + angle[:, 1, 0] < angle[:, 0, 0] + angle[:, 1, 1]
    index = np.where(crossed[:, None], [1, 0], [0, 1])
    chosen = np.take_along_axis(angle, index[..., None], 2)[..., 0]
    return np.take_along_axis(partons.pid[which], index, 1).ravel(), chosen.ravel()


def _direction(p4: np.ndarray) -> np.ndarray:
    momentum = p4[..., 1:]
    return momentum / np.linalg.norm(momentum, axis=-1, keepdims=True)
