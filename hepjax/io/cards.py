"""What a data card of weaver says: inputs with their scaling, labels, observers, weights.

A card is a YAML file. `load` and `parse` turn it into a `Card`, a record of plain values, and name
the section and key of whatever is wrong with it. `io.weaver` reads files by a card.

>>> card = parse("inputs: {pf: {length: 4, vars: [[part_pt, 1.7, 0.7], part_eta]}}\\nlabels: "
...              "{type: simple, value: [label_QCD, label_Tbqq]}")
>>> card.inputs[0].variables[0]
Variable(name='part_pt', subtract=1.7, multiply=0.7, clip_min=-5.0, clip_max=5.0, pad=0.0)
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from hepjax import balance
from hepjax.io import text


class Variable(NamedTuple):
    """One input and its scaling; subtract None: no scaling, "auto": to be found by `auto`."""

    name: str
    subtract: float | Literal["auto"] | None
    multiply: float = 1.0
    clip_min: float = -5.0
    clip_max: float = 5.0
    pad: float = 0.0


class Input(NamedTuple):
    """A group of inputs that are padded together to `length` items."""

    name: str
    length: int
    pad_mode: Literal["constant", "wrap"]
    variables: tuple[Variable, ...]


class Weights(NamedTuple):
    """How events are weighted: by the product of branches, or by the histograms of classes."""

    branches: tuple[str, ...]
    method: balance.Method
    variables: dict[str, np.ndarray]
    classes: tuple[str, ...]
    class_weights: tuple[float, ...] | None
    percentile: float
    clip: bool
    base: str | None


class Card(NamedTuple):
    """A data card. labels: names of one-hot branches, or name -> expression."""

    selection: str | None
    new_variables: dict[str, str]
    inputs: tuple[Input, ...]
    labels: tuple[str, ...] | dict[str, str]
    observers: tuple[str, ...]
    weights: Weights | None
    tree: str | None


SECTIONS = (
    *("selection", "test_time_selection", "new_variables", "preprocess", "inputs", "labels"),
    *("observers", "monitor_variables", "weights", "treename"),
)


LARGEST = 100_000
"""Entries of a card."""


def load(path: str | os.PathLike[str]) -> Card:
    """Read the card of a file; raises ValueError that names file, section and key."""
    content = text.read(path)
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse(content: str) -> Card:
    """Read a card from its text; raises ValueError that names section and key."""
    import yaml

    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"no YAML: {error}") from error
    if _size(found) > LARGEST:
        raise ValueError(f"more than {LARGEST} entries, aliases written out")
    try:
        return _card(found)
    except (AttributeError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"another structure than a card's: {error}") from error


def _size(found: Any, depth: int = 0) -> int:
    """Count entries, up to LARGEST; what is nested deeper than a card can be counts as that."""
    if depth > 20:
        return LARGEST + 1
    inside = [*found, *found.values()] if isinstance(found, dict) else found
    size = 1
    for x in inside if isinstance(inside, list | tuple) else ():
        size += _size(x, depth + 1)
        if size > LARGEST:
            break
    return size


def _card(found: Any) -> Card:
    if not isinstance(found, dict):
        raise ValueError(f"expected sections, found {type(found).__name__}")
    unknown = sorted(set(found) - set(SECTIONS))
    if unknown:
        raise ValueError(f"sections {unknown}, expected only {SECTIONS}")
    content = {name: found.get(name) or {} for name in SECTIONS}
    for name in ("preprocess", "new_variables", "inputs", "labels", "weights"):
        if not isinstance(content[name], dict):
            raise ValueError(f"{name}: expected a map, found {type(content[name]).__name__}")
    if not content["inputs"] or not content["labels"]:
        raise ValueError("sections inputs and labels are needed")
    method = str(content["preprocess"].get("method", "manual")).lower()
    params = content["preprocess"].get("params") or {}
    new = {str(k): str(v) for k, v in content["new_variables"].items() if str(k) != str(v)}
    return Card(
        selection=str(content["selection"]) if content["selection"] else None,
        new_variables=new,
        inputs=tuple(
            _input(name, group, method.startswith("auto"), params)
            for name, group in content["inputs"].items()
        ),
        labels=_labels(content["labels"]),
        observers=tuple(content["observers"] or content["monitor_variables"] or ()),
        weights=_weights(content["weights"]),
        tree=found.get("treename"),
    )


def _input(name: str, group: Mapping[str, Any], automatic: bool, params: Mapping) -> Input:
    where = f"inputs: {name}"
    if not isinstance(group, Mapping) or "vars" not in group or "length" not in group:
        raise ValueError(f"{where}: expected length and vars")
    mode = str(group.get("pad_mode", "constant")).lower()
    if mode not in ("constant", "wrap"):
        raise ValueError(f"{where}: pad_mode {mode!r}, expected constant or wrap")
    if name.endswith("_mask") and mode != "constant":
        raise ValueError(f"{where}: pad_mode of a mask is constant, found {mode}")
    variables = []
    for entry in group["vars"]:
        entry = list(entry) if isinstance(entry, list | tuple) else [entry]
        if not 1 <= len(entry) <= 6 or not isinstance(entry[0], str):
            raise ValueError(f"{where}: {entry}, expected a name and up to five numbers")
        given = entry[1:] or (["auto"] if automatic else [None])
        if entry[0] in params:
            kept = params[entry[0]]
            given = [kept[k] for k in ("center", "scale", "min", "max", "pad_value")]
        rest = [float(x) for x in given[1:]]
        first = given[0] if given[0] in (None, "auto") else float(given[0])
        variables.append(Variable(entry[0], first, *rest))
    return Input(name, int(group["length"]), mode, tuple(variables))


def _labels(section: Mapping[str, Any]) -> tuple[str, ...] | dict[str, str]:
    kind, value = section.get("type"), section.get("value")
    if kind == "simple" and isinstance(value, list) and value:
        return tuple(map(str, value))
    if kind == "custom" and isinstance(value, dict) and value:
        return {str(k): str(v) for k, v in value.items()}
    raise ValueError(
        f"labels: type {kind!r} with value {value!r}, expected simple and a list, or "
        "custom and a map"
    )


def _weights(section: Mapping[str, Any]) -> Weights | None:
    if not section:
        return None
    if section.get("use_precomputed_weights"):
        branches = tuple(section.get("weight_branches") or ())
        return Weights(branches, "flat", {}, (), None, 0.0, False, None)
    methods: dict[Any, balance.Method] = {"flat": "flat", "ref": "reference"}
    if section.get("reweight_method") not in methods:
        raise ValueError(
            f"weights: reweight_method {section.get('reweight_method')!r}, expected flat or ref"
        )
    missing = [k for k in ("reweight_vars", "reweight_classes") if not section.get(k)]
    if missing:
        raise ValueError(f"weights: {missing} missing")
    given = section.get("class_weights")
    return Weights(
        (),
        methods[section["reweight_method"]],
        {str(k): np.asarray(v, float) for k, v in section["reweight_vars"].items()},
        tuple(section["reweight_classes"]),
        None if given is None else tuple(map(float, given)),
        float(section.get("reweight_threshold", 10)),
        not section.get("reweight_discard_under_overflow", True),
        section.get("reweight_basewgt"),
    )
