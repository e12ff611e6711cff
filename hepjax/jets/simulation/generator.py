"""Labelled jets from first principles: Pythia, a detector, anti-kt jets, in the JetClass layout.

``generate`` makes jets of one process, ``top_tagging_sample`` a balanced and shuffled mix of tops
and QCD jets, ``ten_class_sample`` one of all classes of JetClass. All return ``io.root.Columns``
with every branch that the taggers read, N-subjettiness and the soft-drop mass, the truth, and
event_number: up to two jets come from one event, and a split into training and test must not tear
them apart.

The sample is a pure function of (process, n_jets, seed, phase space, detector). The work is cut
into tasks of as many regions (candidate jets) each, each task with random numbers of its own, and
the result is the first n_jets jets in the order of the tasks; so it does not depend on how many
processes shared the work, and a smaller sample is the beginning of a larger one.

>>> [space.pt_min for space in (TOP_LANDSCAPE, JETCLASS)]
[550.0, 500.0]
>>> generate("top", 10, seed=1).jets["label_Tbqq"].sum()  # doctest: +SKIP
10
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.jets import clustering, substructure
from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import production, pythia
from hepjax.jets.simulation.recipes import (
    JETCLASS,
    PROCESSES,
    TEN_CLASSES,
    TOP_LANDSCAPE,
    PhaseSpace,
    Process,
)

if TYPE_CHECKING:
    from hepjax.io.root import Columns

__all__ = ["JETCLASS", "PROCESSES", "TEN_CLASSES", "TOP_LANDSCAPE", "PhaseSpace"]
__all__ += ["cached", "generate", "ten_class_sample", "top_tagging_sample"]

LABELS = (
    *("label_QCD", "label_Hbb", "label_Hcc", "label_Hgg", "label_H4q"),
    *("label_Hqql", "label_Zqq", "label_Wqq", "label_Tbqq", "label_Tbl"),
)
"""Classes of JetClass; those that are not generated are 0."""

EVENTS_PER_TASK = 1 << 20  # event_number = (pair, task, one of the pair) * this + event
TASKS = 1 << 24  # of one process, at most
ORDER = 2  # stands for the order of jets, where random numbers of processes have their index


class Task(NamedTuple):
    """One piece of work, enough to do it anywhere."""

    process: str
    phase_space: PhaseSpace
    detector: detectors.Detector
    seed: int
    index: int
    n_regions: int


def generate(
    process: str,
    n_jets: int,
    seed: int,
    *,
    phase_space: PhaseSpace = TOP_LANDSCAPE,
    detector: detectors.Detector | None = None,
    workers: int | None = None,
    progress: bool = True,
    regions_per_task: int = 512,
) -> "Columns":
    """Generate `n_jets` jets of a process, one of PROCESSES, as measured by a detector.

    Jets of a heavy particle hold it, with all its visible decay products (for "top": b and both
    quarks of the W) within the jet radius of the jet axis; QCD jets are the jets of the two hardest
    regions of an event. `seed` is 0 or more; `detector` is the
    one of the phase space if None; `workers` processes share the work, as many as there are cores
    if None. `regions_per_task` is part of the definition of the sample. `progress` shows a bar on
    a terminal, plain lines otherwise. Momenta in GeV, lengths in mm, float32.

    Raises ValueError for arguments that make no sense, ImportError without Pythia or FastJet, and
    RuntimeError where a worker fails.
    """
    options = (seed, phase_space, detector, regions_per_task)
    (jets,) = _run({process: n_jets}, *options, workers, progress)
    return jets


def top_tagging_sample(
    n_jets: int,
    seed: int,
    *,
    phase_space: PhaseSpace = TOP_LANDSCAPE,
    detector: detectors.Detector | None = None,
    workers: int | None = None,
    progress: bool = True,
    regions_per_task: int = 512,
) -> "Columns":
    """Generate `n_jets` jets, half tops and half QCD (one more top if odd), in random order.

    Arguments as in ``generate``; the order is a function of the seed.
    """
    share = {"qcd": n_jets // 2, "top": n_jets - n_jets // 2}
    options = (seed, phase_space, detector, regions_per_task)
    return _mixed(share, *options, workers, progress)


def ten_class_sample(
    n_jets: int,
    seed: int,
    *,
    phase_space: PhaseSpace = JETCLASS,
    detector: detectors.Detector | None = None,
    workers: int | None = None,
    progress: bool = True,
    regions_per_task: int = 256,
) -> "Columns":
    """Generate `n_jets` jets, a tenth of each class of JetClass, in random order.

    The first classes have one more where ten do not divide n_jets. Arguments as in ``generate``.
    """
    share = {p: (n_jets + 9 - k) // 10 for k, p in enumerate(TEN_CLASSES.values())}
    options = (seed, phase_space, detector, regions_per_task)
    return _mixed(share, *options, workers, progress)


SAMPLES: dict[str, tuple[Callable[..., "Columns"], PhaseSpace]] = {
    "top_landscape": (top_tagging_sample, TOP_LANDSCAPE),
    "jetclass": (top_tagging_sample, JETCLASS),
    "ten_classes": (ten_class_sample, JETCLASS),
}
"""Names of samples for `cached`."""


def cached(folder: Path, n_jets: int, seed: int, *, name: str = "top_landscape") -> Path:
    """Give the ROOT file of one of SAMPLES, generating it unless the folder has it."""
    from hepjax.io import root

    if name not in SAMPLES:
        raise ValueError(f"name must be one of {sorted(SAMPLES)}, found {name!r}")
    make, space = SAMPLES[name]
    path = Path(folder) / f"{name}_{n_jets}_{seed}.root"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        root.write_jetclass(path, make(n_jets, seed, phase_space=space))
    return path


def _mixed(request: dict[str, int], seed: int, *options: Any) -> "Columns":
    """Jets of several processes in an order that is a function of the seed."""
    from hepjax.io import root

    jets = root.concatenate(_run(request, seed, *options))
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ORDER, 0)))
    return root.take(jets, order.permutation(sum(request.values())))


def make_jets(task: Task) -> production.Piece:
    """All accepted jets of one task, in the order of events: what a worker does."""
    process, space = PROCESSES[task.process], task.phase_space
    seed = production.pythia_seed(task.seed, process.index, task.index)
    truth, hard = pythia.make_regions(process, space, seed, task.n_regions)
    rng = production.random_numbers(task.seed, process.index, task.index)
    objects = detectors.measure(truth, task.detector, rng)
    members, offsets = _leading_jets(objects, space)
    p4 = substructure.jet_p4(objects.p4[members], offsets)
    region = objects.region[members[offsets[:-1]]]
    keep = np.flatnonzero(_accepted(p4, region, hard, process, space))
    members, offsets = clustering.take(members, offsets, keep)
    return _columns(task, truth, objects, hard, members, offsets, region[keep])


def _leading_jets(objects: detectors.Objects, space: PhaseSpace) -> tuple[np.ndarray, np.ndarray]:
    """The hardest anti-kt jet of each region that has one above pt_min.

    Returns the indices of its objects [member], hardest first, and offsets [jet + 1].
    """
    members, offsets = clustering.antikt(objects, space.radius, space.pt_min)
    region = objects.region[members[offsets[:-1]]]
    p4 = substructure.jet_p4(objects.p4[members], offsets)
    order = np.lexsort((-np.hypot(p4[:, 1], p4[:, 2]), region))
    _, leading = np.unique(region[order], return_index=True)
    return clustering.take(members, offsets, order[leading])


def _accepted(
    p4: np.ndarray,
    region: np.ndarray,
    hard: pythia.Hard,
    process: Process,
    space: PhaseSpace,
) -> np.ndarray:
    """Which jets [jet] bool are in the phase space, and hold the parent and its decay products."""
    pt, eta, phi = clustering.pt_eta_phi(p4)
    good = (pt > space.pt_min) & (pt < space.pt_max) & (np.abs(eta) < space.eta_max)
    if process.parent:
        places = np.stack([hard.eta, hard.phi], axis=-1)[region]
        places = np.concatenate([places[:, None], hard.decay[region]], axis=1)
        delta_phi = clustering.wrap(places[..., 1] - phi[:, None])
        distance = np.hypot(places[..., 0] - eta[:, None], delta_phi)
        good &= (distance < space.radius).all(axis=1)
    return good


def _columns(
    task: Task,
    truth: detectors.Truth,
    objects: detectors.Objects,
    hard: pythia.Hard,
    members: np.ndarray,
    offsets: np.ndarray,
    region: np.ndarray,
) -> production.Piece:
    """Branches of the JetClass layout; part_truth_pid and aux_* are the truth."""
    process, radius = PROCESSES[task.process], task.phase_space.radius
    particles, jets = clustering.columns(objects, members, offsets)
    particles["part_truth_pid"] = truth.pid[objects.source[members]].astype(np.int32)
    p4, n_jets = objects.p4[members], len(offsets) - 1
    tau = substructure.nsubjettiness(p4, offsets, 4, radius)
    family, member = divmod(process.index, 2)
    number = (2 * (TASKS * family + task.index) + member) * EVENTS_PER_TASK
    jets |= {
        "jet_sdmass": substructure.soft_drop_mass(p4, offsets, radius=radius),
        **{f"jet_tau{k + 1}": tau[:, k] for k in range(4)},
        **{name: np.full(n_jets, name == process.label, np.int32) for name in LABELS},
        "event_number": number + hard.event[region].astype(np.int64),
        "aux_genpart_pid": hard.pid[region].astype(np.int32),
        "aux_genpart_pt": hard.pt[region],
        "aux_genpart_eta": hard.eta[region],
        "aux_genpart_phi": hard.phi[region],
    }
    return production.Piece(production.single(particles), offsets, production.single(jets))


def _run(
    request: dict[str, int],
    seed: int,
    phase_space: PhaseSpace,
    detector: detectors.Detector | None,
    regions_per_task: int,
    workers: int | None,
    progress: bool,
) -> list["Columns"]:
    """Generate {process: number of jets}, the tasks of all processes in one pool."""
    for name in request:
        if name not in PROCESSES:
            raise ValueError(f"process is {name!r}, expected one of {sorted(PROCESSES)}")
    production.check(request, seed, phase_space, regions_per_task=regions_per_task)
    detector = phase_space.detector if detector is None else detector

    def task(process: str, index: int) -> Task:
        return Task(process, phase_space, detector, seed, index, regions_per_task)

    return production.produce(
        request,
        task,
        __name__,
        "make_jets",
        jets_per_task=0.5 * regions_per_task,
        workers=workers,
        progress=progress,
    )
