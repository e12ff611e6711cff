"""Dumps of matrix elements: phase-space points, and |M|^2 that another generator has there.

Text, as the tests of MadGraph's GPU programs write it: for each point lines of a number and (E, px,
py, pz), GeV, one a leg, incoming legs first, and a line "ME" with the value, averaged and summed
over spins and colours; other lines do not count.

>>> import tempfile
>>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
...     _ = file.write("0 5 0 0 5\\n1 5 0 0 -5\\n2 5 3 0 4\\n3 5 -3 0 -4\\nME 0.25\\n")
...     file.flush()
...     read(file.name).momenta.shape
(1, 4, 4)
"""

import os
from typing import NamedTuple

import numpy as np

from hepjax.io import text
from hepjax.io.trees import BadFile


class Dump(NamedTuple):
    """momenta: [point, leg, 4] GeV; value: [point] |M|^2, GeV^(8 - 2 legs)."""

    momenta: np.ndarray
    value: np.ndarray


def read(path: str | os.PathLike[str]) -> Dump:
    """Read a dump.

    Raises BadFile, a ValueError, for a file without points, for points of different numbers of
    legs, legs that are out of order, and what is no finite number.
    """
    points: list[list[list[float]]] = [[]]
    values: list[float] = []
    for k, line in enumerate(text.read(path).splitlines(), 1):
        words = line.split()
        try:
            if len(words) == 5 and words[0].isdigit():
                if int(words[0]) != len(points[-1]):
                    raise BadFile(f"{path}: line {k}: leg {words[0]}, expected {len(points[-1])}")
                points[-1].append([float(x) for x in words[1:]])
            elif words and words[0] == "ME":
                values.append(float(words[1]))
                points.append([])
        except (ValueError, IndexError) as error:
            if isinstance(error, BadFile):
                raise
            raise BadFile(f"{path}: line {k}: {line.strip()!r} is no momentum or value") from error
    n_legs = {len(legs) for legs in points[:-1]}
    if not values or points[-1] or len(n_legs) != 1:
        raise BadFile(f"{path}: {len(values)} points of {sorted(n_legs)} legs, expected some alike")
    found = Dump(np.array(points[:-1]), np.array(values))
    if not all(np.isfinite(x).all() for x in found):
        raise BadFile(f"{path}: expected finite numbers")
    return found
