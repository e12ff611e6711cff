"""Les Houches event files: hard events between a matrix element and a parton shower.

A `Head` says what collides, the cross-sections of the processes, and which further weights events
carry (scale variations, members of a set of parton densities); `Events` are flat arrays with
offsets. `writer` takes events a chunk at a time, so that a file may be larger than memory, and
`write` takes all; `lhe_reader` reads them. A name that ends in .gz is compressed. The format is
version 3 (arXiv:hep-ph/0609017, arXiv:1405.1067). Momenta and weights are written with as many
digits as give back the very same numbers, unless fewer are asked for.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "none.lhe"
>>> write(path, Head((11, -11), (45.6, 45.6), (Process(1, 868.5, 0.2),)), [])
>>> path.read_text().count("<event>")
0
"""

import contextlib
import gzip
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO
from xml.sax import saxutils

import numpy as np

from hepjax.io import trees


class Process(NamedTuple):
    """A process: its number, cross-section and error, pb, and the largest weight of its events."""

    number: int
    cross_section: float
    error: float
    max_weight: float = 1.0


class Weight(NamedTuple):
    """A further weight of every event: its name, attributes such as MUR, what is said of it."""

    name: str
    attributes: dict[str, str]
    text: str = ""


class Group(NamedTuple):
    """Weights that belong together; attributes: name, and how to combine them, none for weights
    that stand alone.
    """

    attributes: dict[str, str]
    weights: tuple[Weight, ...]


class Generator(NamedTuple):
    """A program that had a part in the events."""

    name: str
    version: str = ""
    text: str = ""


class Head(NamedTuple):
    """What is said of all events.

    beams: PDG codes; energies: GeV; strategy: 3: all weights are one, 4: weights in pb, whose mean
    is the cross-section, with a minus where weights may be negative; pdf_groups, pdf_sets: of the
    beams, as the author of the densities numbers them; text: anything else of the header.
    """

    beams: tuple[int, int]
    energies: tuple[float, float]
    processes: tuple[Process, ...]
    strategy: int = 4
    pdf_groups: tuple[int, int] = (0, 0)
    pdf_sets: tuple[int, int] = (0, 0)
    groups: tuple[Group, ...] = ()
    generators: tuple[Generator, ...] = (Generator("hepjax"),)
    text: str = ""


class Events(NamedTuple):
    """Events; the particles of one after those of the other.

    offsets: [event + 1] where the particles of each begin; process, weight, scale GeV, alpha_em,
    alpha_s: [event]; pid: PDG codes, status: -1 incoming, 1 outgoing, 2 decayed, mothers: [, 2]
    places in the event, from 1, colours: [, 2] lines of colour and anticolour, p4: [, 4] GeV, mass:
    GeV, lifetime: mm, spin: 9 unknown, all [particle]; variations: [event, variation] further
    weights, in the order of the head, NaN for those an event lacks; attributes, rest: [event] text
    in the tag of the event and behind its particles, empty tuples for none at all.
    """

    offsets: np.ndarray
    process: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    alpha_em: np.ndarray
    alpha_s: np.ndarray
    pid: np.ndarray
    status: np.ndarray
    mothers: np.ndarray
    colours: np.ndarray
    p4: np.ndarray
    mass: np.ndarray
    lifetime: np.ndarray
    spin: np.ndarray
    variations: np.ndarray
    attributes: Sequence[str] = ()
    rest: Sequence[str] = ()


PER_EVENT = ("process", "weight", "scale", "alpha_em", "alpha_s", "variations")
PER_PARTICLE = ("pid", "status", "mothers", "colours", "p4", "mass", "lifetime", "spin")


def names(head: Head) -> tuple[str, ...]:
    """List the further weights of all groups."""
    return tuple(weight.name for group in head.groups for weight in group.weights)


def concatenate(parts: Sequence[Events]) -> Events:
    """Join events; raises ValueError for none, and for different numbers of variations."""
    if not parts:
        raise ValueError("parts: none, expected events")
    widths = {part.variations.shape[1] for part in parts}
    if len(widths) > 1:
        raise ValueError(f"variations: {sorted(widths)} a part, expected as many in all")
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in PER_EVENT + PER_PARTICLE
    }
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    texts = {}
    for name in ("attributes", "rest"):
        any_at_all = any(getattr(part, name) for part in parts)
        given = [getattr(part, name) or [""] * len(part.weight) for part in parts]
        texts[name] = list(itertools.chain(*given)) if any_at_all else ()
    return Events(offsets=np.concatenate([[0], np.cumsum(counts)]), **arrays, **texts)


@contextlib.contextmanager
def writer(
    path: str | os.PathLike[str], head: Head, *, digits: int = 17
) -> Iterator[Callable[[Events], None]]:
    """Give a function that appends events to a new file, which has its name once the block ends.

    digits: of momenta and weights; 17 are exact. Raises ValueError for events that do not fit the
    head or each other, and for numbers that are not finite, naming event and field.
    """
    path = Path(path)
    with trees.written(path) as temporary, _created(temporary, path.suffix == ".gz") as file:
        file.write(_before(head, digits))
        yield lambda events: _append(file, head, events, digits)
        file.write("</LesHouchesEvents>\n")


def write(
    path: str | os.PathLike[str],
    head: Head,
    events: Events | Iterable[Events],
    *,
    digits: int = 17,
) -> None:
    """Write events, or chunks of them; raises ValueError as `writer` does."""
    with writer(path, head, digits=digits) as append:
        for part in [events] if isinstance(events, Events) else events:
            append(part)


