"""Samples as a data card of weaver wants them, without weaver.

`load` (of io.cards) reads a card as it stands; `auto` fills in the scalings that it leaves to the
data, `read` makes a sample of files by it, and `pad` fills one input group of a batch. Expressions
are computed by `io.expressions`, never by eval; weights by histograms are those of
`hepjax.balance`.

A scaled input is (x - subtract) * multiply, clipped, and 0 where it is no number; without
`subtract` (null) it is left as it is, unclipped too, as weaver does.

>>> group = Input("pf", 4, "wrap", (Variable("x", None),))
>>> values = batch.Ragged(np.array([[1.0], [2.0], [3.0]]), np.array([0, 2, 3]))
>>> pad(group, values, np.array([0, 1]))[0][..., 0].tolist()
[[1.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax import balance, batch
from hepjax.io import expressions, trees
from hepjax.io.cards import Card, Input, Variable, Weights, load, parse

__all__ = ["Card", "Sample", "auto", "branches", "load", "pad", "parse", "read"]


class Sample(NamedTuple):
    """Events as a card wants them.

    inputs: group -> Ragged of scaled values [item, variable] float32; labels: name -> [event], of
    one-hot branches the class index as "label"; observers: name -> [event]; weight: [event];
    balance: of the histograms that gave it, None without.
    """

    inputs: dict[str, batch.Ragged]
    labels: dict[str, np.ndarray]
    observers: dict[str, np.ndarray]
    weight: np.ndarray
    balance: balance.Balance | None


class _Table(dict):
    """Columns of some events, new variables computed when they are asked for."""

    def __init__(self, columns: Mapping[str, Any], formulas: Mapping[str, str]):
        super().__init__(columns)
        self.formulas, self.open = formulas, []

    def __missing__(self, name: str) -> Any:
        if name not in self.formulas:
            raise ValueError(f"there is no branch and no new variable {name!r}")
        if name in self.open:
            raise ValueError(f"new_variables: {' -> '.join([*self.open, name])} is a circle")
        self.open.append(name)
        self[name] = self.compute(self.formulas[name])
        self.open.pop()
        return self[name]

    def compute(self, expression: str) -> Any:
        needed = {name: self[name] for name in expressions.names(expression)}
        return expressions.compute(expression, needed)


def branches(card: Card, available: Sequence[str]) -> list[str]:
    """List the branches of a file that a card needs; raises ValueError for one that is missing."""
    wanted = {v.name for group in card.inputs for v in group.variables}
    wanted |= set(card.labels if isinstance(card.labels, tuple) else card.labels.values())
    wanted |= set(card.observers) | ({card.selection} if card.selection else set())
    if card.weights is not None:
        w = card.weights
        wanted |= {*w.branches, *w.variables, *w.classes, *([w.base] if w.base else [])}
    needed: set[str] = set()
    seen: set[str] = set()
    while wanted:
        expression = wanted.pop()
        if expression in seen:
            continue
        seen.add(expression)
        for name in expressions.names(expression):
            if name in available:
                needed.add(name)
            elif name in card.new_variables:
                wanted.add(card.new_variables[name])
            else:
                raise ValueError(f"there is no branch and no new variable {name!r}")
    return sorted(needed)


def read(card: Card, files: trees.Files, *, skip_bad: bool = False) -> Sample:
    """Read the events of files that pass the selection.

    Raises BadFile for files, ValueError for a variable or expression of the card that does not fit
    to them, a scaling that is still "auto", and events without exactly one of the simple labels.
    """
    unknown = [v.name for g in card.inputs for v in g.variables if v.subtract == "auto"]
    if unknown:
        raise ValueError(f"the scaling of {unknown} is automatic: use auto(card, files) first")
    tables, _ = trees.each_file(
        trees.expand(files), lambda path: _read(card, path), skip_bad=skip_bad
    )
    parts = [_sample(card, table, n) for _, (table, n) in tables]
    joined = {name: batch.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    labels, observers, extra = (
        {k: np.concatenate([part[i][k] for part in parts]) for k in parts[0][i]} for i in (1, 2, 3)
    )
    weight, found = _weigh(card.weights, extra, len(next(iter(labels.values()))))
    return Sample(joined, labels, observers, weight, found)


def auto(card: Card, files: trees.Files) -> Card:
    """Fill in the scalings that a card leaves to the data: the median, and one over the larger
    distance from it to the quantiles of one standard deviation.
    """
    tables, _ = trees.each_file(trees.expand(files), lambda path: _read(card, path), skip_bad=False)

    def filled(variable: Variable) -> Variable:
        if variable.subtract != "auto":
            return variable
        values = np.concatenate([_flat(table[variable.name])[0] for _, (table, _) in tables])
        low, centre, high = np.percentile(values[np.isfinite(values)], (16, 50, 84))
        width = max(high - centre, centre - low)
        multiply = 1 / width if width > 0 else 1.0
        return variable._replace(subtract=float(centre), multiply=float(multiply))

    groups = (g._replace(variables=tuple(map(filled, g.variables))) for g in card.inputs)
    return card._replace(inputs=tuple(groups))


def pad(group: Input, values: batch.Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill a batch of one input group: [event, length, variable], and the mask [event, length].

    rows: [event], -1 for padding; padded items hold the variables' pad values, or, with pad_mode
    wrap, the event's items again from the first.
    """
    filled, mask = batch.pad(values, rows, group.length)
    if group.pad_mode == "constant":
        pads = np.array([v.pad for v in group.variables], np.float32)
        return np.where(mask[..., None], filled, pads), mask
    count = np.maximum(mask.sum(1, keepdims=True), 1)
    index = np.arange(group.length) % count
    return np.take_along_axis(filled, index[..., None], 1), mask


