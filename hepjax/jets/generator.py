"""Labelled jets from first principles: Pythia, a detector, anti-kt jets, in the JetClass layout.

``generate`` makes jets of one process, ``top_tagging_sample`` a balanced and shuffled mix of tops
and QCD jets. Both return ``io.root.Columns`` with every branch that the taggers read,
N-subjettiness and the soft-drop mass, the truth, and event_number: up to two jets come from one
event, and a split into training and test must not tear them apart.

The sample is a pure function of (process, n_jets, seed, phase space, detector). The work is cut
into tasks of as many regions (candidate jets) each, each task with random numbers of its own, and
the result is the first n_jets jets in the order of the tasks; so it does not depend on how many
processes shared the work, and a smaller sample is the beginning of a larger one.

>>> [space.pt_min for space in (TOP_LANDSCAPE, JETCLASS)]
[550.0, 500.0]
>>> generate("top", 10, seed=1).jets["label_Tbqq"].sum()  # doctest: +SKIP
10
"""

import contextlib
import importlib.util
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.jets import detector as detectors
from hepjax.jets import processes, pythia, substructure
from hepjax.jets.pythia import JETCLASS, PROCESSES, TOP_LANDSCAPE, PhaseSpace

if TYPE_CHECKING:
    from hepjax.io.root import Columns

__all__ = ["JETCLASS", "PROCESSES", "TOP_LANDSCAPE", "PhaseSpace", "generate", "top_tagging_sample"]

LABELS = (
    *("label_QCD", "label_Hbb", "label_Hcc", "label_Hgg", "label_H4q"),
    *("label_Hqql", "label_Zqq", "label_Wqq", "label_Tbqq", "label_Tbl"),
)
"""Classes of JetClass; those that are not generated are 0."""

EVENTS_PER_TASK = 1 << 20  # event_number = (task, process) * this + event
FRUITLESS = 50  # tasks without a jet, after which to give up


class Task(NamedTuple):
    """One piece of work, enough to do it anywhere."""

    process: str
    phase_space: PhaseSpace
    detector: detectors.Detector
    seed: int
    index: int
    n_regions: int


class Piece(NamedTuple):
    """What a task gives: the fields of ``io.root.Columns``, which a worker does not import."""

    particles: dict[str, np.ndarray]
    offsets: np.ndarray
    jets: dict[str, np.ndarray]


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
    """Generate `n_jets` jets of a process, "top" or "qcd", as measured by a detector.

    Top jets hold a top with b and both quarks of the W within the jet radius of the jet axis; QCD
    jets are the jets of the two hardest regions of an event. `seed` is 0 or more; `detector` is the
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
    from hepjax.io import root

    options = (seed, phase_space, detector, regions_per_task)
    share = {"qcd": n_jets // 2, "top": n_jets - n_jets // 2}
    jets = root.concatenate(_run(share, *options, workers, progress))
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(PROCESSES), 0)))
    return root.take(jets, order.permutation(n_jets))


def cached(folder: Path, n_jets: int, seed: int, *, name: str = "top_landscape") -> Path:
    """Give the ROOT file of a `top_tagging_sample`, generating it unless the folder has it."""
    from hepjax.io import root

    space = {"top_landscape": TOP_LANDSCAPE, "jetclass": JETCLASS}.get(name)
    if space is None:
        raise ValueError(f"name must be 'top_landscape' or 'jetclass', found {name!r}")
    path = Path(folder) / f"{name}_{n_jets}_{seed}.root"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        root.write_jetclass(path, top_tagging_sample(n_jets, seed, phase_space=space))
    return path


def make_jets(task: Task) -> Piece:
    """All accepted jets of one task, in the order of events: what a worker does."""
    process, space = PROCESSES[task.process], task.phase_space
    key = np.random.SeedSequence(task.seed, spawn_key=(process.index,))
    first_seed = int(key.generate_state(1, np.uint64)[0])
    pythia_seed = 1 + (first_seed + task.index) % 900_000_000  # never twice in one sample
    truth, hard = pythia.make_regions(process, space, pythia_seed, task.n_regions)
    spawned = np.random.SeedSequence(task.seed, spawn_key=(process.index, task.index))
    rng = np.random.Generator(np.random.Philox(spawned))
    objects = detectors.measure(truth, task.detector, rng)
    members, offsets = _leading_jets(objects, space)
    p4 = substructure.jet_p4(objects.p4[members], offsets)
    region = objects.region[members[offsets[:-1]]]
    keep = np.flatnonzero(_accepted(p4, region, hard, process, space))
    members, offsets = _take(members, offsets, keep)
    return _columns(task, truth, objects, hard, members, offsets, region[keep])


def _leading_jets(objects: detectors.Objects, space: PhaseSpace) -> tuple[np.ndarray, np.ndarray]:
    """The hardest anti-kt jet of each region that has one above pt_min.

    Returns the indices of its objects [member], hardest first, and offsets [jet + 1].
    """
    import awkward as ak
    import fastjet

    count = np.bincount(objects.region)
    pt = np.hypot(objects.p4[:, 1], objects.p4[:, 2])
    first = np.concatenate([[0], np.cumsum(count)])[:-1]
    busy = np.bincount(objects.region, pt) > space.pt_min
    inside = busy[objects.region]
    names = ("E", "px", "py", "pz")
    vectors = ak.zip(dict(zip(names, objects.p4[inside].T)), with_name="Momentum4D")
    events = ak.unflatten(vectors, count[busy])
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, space.radius)
    sequence = fastjet.ClusterSequence(events, definition)
    jets = sequence.constituent_index(min_pt=space.pt_min)
    region = np.repeat(np.flatnonzero(busy), ak.to_numpy(ak.num(jets)))
    size = ak.to_numpy(ak.flatten(ak.num(jets, axis=2)))
    members = ak.to_numpy(ak.flatten(ak.flatten(jets))) + np.repeat(first[region], size)
    members = members[np.lexsort((members, np.repeat(np.arange(len(size)), size)))]
    offsets = np.concatenate([[0], np.cumsum(size)])
    p4 = substructure.jet_p4(objects.p4[members], offsets)
    order = np.lexsort((-np.hypot(p4[:, 1], p4[:, 2]), region))
    _, leading = np.unique(region[order], return_index=True)
    return _take(members, offsets, order[leading])


def _take(
    members: np.ndarray, offsets: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The jets `rows` of ragged indices."""
    size = np.diff(offsets)[rows]
    taken = np.concatenate([[0], np.cumsum(size)])
    return members[np.arange(taken[-1]) + np.repeat(offsets[rows] - taken[:-1], size)], taken


