"""Jets of b, c and light quarks and of taus from top pairs and a Z', with all that is true of them.

`generate` makes jets as `simulation.generator` does, in the same layout and by the same tasks, but
of whole events: a top pair holds two b jets, some of c and tau, and light ones from W and from
gluon radiation. A jet is labelled by the hadrons near its axis, b before c before tau (`label_b`,
`label_c`, `label_tau`, else `label_u`), as ATLAS labels them. Its constituents carry where they
come from (part_truth_origin, `events.ORIGINS`), which of them share a vertex (part_truth_vertex, 0
= primary), and what silicon saw of them (part_hits_first, _pixel, _strip); part_pterr is the
relative resolution of pT. `cached` keeps a sample as a ROOT file.

>>> CLASSES
('u', 'c', 'b', 'tau')
>>> generate("ttbar", 10, seed=1).jets["label_b"].sum()  # doctest: +SKIP
4
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from hepjax.jets import clustering
from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import events, generator, production

if TYPE_CHECKING:
    from hepjax.io.root import Columns

CLASSES = ("u", "c", "b", "tau")
"""Flavours in the order of logits: light quarks and gluons, charm, bottom, tau."""

Source = Literal["ttbar", "zprime"]
SPACES = {"ttbar": events.TTBAR, "zprime": events.ZPRIME}
LABELLED = ((events.FROM_B, "b"), (events.FROM_C, "c"), (events.FROM_TAU, "tau"))


class Task(NamedTuple):
    """One piece of work, enough to do it anywhere."""

    source: str
    phase_space: events.PhaseSpace
    detector: detectors.Detector
    seed: int
    index: int
    n_events: int


def generate(
    source: str,
    n_jets: int,
    seed: int,
    *,
    phase_space: events.PhaseSpace | None = None,
    detector: detectors.Detector | None = None,
    workers: int | None = None,
    progress: bool = True,
    events_per_task: int = 200,
) -> "Columns":
    """Generate `n_jets` jets of a source, "ttbar" or "zprime", as measured by a detector.

    phase_space: None for that of the source in SPACES; the other arguments are those of
    `simulation.generator.generate`. Jets of one event share event_number. Momenta in
    GeV, lengths in mm.

    Raises ValueError for arguments that make no sense, ImportError without Pythia or FastJet, and
    RuntimeError where a worker fails.
    """
    if source not in events.SOURCES:
        raise ValueError(f"source is {source!r}, expected one of {sorted(events.SOURCES)}")
    space = SPACES[source] if phase_space is None else phase_space
    production.check({source: n_jets}, seed, space, events_per_task=events_per_task)
    measured = space.detector if detector is None else detector

    def task(name: str, index: int) -> Task:
        return Task(name, space, measured, seed, index, events_per_task)

    (jets,) = production.produce(
        {source: n_jets},
        task,
        __name__,
        "make_jets",
        jets_per_task=3.0 * events_per_task,
        workers=workers,
        progress=progress,
    )
    return jets


def cached(folder: Path, source: Source, n_jets: int, seed: int) -> Path:
    """Give the ROOT file of `generate`, generating it unless the folder has it."""
    from hepjax.io import root

    path = Path(folder) / f"{source}_{n_jets}_{seed}.root"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        root.write_jetclass(path, generate(source, n_jets, seed))
    return path


def make_jets(task: Task) -> production.Piece:
    """All jets of the events of one task: what a worker does."""
    source, space = events.SOURCES[task.source], task.phase_space
    seed = production.pythia_seed(task.seed, source.index, task.index)
    truth, origin, heavy = events.make_events(source, space, seed, task.n_events)
    rng = production.random_numbers(task.seed, source.index, task.index)
    objects = detectors.measure(truth, task.detector, rng)
    members, offsets = clustering.antikt(objects, space.radius, space.pt_min)
    particles, jets = clustering.columns(objects, members, offsets)
    inside = (jets["jet_pt"] < space.pt_max) & (np.abs(jets["jet_eta"]) < space.eta_max)
    members, offsets = clustering.take(members, offsets, np.flatnonzero(inside))
    particles, jets = clustering.columns(objects, members, offsets)
    event = objects.region[members[offsets[:-1]]]
    where = (jets["jet_eta"], jets["jet_phi"], event)
    particles |= _constituent_truth(truth, origin, objects, members)
    jets |= _jet_truth(heavy, *where)
    number = (task.index * len(events.SOURCES) + source.index) * generator.EVENTS_PER_TASK
    jets["event_number"] = number + event.astype(np.int64)
    return production.Piece(production.single(particles), offsets, production.single(jets))


def _constituent_truth(
    truth: detectors.Truth, origin: np.ndarray, objects: detectors.Objects, members: np.ndarray
) -> dict[str, np.ndarray]:
    source, charged = objects.source[members], objects.charge[members] != 0
    vertex = events.truth_vertices(truth.vertex, truth.region)
    first, pixel, strip = objects.hits[members].T.astype(np.int32)
    return {
        "part_pterr": objects.pt_error[members],
        "part_hits_first": first,
        "part_hits_pixel": pixel,
        "part_hits_strip": strip,
        "part_truth_pid": truth.pid[source].astype(np.int32),
        "part_truth_origin": np.where(charged, origin[source], -1).astype(np.int32),
        "part_truth_vertex": np.where(charged, vertex[source], -1).astype(np.int32),
    }


def _jet_truth(
    heavy: events.Heavy, eta: np.ndarray, phi: np.ndarray, event: np.ndarray
) -> dict[str, np.ndarray]:
    """Labels, and pT, GeV, and transverse flight, mm, of the hadron that decided; NaN without."""
    label, decider = np.full(len(eta), "u", object), np.full(len(eta), -1)
    for origin, name in LABELLED:
        found = events.near(eta, phi, event, heavy, origin)
        new = (found >= 0) & (decider < 0)
        label[new], decider[new] = name, found[new]
    flight = np.append(np.hypot(heavy.decay[:, 0], heavy.decay[:, 1]), np.nan)
    return {
        **{f"label_{name}": (label == name).astype(np.int32) for name in CLASSES},
        "aux_hadron_pid": np.append(heavy.pid, 0)[decider].astype(np.int32),
        "aux_hadron_pt": np.append(heavy.pt, np.nan)[decider],
        "aux_hadron_flight": flight[decider],
    }