@contextlib.contextmanager
def _created(path: Path, compressed: bool) -> Iterator[TextIO]:
    """Open a text file, whose compressed form holds neither its name nor the time."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open(path, "wb"))
        if compressed:
            raw = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
        yield stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))


def _before(head: Head, digits: int) -> str:
    """Give what stands before the events."""
    lines = ['<LesHouchesEvents version="3.0">', "<header>", *([head.text] if head.text else [])]
    if head.groups:
        lines.append("<initrwgt>")
        for group in head.groups:
            inside = [
                f"<weight{_attributes({'id': w.name, **w.attributes})}>"
                f"{saxutils.escape(w.text)}</weight>"
                for w in group.weights
            ]
            tag = f"<weightgroup{_attributes(group.attributes)}>"
            lines += [tag, *inside, "</weightgroup>"] if group.attributes else inside
        lines.append("</initrwgt>")
    (a, b), (energy, other), n = head.beams, head.energies, len(head.processes)
    sets = " ".join(map(str, (*head.pdf_groups, *head.pdf_sets)))
    lines += ["</header>", "<init>", f"{a} {b} {energy!r} {other!r} {sets} {head.strategy} {n}"]
    for one in head.processes:
        numbers = (one.cross_section, one.error, one.max_weight)
        lines.append(" ".join(f"{x:.{digits - 1}e}" for x in numbers) + f" {one.number}")
    for one in head.generators:
        named = _attributes({"name": one.name, "version": one.version})
        lines.append(f"<generator{named}>{saxutils.escape(one.text)}</generator>")
    return "\n".join([*lines, "</init>", ""])


def _attributes(given: dict[str, str]) -> str:
    return "".join(f" {key}={saxutils.quoteattr(str(value))}" for key, value in given.items())


def _check(head: Head, events: Events) -> None:
    n = len(events.weight)
    offsets = np.asarray(events.offsets)
    if len(offsets) != n + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets: {len(offsets)} for {n} events, expected {n + 1} that rise")
    for fields, length in ((PER_EVENT, n), (PER_PARTICLE, int(offsets[-1]))):
        for name in fields:
            values = np.asarray(getattr(events, name))
            if len(values) != length:
                raise ValueError(f"{name}: {len(values)} values, expected {length}")
            bad = ~np.isfinite(values.reshape(length, -1)).all(1) if values.size else np.zeros(0)
            if name != "variations" and bad.any():
                k = int(np.argmax(bad))
                event = k if length == n else int(np.searchsorted(offsets, k, "right")) - 1
                raise ValueError(f"{name}: {values[k]} in event {event}, expected finite numbers")
    width, expected = np.shape(events.variations)[1:], len(names(head))
    if width != (expected,):
        raise ValueError(f"variations: {width} an event, expected ({expected},) as in the head")
    unknown = set(np.unique(events.process).tolist()) - {one.number for one in head.processes}
    if unknown:
        raise ValueError(f"process: {sorted(unknown)}, expected those of the head")


def _append(file: TextIO, head: Head, events: Events, digits: int) -> None:
    """Write events as text."""
    _check(head, events)
    real = f"%.{digits - 1}e"
    particle = "%8d %2d %3d %3d %4d %4d" + f" {real}" * 5 + " %.17g %.17g"
    p4 = np.asarray(events.p4, float)
    columns = (
        *(events.pid, events.status, *np.asarray(events.mothers).T, *np.asarray(events.colours).T),
        *(p4[:, 1], p4[:, 2], p4[:, 3], p4[:, 0], events.mass, events.lifetime, events.spin),
    )
    rows = zip(*(np.asarray(column).tolist() for column in columns))
    lines = list(map(particle.__mod__, rows))
    count = np.diff(events.offsets)
    fields = (count, *(getattr(events, name) for name in PER_EVENT[:-1]))
    info = zip(*(np.asarray(field).tolist() for field in fields))
    infos = map(f"%d %d {real} {real} {real} {real}".__mod__, info)
    further = _further(names(head), np.asarray(events.variations, float), real)
    attributes, rest = (given or itertools.repeat("") for given in (events.attributes, events.rest))
    ends = np.asarray(events.offsets).tolist()
    for a, b, first, weights, tag, more in zip(ends, ends[1:], infos, further, attributes, rest):
        file.write(f"<event{' ' + tag if tag else ''}>\n{first}\n")
        file.write("\n".join([*lines[a:b], *weights, *([more] if more else []), "</event>\n"]))


def _further(names: Sequence[str], variations: np.ndarray, real: str) -> Iterator[list[str]]:
    """Give the lines of further weights of each event; what is NaN it does not have."""
    whole = [f"<wgt id={saxutils.quoteattr(name)}>".replace("%", "%%") for name in names]
    whole = [f"{tag}{real}</wgt>" for tag in whole]
    all_of_them, lacking = "\n".join(whole), np.isnan(variations)
    for row, lacks in zip(variations, lacking):
        if lacks.all():
            yield []
            continue
        some = [tag for tag, lack in zip(whole, lacks) if not lack] if lacks.any() else None
        text = all_of_them if some is None else "\n".join(some)
        yield ["<rwgt>", text % tuple(row[~lacks].tolist()), "</rwgt>"]
