"""From one training to the next: parameters that fit are taken over, and learn at their own pace.

A network that was trained on many jets of many classes is a good start for few jets of two: its
last layer is new, the rest is taken over and moves slowly or not at all. `graft` takes from found
parameters what fits into a template and reports what did not; `paced` gives groups of parameters,
named by patterns of their paths, their own factor on the learning rate, 0 to freeze them.

>>> import jax.numpy as jnp
>>> template = {"body": jnp.zeros(2), "head": jnp.zeros(3)}
>>> params, report = graft(template, {"body": jnp.ones(2), "head": jnp.ones(10)})
>>> params["body"].tolist(), report.reshaped
([1.0, 1.0], (('head', (10,), (3,)),))
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Report(NamedTuple):
    """What became of parameters, by their paths ("block_0/attention/qkv_kernel").

    taken: from what was found; new: in the template only; unused: found only; reshaped: in both
    with other shapes, (path, found, expected), which stay new.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple, tuple], ...]

    def __str__(self) -> str:
        """Say it in a few lines for people."""
        lines = [f"{len(self.taken)} parameters taken over"]
        for name, paths in (("new", self.new), ("found but not used", self.unused)):
            if paths:
                lines.append(f"{len(paths)} {name}: {', '.join(paths)}")
        lines += [f"{path}: found {a}, expected {b}: new" for path, a, b in self.reshaped]
        return "\n".join(lines)


def graft(template: Any, found: Any, *, skip: str | None = None) -> tuple[Any, Report]:
    """Take over the leaves of `found` that `template` has with the same shape.

    template, found: pytrees of arrays; skip: a regular expression of paths that shall be new even
    if they fit (a head to be replaced). Returns a pytree like template, in its dtypes, and the
    Report. Raises ValueError if nothing at all fits.
    """
    old = dict(_paths(found))
    taken, new, reshaped = [], [], []

    def choose(path: str, leaf: Any) -> Any:
        if path not in old or (skip is not None and re.search(skip, path)):
            new.append(path)
            return leaf
        if jnp.shape(old[path]) != jnp.shape(leaf):
            reshaped.append((path, jnp.shape(old[path]), jnp.shape(leaf)))
            return leaf
        taken.append(path)
        return jnp.asarray(old[path], leaf.dtype)

    filled = [choose(path, leaf) for path, leaf in _paths(template)]
    unused = sorted(set(old) - set(taken) - {path for path, *_ in reshaped})
    if not taken:
        raise ValueError(
            f"found: none of its {len(old)} parameters fits into the template, whose first is "
            f"{(new or [r[0] for r in reshaped])[0]!r}"
        )
    report = Report(tuple(taken), tuple(new), tuple(unused), tuple(reshaped))
    return jax.tree.unflatten(jax.tree.structure(template), filled), report


def paced(
    optimiser: optax.GradientTransformation, factors: Mapping[str, float]
) -> optax.GradientTransformation:
    """Scale the updates of an optimiser by groups of parameters.

    factors: regular expression of paths -> factor, the first one that is found in a path counts, 1
    where none is; weight decay is scaled as well, so that a factor of 0 freezes. Raises ValueError
    at init for an expression that names no parameter.
    """

    def factor(path: str) -> float:
        return next((f for pattern, f in factors.items() if re.search(pattern, path)), 1.0)

    def init(params: Any) -> optax.EmptyState:
        paths = [path for path, _ in _paths(params)]
        idle = [p for p in factors if not any(re.search(p, path) for path in paths)]
        if idle:
            raise ValueError(f"factors: {idle} name no parameter; there are {paths[:6]} ...")
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        scaled = [x * factor(path) for path, x in _paths(updates)]
        return jax.tree.unflatten(jax.tree.structure(updates), scaled), state

    return optax.chain(optimiser, optax.GradientTransformation(init, update))


def _paths(tree: Any) -> list[tuple[str, Any]]:
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [("/".join(_name(key) for key in path), leaf) for path, leaf in found]


def _name(key: Any) -> str:
    for field in ("key", "name", "idx"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)