def _accepted(
    p4: np.ndarray,
    region: np.ndarray,
    hard: pythia.Hard,
    process: pythia.Process,
    space: PhaseSpace,
) -> np.ndarray:
    """Which jets [jet] bool are in the phase space and, for tops, hold the top and its partons."""
    pt, eta, phi = _pt_eta_phi(p4)
    good = (pt > space.pt_min) & (pt < space.pt_max) & (np.abs(eta) < space.eta_max)
    if process.top:
        places = np.stack([hard.eta, hard.phi], axis=-1)[region]
        places = np.concatenate([places[:, None], hard.decay[region]], axis=1)
        delta_phi = _wrap(places[..., 1] - phi[:, None])
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
) -> Piece:
    """Branches of the JetClass layout; part_truth_pid and aux_* are the truth."""
    process = PROCESSES[task.process]
    part = detectors.Objects(*(column[members] for column in objects))
    p4 = substructure.jet_p4(part.p4, offsets)
    pt, eta, phi = _pt_eta_phi(p4)
    _, part_eta, part_phi = _pt_eta_phi(part.p4)
    size = np.diff(offsets)
    sign = np.repeat(np.where(eta < 0, -1.0, 1.0), size)
    flags = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
    components = ("part_energy", "part_px", "part_py", "part_pz")
    tau = substructure.nsubjettiness(part.p4, offsets, 4, task.phase_space.radius)
    number = (task.index * len(PROCESSES) + process.index) * EVENTS_PER_TASK
    particles = {
        **dict(zip(components, part.p4.T)),
        "part_deta": (part_eta - np.repeat(eta, size)) * sign,
        "part_dphi": _wrap(part_phi - np.repeat(phi, size)),
        "part_charge": part.charge,
        **{f"part_{flag}": part.category == k for k, flag in enumerate(flags)},
        "part_d0val": part.d0,
        "part_d0err": part.d0_error,
        "part_dzval": part.dz,
        "part_dzerr": part.dz_error,
        "part_truth_pid": truth.pid[part.source].astype(np.int32),
    }
    jets = {
        "jet_pt": pt,
        "jet_eta": eta,
        "jet_phi": phi,
        "jet_energy": p4[:, 0],
        "jet_nparticles": size.astype(np.int32),
        "jet_sdmass": substructure.soft_drop_mass(part.p4, offsets, radius=task.phase_space.radius),
        **{f"jet_tau{k + 1}": tau[:, k] for k in range(4)},
        **{name: np.full(len(size), name == process.label, np.int32) for name in LABELS},
        "event_number": number + hard.event[region].astype(np.int64),
        "aux_genpart_pid": hard.pid[region].astype(np.int32),
        "aux_genpart_pt": hard.pt[region],
        "aux_genpart_eta": hard.eta[region],
        "aux_genpart_phi": hard.phi[region],
    }
    return Piece(_single(particles), offsets, _single(jets))


