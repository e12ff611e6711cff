"""Read Les Houches event files, of any generator.

`read` gives the head and all events (`lhe`), `read_head` the head alone, `chunks` the events a few
at a time, so that a file may be larger than memory. Versions 1 to 3 are read, compressed or not;
what is wrong with a file is said with the line on which it stands.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "none.lhe.gz"
>>> lhe.write(path, lhe.Head((11, -11), (45.6, 45.6), (lhe.Process(1, 868.5, 0.2),)), [])
>>> read_head(path).processes
(Process(number=1, cross_section=868.5, error=0.2, max_weight=1.0),)
"""

import contextlib
import gzip
import itertools
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import TextIO
from xml.sax import saxutils

import numpy as np

from hepjax.io import lhe
from hepjax.io.lhe import Events, Generator, Group, Head, Process, Weight
from hepjax.io.trees import BadFile

Path = str | os.PathLike[str]
COLUMNS = 13
"""Numbers of a particle."""

EVENT = re.compile(r"<event[\s>]")
FURTHER = re.compile(r"<(rwgt|weights)>(.*?)</\1>", re.DOTALL)
ATTRIBUTE = re.compile(r"([\w.:-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
WGT = re.compile(r"<wgt\s[^>]*?id\s*=\s*[\"']([^\"']*)[\"'][^>]*>([^<]*)</wgt>")
QUOTES = {"&quot;": '"'}
BLOCK = 1 << 22
"""Characters that are read in one go."""


def read(path: Path) -> tuple[Head, Events]:
    """Read all of a file; raises BadFile, a ValueError, as `chunks` does."""
    parts = list(chunks(path))
    return read_head(path), lhe.concatenate(
        parts or [_parsed(path, [], lhe.names(read_head(path)))]
    )


def read_head(path: Path) -> Head:
    """Read what stands before the events; raises BadFile where it is not as it should be."""
    with _opened(path) as file:
        return _head(path, _start(path, file)[0])


def chunks(path: Path, size: int = 10_000) -> Iterator[Events]:
    """Read events, a number of them at a time.

    Raises BadFile, a ValueError, which names the line, for what cannot be read, and for a file that
    is cut off.
    """
    known = lhe.names(read_head(path))
    with _opened(path) as file:
        pieces = _pieces(path, file)
        while some := list(itertools.islice(pieces, size)):
            yield _parsed(path, some, known)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with gzip.open(path, "rt") if str(path).endswith(".gz") else open(path) as file:
            yield file  # type: ignore
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: {error}") from error


def _start(path: Path, file: TextIO) -> tuple[str, str]:
    """Read until the end of <init>, and give it with what was read beyond."""
    text = ""
    for block in iter(lambda: file.read(BLOCK), ""):
        text += block
        if (end := text.find("</init>")) >= 0:
            return text[: end + 7], text[end + 7 :]
    raise BadFile(f"{path}: no <init> in {len(text)} characters, expected a Les Houches event file")


def _attributes(text: str | None) -> dict[str, str]:
    found = ATTRIBUTE.findall(text or "")
    return {key: saxutils.unescape(x[1:-1], QUOTES) for key, x in found}


def _head(path: Path, text: str) -> Head:
    before, _, init = text.removesuffix("</init>").rpartition("<init>")
    plain = re.sub(r"<generator.*?</generator>|<!--.*?-->", "", init, flags=re.DOTALL)
    lines = [line.split() for line in plain.splitlines() if line.split()[:1]]
    try:
        first = [float(word) for word in lines[0]]
        beams, groups, sets = ((int(first[k]), int(first[k + 1])) for k in (0, 4, 6))
        strategy, n = int(first[8]), int(first[9])
        rows = [[float(word) for word in line[:4]] for line in lines[1 : n + 1]]
        processes = tuple(Process(int(row[3]), *row[:3]) for row in rows)
    except (ValueError, IndexError) as error:
        raise BadFile(f"{path}: <init>: {error}") from error
    if len(processes) != n:
        raise BadFile(f"{path}: <init>: {len(processes)} processes, expected {n}")
    generators = [
        Generator(of.get("name", ""), of.get("version", ""), saxutils.unescape(text.strip()))
        for given, text in re.findall(r"<generator([^>]*)>(.*?)</generator>", init, re.DOTALL)
        for of in [_attributes(given)]
    ]
    weights = re.search(r"<initrwgt[^>]*>(.*?)</initrwgt>", before, re.DOTALL)
    rest = before.replace(weights[0], "") if weights else before
    rest = re.sub(r"<LesHouchesEvents[^>]*>|</?header[^>]*>", "", rest).strip()
    energies = first[2], first[3]
    named = _groups(weights[1]) if weights else ()
    return Head(beams, energies, processes, strategy, groups, sets, named, tuple(generators), rest)


def _groups(text: str) -> tuple[Group, ...]:
    """Read groups of weights; those outside of any make a group of their own each time."""
    found, last = [], 0
    for group in re.finditer(r"<weightgroup([^>]*)>(.*?)</weightgroup>", text, re.DOTALL):
        found += [Group({}, _weights(text[last : group.start()]))]
        found += [Group(_attributes(group[1]), _weights(group[2]))]
        last = group.end()
    found.append(Group({}, _weights(text[last:])))
    return tuple(group for group in found if group.weights)


def _weights(text: str) -> tuple[Weight, ...]:
    made = []
    for given, words in re.findall(r"<weight\s([^>]*)>(.*?)</weight>", text, re.DOTALL):
        attributes = _attributes(given)
        made.append(Weight(attributes.pop("id", ""), attributes, saxutils.unescape(words.strip())))
    return tuple(made)


Piece = tuple[int, str, str]
"""Of an event: the line on which it begins, its attributes, what it holds."""


def _pieces(path: Path, file: TextIO) -> Iterator[Piece]:
    """Cut a file into events."""
    start, text = _start(path, file)
    line = 1 + start.count("\n")
    while True:
        at = 0
        while (found := EVENT.search(text, at)) and (end := text.find("</event>", at)) >= 0:
            line += text.count("\n", at, found.start())
            tag = text.index(">", found.start())
            yield line, text[found.start() + 6 : tag].strip(), text[tag + 1 : end]
            line += text.count("\n", found.start(), end)
            at = end + 8
        text = text[at:]
        block = file.read(BLOCK)
        if not block:
            break
        text += block
    if EVENT.search(text) or "</LesHouchesEvents>" not in text:
        raise BadFile(f"{path}, line {line}: the file ends within or between events")


def _parsed(path: Path, pieces: Sequence[Piece], known: tuple[str, ...]) -> Events:
    """Turn events into arrays."""
    infos, rows, variations, rest = [], [], [], []
    for line, _, body in pieces:
        lines = body.split("\n")
        first = 0 if lines[0].strip() else 1
        info = lines[first].split() if first < len(lines) else []
        if len(info) != 6 or not info[0].isdigit():
            raise BadFile(f"{path}, line {line + first}: {info}, expected 6 numbers")
        end = first + 1 + int(info[0])
        words = [one.split() for one in lines[first + 1 : end]]
        if len(words) != int(info[0]) or {len(one) for one in words} - {COLUMNS}:
            bad = [k for k, one in enumerate(words) if len(one) != COLUMNS] or [len(words)]
            what = f"expected {info[0]} particles of {COLUMNS} numbers each"
            raise BadFile(f"{path}, line {line + first + 1 + bad[0]}: {what}")
        infos.append((line + first, info))
        rows += zip(range(line + first + 1, line + end), words)
        left = "\n".join(lines[end:])
        found, left = _further(path, line + end, left, known) if "<" in left else ([], left)
        variations.append(found or [np.nan] * len(known))
        rest.append(left.strip())
    info, row = _table(path, infos, 6), _table(path, rows, COLUMNS)
    integer, info_integer = row[:, :6].astype(np.int64), info[:, :2].astype(np.int64)
    attributes = [piece[1] for piece in pieces]
    return Events(
        offsets=np.concatenate([[0], np.cumsum(info_integer[:, 0])]),
        process=info_integer[:, 1],
        weight=info[:, 2],
        scale=info[:, 3],
        alpha_em=info[:, 4],
        alpha_s=info[:, 5],
        pid=integer[:, 0],
        status=integer[:, 1],
        mothers=integer[:, 2:4],
        colours=integer[:, 4:6],
        p4=row[:, [9, 6, 7, 8]],
        mass=row[:, 10],
        lifetime=row[:, 11],
        spin=row[:, 12],
        variations=np.array(variations, float).reshape(len(pieces), len(known)),
        attributes=attributes if any(attributes) else (),
        rest=rest if any(rest) else (),
    )


def _table(path: Path, rows: Sequence[tuple[int, Sequence[str]]], width: int) -> np.ndarray:
    """Turn the words of lines, each with its number, into numbers [line, width]."""
    words = itertools.chain.from_iterable(row for _, row in rows)
    try:
        values = list(map(float, words))
    except ValueError:
        values = [x for line, row in rows for x in _numbers(path, line, row)]
    return np.array(values, float).reshape(-1, width)


def _numbers(path: Path, line: int, words: Sequence[str]) -> list[float]:
    """Turn words into numbers, also such as Fortran may write them."""
    try:
        return list(map(float, words))
    except ValueError:
        with_e = [word.upper().replace("D", "E") for word in words]
    try:
        return list(map(float, with_e))
    except ValueError as error:
        raise BadFile(f"{path}, line {line}: {error}") from error


def _further(path: Path, line: int, text: str, known: tuple[str, ...]) -> tuple[list[float], str]:
    """Take the further weights out of what stands behind the particles."""
    found = FURTHER.search(text)
    if not found:
        return [], text
    if found[1] == "rwgt":
        pairs = WGT.findall(found[2])
        which, words = [name for name, _ in pairs], [word for _, word in pairs]
        if "&" in found[2]:
            which = [saxutils.unescape(name, QUOTES) for name in which]
    else:
        words = found[2].split()
        which = list(known[: len(words)])
    values = _numbers(path, line, words)
    if tuple(which) != known:
        lost = sorted(set(which) - set(known)) or words[len(which) :]
        if lost:
            raise BadFile(f"{path}, line {line}: weights {lost[:5]} that <initrwgt> does not name")
        given = dict(zip(which, values))
        values = [given.get(name, np.nan) for name in known]
    return values, text[: found.start()] + text[found.end() :]