def _read(card: Card, path: Path) -> tuple[_Table, int]:
    """The columns of one file that a card needs, for the events that pass its selection."""
    with trees.opened(path, card.tree) as table:
        try:
            names = branches(card, trees.branch_names(table))
        except ValueError as error:
            raise trees.BadFile(f"{path}: {error}") from error
        found = trees.read_branches(path, table, names)
    columns = {name: _wrapped(b) for name, b in found.items()}
    n = len(next(iter(columns.values())))
    made = _Table(columns, card.new_variables)
    if card.selection is None:
        return made, n
    kept = np.asarray(made.compute(card.selection)).astype(bool)
    if kept.shape != (n,):
        raise ValueError(f"selection {card.selection!r} gives {kept.shape}, expected one a jet")
    return _Table({k: v[kept] for k, v in columns.items()}, card.new_variables), int(kept.sum())


def _wrapped(branch: trees.Branch) -> Any:
    """A branch as expressions take it: numpy, or awkward where there is a list a jet."""
    if branch.offsets is None:
        return branch.values
    import awkward as ak

    values: Any = branch.values
    content = ak.contents.NumpyArray(values)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(branch.offsets), content))


def _sample(card: Card, table: _Table, n: int) -> tuple[dict, dict, dict, dict]:
    inputs = {group.name: _group(group, table) for group in card.inputs}
    if isinstance(card.labels, tuple):
        one_hot = np.stack([_flat(table[name])[0] for name in card.labels], -1)
        wrong = np.flatnonzero(one_hot.sum(1) != 1)
        if len(wrong):
            raise ValueError(
                f"event {wrong[0]} (of {len(wrong)} such) has {one_hot[wrong[0]].sum()}"
                f" of the labels {card.labels}, expected 1"
            )
        labels = {"label": one_hot.argmax(1).astype(np.int32)}
    else:
        labels = {k: np.asarray(table.compute(v)) for k, v in card.labels.items()}
    observers = {name: np.asarray(table[name]) for name in card.observers}
    extra: dict[str, np.ndarray] = {}
    if card.weights is not None:
        w = card.weights
        used = {*w.branches, *w.variables, *w.classes}
        extra = {name: np.asarray(table[name], np.float64) for name in used}
        extra["_base"] = np.asarray(table.compute(w.base)) if w.base else np.ones(n)
    return inputs, labels, observers, extra


def _flat(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values [item] and offsets [event + 1] of a column; one item an event if it is flat."""
    if isinstance(column, np.ndarray):
        return column, np.arange(len(column) + 1)
    import awkward as ak

    count = ak.to_numpy(ak.num(column))
    return ak.to_numpy(ak.flatten(column)), np.concatenate([[0], np.cumsum(count)])


def _group(group: Input, table: _Table) -> batch.Ragged:
    columns = [_flat(table[v.name]) for v in group.variables]
    offsets = columns[0][1]
    for variable, (_, found) in zip(group.variables, columns):
        if not np.array_equal(found, offsets):
            raise ValueError(
                f"inputs: {group.name}: {variable.name} has other lengths than "
                f"{group.variables[0].name}"
            )
    scaled = [_scaled(v, values) for v, (values, _) in zip(group.variables, columns)]
    return batch.Ragged(np.stack(scaled, -1), offsets.astype(np.int64))


def _scaled(variable: Variable, values: np.ndarray) -> np.ndarray:
    x = values.astype(np.float32)
    if variable.subtract is not None:
        x = (x - np.float32(variable.subtract)) * np.float32(variable.multiply)
        x = np.clip(x, variable.clip_min, variable.clip_max)
    return np.where(np.isnan(x), np.float32(0), x)


def _weigh(
    how: Weights | None, columns: Mapping[str, np.ndarray], n: int
) -> tuple[np.ndarray, balance.Balance | None]:
    if how is None:
        return np.ones(n, np.float32), None
    if how.branches:
        product = np.prod([columns[name] for name in how.branches], axis=0)
        return product.astype(np.float32), None
    one_hot = np.stack([columns[name] == 1 for name in how.classes], -1)
    label = np.where(one_hot.any(1), one_hot.argmax(1), -1)
    x = np.stack([columns[name] for name in how.variables], -1)
    found = balance.fill(
        x,
        label,
        list(how.variables.values()),
        method=how.method,
        percentile=how.percentile,
        class_weights=how.class_weights,
        weight=columns["_base"],
        clip=how.clip,
    )
    weight = columns["_base"] * balance.weights(found, x, label, clip=how.clip)
    return weight.astype(np.float32), found