def _single(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Floating-point columns in float32, as files have them."""
    return {
        name: column.astype(np.float32) if column.dtype == np.float64 else column
        for name, column in columns.items()
    }


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
    _check(request, seed, phase_space, regions_per_task)
    from hepjax import runs
    from hepjax.io import root

    n_workers = _cores() if workers is None else workers
    detector = phase_space.detector if detector is None else detector
    template = Task("", phase_space, detector, seed, 0, regions_per_task)
    shown = (
        runs.progress(sum(request.values()), "jets")
        if progress
        else contextlib.nullcontext(lambda n: None)
    )
    with processes.pool(__name__, "make_jets", n_workers) as submit, shown as advance:
        pieces = _schedule(request, template, submit, 2 * n_workers, advance)
    columns = [root.concatenate([root.Columns(*piece) for piece in parts]) for parts in pieces]
    return [root.take(table, np.arange(n)) for table, n in zip(columns, request.values())]


def _schedule(
    request: dict[str, int], template: Task, submit: Any, n_waiting: int, advance: Any
) -> list[list[Piece]]:
    """Submit tasks of each process until its jets suffice; results [process][task], in order."""
    names, goals = list(request), list(request.values())
    pieces: list[list[Piece]] = [[] for _ in names]
    have, begun = [0] * len(names), [0] * len(names)
    waiting: deque = deque()
    while True:
        for k, name in enumerate(names):
            while len(waiting) < n_waiting:
                done = len(pieces[k])
                a_task = have[k] / done if done else 0.5 * template.n_regions
                if begun[k] and have[k] + (begun[k] - done) * a_task >= goals[k]:
                    break
                task = template._replace(process=name, index=begun[k])
                waiting.append((k, submit(task)))
                begun[k] += 1
        if not waiting:
            return pieces
        k, future = waiting.popleft()
        piece = future.result()
        advance(min(len(piece.offsets) - 1, goals[k] - min(have[k], goals[k])))
        have[k] += len(piece.offsets) - 1
        pieces[k].append(piece)
        if not have[k] and len(pieces[k]) == FRUITLESS:
            raise RuntimeError(
                f"{FRUITLESS * template.n_regions} regions gave no jet of {names[k]}; is "
                f"{template.phase_space} possible?"
            )


def _check(request: dict[str, int], seed: int, space: PhaseSpace, regions_per_task: int) -> None:
    for name, n_jets in request.items():
        if name not in PROCESSES:
            raise ValueError(f"process is {name!r}, expected one of {sorted(PROCESSES)}")
        if n_jets < 1:
            raise ValueError(f"n_jets of {name} is {n_jets}, expected at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    if regions_per_task < 1:
        raise ValueError(f"regions_per_task is {regions_per_task}, expected at least 1")
    if not 0 < space.pt_min < space.pt_max < space.energy / 2:
        raise ValueError(
            f"phase_space has pt from {space.pt_min} to {space.pt_max} GeV at {space.energy} GeV, "
            "expected 0 < pt_min < pt_max < energy / 2"
        )
    if not (0 < space.radius < 1.5 and space.eta_max > 0):
        raise ValueError(
            f"phase_space has radius {space.radius} and eta_max {space.eta_max}, expected "
            "0 < radius < 1.5 and eta_max > 0"
        )
    for package in ("pythia8mc", "fastjet", "awkward"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"{package} is missing; it comes with the extra hepjax[generators]")


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pt_eta_phi(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pt = np.hypot(p4[:, 1], p4[:, 2])
    return pt, np.arcsinh(p4[:, 3] / pt), np.arctan2(p4[:, 2], p4[:, 1])


def _wrap(delta_phi: np.ndarray) -> np.ndarray:
    """Angles in (-pi, pi]."""
    return np.pi - np.remainder(np.pi - delta_phi, 2 * np.pi)
