"""A function in the words that other programs know: jax's primitives, none inside another.

What is traced of a network holds calls within calls, derivatives that nobody asks for, and a few
operations that a converter does not know, or not for an unknown number of events. `flatten` traces
a function once and gives it back as one list of primitives: calls are unfolded, padding is written
as a concatenation, and numbers that are cut to their leading bits, which `lorentz.mass_squared`
does on their integer form, are cut by arithmetic alone (Veltkamp's splitting, Dekker, Numer. Math.
18 (1971) 224), to the same bits.

>>> import jax.numpy as jnp
>>> shapes = {"x": jax.ShapeDtypeStruct((2, 3), jnp.float32)}
>>> plain = flatten(lambda inputs: {"y": jnp.pad(inputs["x"], 1)}, shapes)
>>> plain.outputs, plain.call(jnp.ones((2, 3)))[0].shape
(('y',), (4, 5))
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that call a function, and their parameter that holds it."""


class Plain(NamedTuple):
    """A function of arrays, in the order of its inputs, to a tuple of arrays, named `outputs`."""

    call: Callable[..., tuple[Any, ...]]
    outputs: tuple[str, ...]


class Bits(NamedTuple):
    """The integer form of float32 numbers, of which only leading bits are ever asked for."""

    numbers: Any


def flatten(
    function: Callable[[dict[str, Any]], Mapping[str, Any]],
    shapes: Mapping[str, jax.ShapeDtypeStruct],
) -> Plain:
    """Trace a function {name: array} -> {name: array} of inputs of these shapes, which may be
    symbolic.
    """
    names: list[str] = []

    def in_order(*arrays: Any) -> tuple[Any, ...]:
        out = function(dict(zip(shapes, arrays)))
        names[:] = out
        return tuple(out.values())

    closed = jax.make_jaxpr(in_order)(*shapes.values())
    return Plain(lambda *arrays: tuple(_replay(closed.jaxpr, closed.consts, arrays)), tuple(names))


def leading_bits(x: jax.Array) -> jax.Array:
    """Cut float32 numbers to their 12 leading bits, towards 0, by products and differences."""
    rounded = _rounded(x)
    return jax.lax.select(abs(rounded) > abs(x), _rounded(rounded * (1 - 2.0**-12)), rounded)


def _rounded(x: jax.Array) -> jax.Array:
    more = x * 4097.0  # 2^12 + 1
    return more - (more - x)


def _replay(jaxpr: Any, constants: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
    """Apply the primitives of a jaxpr one by one."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arrays]))

    def value(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else known[v]

    for equation in jaxpr.eqns:
        out = _apply(equation, [value(v) for v in equation.invars])
        known.update(zip(equation.outvars, out))
    return [value(v) for v in jaxpr.outvars]


def _apply(equation: Any, arrays: list[Any]) -> Sequence[Any]:
    name, params = equation.primitive.name, equation.params
    if name in CALLS:
        inner = params[CALLS[name]]
        return _replay(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), arrays)
    if name == "pad":
        return [_pad(arrays[0], arrays[1], params["padding_config"])]
    if name == "bitcast_convert_type" and params["new_dtype"] == np.int32:
        return [Bits(arrays[0])]
    if any(isinstance(x, Bits) for x in arrays):
        return [_of_bits(name, arrays)]
    out = equation.primitive.bind(*arrays, **params)
    return out if equation.primitive.multiple_results else [out]


def _of_bits(name: str, arrays: list[Any]) -> Any:
    """Follow the integer form through the cut to leading bits and back."""
    if name == "and" and np.all(np.asarray(arrays[1]) == ~0xFFF):
        return Bits(leading_bits(arrays[0].numbers))
    if name == "bitcast_convert_type":
        return arrays[0].numbers
    raise ValueError(f"{name} of the integer form of float32: expected its 12 leading bits only")


def _pad(x: Any, value: Any, config: Sequence[tuple[int, int, int]]) -> Any:
    for axis, (before, after, between) in enumerate(config):
        if between or before < 0 or after < 0:
            raise ValueError(f"pad: expected edges alone, found {(before, after, between)}")
        shapes = [tuple(n if k == axis else d for k, d in enumerate(x.shape)) for n in config[axis]]
        edges = [jax.lax.broadcast_in_dim(value, shape, ()) for shape in shapes[:2]]
        parts = [edge for edge, n in zip(edges, (before, after)) if n > 0]
        parts.insert(int(before > 0), x)
        x = jax.lax.concatenate(parts, axis) if len(parts) > 1 else x
    return x
