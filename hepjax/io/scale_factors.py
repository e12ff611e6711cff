"""Scale factors of a tagger, in and out of the JSON files of correctionlib.

A tagger's efficiency in data is not that of simulation; analyses multiply simulated jets by the
ratio, measured in bins of pT and abs(eta) for each working point and flavour, with an uncertainty
up and down. `Table` holds it, `write` and `read` keep it in the schema that experiments share
(version 2), with the inputs systematic ("central", "up", "down"), working_point, flavor, abseta and
pt in this order. `look_up` gives the factors of jets; `weight` the weight of a jet that passed the
cut or did not.

>>> one = np.ones((1, 1, 1, 1))
>>> table = Table("b", ("M",), (5,), np.array([20.0, 100]), np.array([0, 2.5]), one, one + 0.1, one)
>>> look_up(table, "M", np.array([5]), np.array([50.0]), np.array([1.0]), "up").tolist()
[1.1]
"""

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

Systematic = Literal["central", "up", "down"]
UNREADABLE = (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError)
UNREADABLE += (RecursionError,)
"""What files that are packed or built otherwise raise."""
INPUTS = ("systematic", "working_point", "flavor", "abseta", "pt")


class Table(NamedTuple):
    """Scale factors of one tagger.

    name: of the correction; working_points, flavours: names and integers (PDG: 5 b, 4 c, 0 light,
    15 tau); pt_edges, eta_edges: of bins, GeV and abs(eta); central, up, down: [working point,
    flavour, pt, eta], up and down shifted by one standard deviation.
    """

    name: str
    working_points: tuple[str, ...]
    flavours: tuple[int, ...]
    pt_edges: np.ndarray
    eta_edges: np.ndarray
    central: np.ndarray
    up: np.ndarray
    down: np.ndarray


def check(table: Table) -> None:
    """Raise ValueError for a table whose shapes or numbers cannot be right."""
    for name in ("pt_edges", "eta_edges"):
        edges = getattr(table, name)
        if len(edges) < 2 or np.any(np.diff(edges) <= 0):
            raise ValueError(f"{table.name}: {name}: expected two or more rising numbers")
    shape = (len(table.working_points), len(table.flavours))
    shape += (len(table.pt_edges) - 1, len(table.eta_edges) - 1)
    for name in ("central", "up", "down"):
        values = np.asarray(getattr(table, name))
        if values.shape != shape or not np.isfinite(values).all() or np.any(values < 0):
            raise ValueError(
                f"{table.name}: {name}: expected finite numbers of at least 0 of shape {shape}, "
                f"found {values.shape}"
            )


def look_up(
    table: Table,
    working_point: str,
    flavour: np.ndarray,
    pt: np.ndarray,
    eta: np.ndarray,
    systematic: Systematic = "central",
    *,
    outside: Literal["clamp", "error"] = "clamp",
) -> np.ndarray:
    """Give the scale factors of jets [jet]; flavour, pt (GeV), eta: [jet].

    Outside of the bins the nearest one counts, and its uncertainty is twice as large, as
    experiments recommend; or it is an error. Raises ValueError for a name that the table has not.
    """
    if working_point not in table.working_points:
        raise ValueError(f"working_point: found {working_point!r}, one of {table.working_points}")
    if systematic not in ("central", "up", "down"):
        raise ValueError(f"systematic: found {systematic!r}, expected central, up or down")
    unknown = sorted(set(np.unique(flavour).tolist()) - set(table.flavours))
    if unknown:
        raise ValueError(f"flavour: found {unknown}, expected some of {table.flavours}")
    k = np.searchsorted(np.sort(table.flavours), flavour)
    k = np.argsort(table.flavours)[k]
    x, y = np.asarray(pt, float), np.abs(np.asarray(eta, float))
    beyond = np.zeros(len(x), bool)
    index = []
    for name, edges, value in (("pt", table.pt_edges, x), ("eta", table.eta_edges, y)):
        place = np.searchsorted(edges, value, side="right") - 1
        place = np.where(value == edges[-1], len(edges) - 2, place)
        out = (place < 0) | (place > len(edges) - 2)
        if outside == "error" and out.any():
            raise ValueError(f"{name}: {value[out][0]} is outside of {edges[0]} to {edges[-1]}")
        beyond |= out
        index.append(np.clip(place, 0, len(edges) - 2))
    where = (table.working_points.index(working_point), k, *index)
    central = table.central[where]
    shifted = getattr(table, systematic)[where]
    return np.where(beyond, central + 2 * (shifted - central), shifted)


