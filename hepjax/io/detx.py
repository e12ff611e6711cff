"""KM3NeT's detectors as text: detx files of versions 1 to 5.

After comments come number and version, from version 2 on two lines of validity and place, the
number of modules, and of each module a line with its number, string, floor and, last, the number of
photomultipliers, with a line each: number, x, y, z (m), direction, delay (ns). `read` reads a file,
`parse` a text; a module stands at the mean of its photomultipliers. `delays` are what is added to
the times of raw hits, by module and channel, which counts the photomultipliers of a module.

>>> telescope = parse("1 1\\n7 1 2 1\\n 1 0.5 0.0 10.0 0 0 1 20.5\\n")
>>> telescope.modules.position.tolist(), delays(telescope, np.array([7]), np.array([0])).tolist()
([[0.5, 0.0, 10.0]], [20.5])
"""

import os
from typing import NamedTuple

import numpy as np

from hepjax.io import pulses, text
from hepjax.io.pulses import Modules
from hepjax.io.trees import BadFile


class Telescope(NamedTuple):
    """A detector as its detx file has it."""

    modules: Modules
    delay: np.ndarray  # [module, channel] ns to add to the time of a raw hit, NaN for no channel


def read(path: str | os.PathLike[str]) -> Telescope:
    """Read a detx file; raises BadFile, a ValueError that names file and line."""
    return parse(text.read(path), source=str(path))


def parse(content: str, *, source: str = "detector") -> Telescope:
    """Read the text of a detx file; raises BadFile that names source and line."""
    lines = [line.split() for line in content.splitlines()]
    lines = [words for words in lines if words and words[0][0] != "#"]
    at = 0
    number, position, string, delay = [], [], [], []
    try:
        if lines[0][1][0].lower() == "v":
            at = 3
            n = int(lines[at][0])
        else:
            n = int(lines[0][1])
        at += 1
        for _ in range(n):
            head, count = lines[at], int(lines[at][-1])
            rows = lines[at + 1 : at + 1 + count]
            tubes = np.array([[float(x) for x in row[1:8]] for row in rows]).reshape(-1, 7)
            if len(tubes) < count:
                raise ValueError(f"{len(tubes)} of {count} photomultipliers")
            if count:
                number.append(int(head[0]))
                string.append(int(head[1]))
                position.append(tubes[:, :3].mean(0))
                delay.append(tubes[:, 6])
            at += 1 + count
    except (IndexError, ValueError) as error:
        where = " ".join(lines[at]) if at < len(lines) else "the end"
        raise BadFile(f"{source}: {error}, at {where!r}; expected a detx file") from error
    if len(set(number)) < len(number) or not np.isfinite(position).all():
        raise BadFile(f"{source}: expected each module once, at a finite place")
    padded = np.full((len(delay), max(map(len, delay), default=0)), np.nan)
    for row, values in zip(padded, delay):
        row[: len(values)] = values
    place = np.reshape(position, (-1, 3))
    modules = Modules(np.array(number, np.int64), place, np.array(string, np.int64))
    return Telescope(modules, padded)


def delays(telescope: Telescope, module: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Delays [hit], ns, of hits by the number of their module and their channel [hit].

    NaN where the module has no such channel, 0 where there is no such module at all.
    """
    row, known = pulses.place(telescope.modules.number, module)
    inside = known & (channel >= 0) & (channel < telescope.delay.shape[1])
    found = np.where(known, np.nan, 0.0)
    found[inside] = telescope.delay[row[inside], channel[inside]]
    return found