def weight(factor: np.ndarray, efficiency: np.ndarray, passed: np.ndarray) -> np.ndarray:
    """Weigh simulated jets [jet] so that they pass as often as those of data.

    factor: scale factors; efficiency: of simulation, 0 to 1; passed: [jet] bool. A jet that passed
    counts factor, one that did not (1 - factor efficiency) / (1 - efficiency), so that the number
    of jets stays.
    """
    efficiency = np.asarray(efficiency, float)
    if np.any((efficiency < 0) | (efficiency >= 1)):
        raise ValueError("efficiency: expected numbers from 0 to below 1")
    failed = (1 - factor * efficiency) / (1 - efficiency)
    return np.where(passed, factor, np.maximum(failed, 0))


def write(path: str | os.PathLike[str], *tables: Table, description: str = "") -> None:
    """Write tables to a JSON file of correctionlib (.json or .json.gz)."""
    from correctionlib import schemav2

    corrections = []
    for table in tables:
        check(table)
        corrections.append(
            schemav2.Correction(
                name=table.name,
                version=1,
                description=description or "scale factors of a jet tagger",
                inputs=[
                    schemav2.Variable(name=name, type=kind)
                    for name, kind in zip(INPUTS, ("string", "string", "int", "real", "real"))
                ],
                output=schemav2.Variable(name="weight", type="real"),
                data=_category("systematic", _by_systematic(table)),
            )
        )
    found = schemav2.CorrectionSet(schema_version=2, corrections=corrections)
    text = found.model_dump_json(exclude_unset=True).encode()
    path = Path(path)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def read(path: str | os.PathLike[str], name: str) -> Table:
    """Read a table that `write` made, or another one of the same structure.

    Raises ValueError that names the file and what differs; any other correction is for
    correctionlib itself to evaluate.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        (found,) = (c for c in content["corrections"] if c["name"] == name)
        inputs = tuple(x["name"] for x in found["inputs"])
        if inputs != INPUTS:
            raise ValueError(f"inputs {inputs}, expected {INPUTS}")
        systematics = _items(found["data"], "systematic")
        parts = {kind: _grid(systematics[kind]) for kind in ("central", "up", "down")}
    except UNREADABLE as error:
        raise ValueError(f"{path}: correction {name!r} is no table: {error}") from error
    labels, _ = parts["central"]
    for kind, (other, _) in parts.items():
        if any(not np.array_equal(a, b) for a, b in zip(labels, other)):
            raise ValueError(f"{path}: {name}: {kind} has other bins than central")
    table = Table(name, *labels, *(values for _, values in parts.values()))
    check(table)
    return table


def _by_systematic(table: Table) -> dict[str, Any]:
    def by_flavour(values: np.ndarray) -> dict[int, Any]:
        return {f: _binned(table, v) for f, v in zip(table.flavours, values)}

    return {
        kind: _category(
            "working_point",
            {
                point: _category("flavor", by_flavour(values))
                for point, values in zip(table.working_points, getattr(table, kind))
            },
        )
        for kind in ("central", "up", "down")
    }


def _category(name: str, items: dict[Any, Any]) -> Any:
    from correctionlib import schemav2

    content = [schemav2.CategoryItem(key=key, value=value) for key, value in items.items()]
    return schemav2.Category(nodetype="category", input=name, content=content)


def _binned(table: Table, values: np.ndarray) -> Any:
    """Bins of abseta, then pt, flattened as the schema wants it; clamped outside."""
    from correctionlib import schemav2

    return schemav2.MultiBinning(
        nodetype="multibinning",
        inputs=["abseta", "pt"],
        edges=[table.eta_edges.tolist(), table.pt_edges.tolist()],
        content=np.asarray(values, float).T.ravel().tolist(),
        flow="clamp",
    )


def _items(node: dict[str, Any], name: str) -> dict[Any, Any]:
    if node["nodetype"] != "category" or node["input"] != name:
        raise ValueError(
            f"{node['nodetype']} of {node.get('input')}, expected a category of {name}"
        )
    return {item["key"]: item["value"] for item in node["content"]}


def _grid(node: dict[str, Any]) -> tuple[tuple, np.ndarray]:
    """Labels and edges, and values [working point, flavour, pt, eta], of one systematic."""
    points = {k: _items(v, "flavor") for k, v in _items(node, "working_point").items()}
    flavours = tuple(next(iter(points.values())))
    bins = [[points[p][f] for f in flavours] for p in points]
    first = bins[0][0]
    if first["nodetype"] != "multibinning" or first["inputs"] != ["abseta", "pt"]:
        raise ValueError("expected a multibinning of abseta and pt")
    if any(b["edges"] != first["edges"] for row in bins for b in row):
        raise ValueError("bins differ between working points or flavours")
    eta, pt = (np.asarray(e, float) for e in first["edges"])
    shape = (len(eta) - 1, len(pt) - 1)
    values = np.array([[np.reshape(b["content"], shape).T for b in row] for row in bins], float)
    return (tuple(points), flavours, pt, eta), values
