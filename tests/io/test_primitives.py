"""Functions as plain primitives: the same numbers, nothing nested, any number of events."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.io import primitives
from hepjax.nn import attention, edgeconv, mlp, norm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 8)).astype(np.float32)
MASK = np.arange(6) < np.array([6, 3, 1, 0])[:, None]
P4 = lorentz.from_px_py_pz_mass(*RNG.normal(size=(3, 4, 6)), np.full((4, 6), 0.14)).astype(
    np.float32
)
KERNEL = RNG.normal(size=(8, 8)).astype(np.float32)


def layers(inputs):
    x, mask = inputs["x"], inputs["mask"]
    heads = x.reshape(-1, 6, 2, 4)
    return {
        "dense": mlp.gelu(mlp.matmul(norm.standardise(x), KERNEL)),
        "attention": attention.attention(heads, heads, heads, mask),
        "softmax": jax.jit(jax.nn.softmax)(x),
    }


def graph(inputs):
    index, real = edgeconv.neighbours(inputs["x"], inputs["mask"], 7)
    return {"index": jnp.where(real, index, -1)}


FUNCTIONS = {
    "layers": (layers, {"x": X, "mask": MASK}),
    "graph": (graph, {"x": X, "mask": MASK}),
    "mass": (lambda i: {"m2": lorentz.mass_squared(i["p4"])}, {"p4": P4}),
}


def shapes(inputs, symbolic=True):
    (size,) = jax.export.symbolic_shape("event")
    return {
        name: jax.ShapeDtypeStruct((size if symbolic else len(x), *x.shape[1:]), x.dtype)
        for name, x in inputs.items()
    }


def used(jaxpr):
    return {equation.primitive.name for equation in jaxpr.eqns}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_numbers_stay(name):
    function, inputs = FUNCTIONS[name]
    plain = primitives.flatten(function, shapes(inputs, symbolic=False))
    found = dict(zip(plain.outputs, jax.jit(plain.call)(*inputs.values())))
    expected = jax.jit(function)(inputs)
    assert set(found) == set(expected)
    for key, x in expected.items():
        np.testing.assert_allclose(found[key], x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_nested_for_any_number_of_events(name):
    function, inputs = FUNCTIONS[name]
    wanted = shapes(inputs)
    before = used(jax.make_jaxpr(function)(wanted))
    plain = primitives.flatten(function, wanted)
    after = used(jax.make_jaxpr(plain.call)(*wanted.values()))
    assert before & (set(primitives.CALLS) | {"pad", "bitcast_convert_type"})
    assert not after & (set(primitives.CALLS) | {"pad", "bitcast_convert_type"})


def test_masses_keep_their_bits():
    """A mass of 140 MeV at an energy of TeV is a difference in the 24th bit."""
    fast = np.array([[1e3, 0, 0, 0], [0, 3e3, 1, 0], [1, 2, -5e3, 0]])
    p4 = lorentz.from_px_py_pz_mass(*fast[:, :3].T, np.full(3, 0.14)).astype(np.float32)
    function, wanted = FUNCTIONS["mass"][0], shapes({"p4": p4}, symbolic=False)
    (found,) = primitives.flatten(function, wanted).call(jnp.asarray(p4))
    np.testing.assert_array_equal(found, lorentz.mass_squared(jnp.asarray(p4)))


def test_leading_bits_are_those_of_the_integer_form():
    scale = 2.0 ** RNG.integers(-60, 60, 20_000)
    near = np.arange(1, 4097) / 4096 + 1  # ties of the rounding, and both sides of them
    x = np.concatenate([RNG.normal(size=20_000) * scale, near, -near, [0.0, 1.0, -4.0]])
    x = x.astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf))])
    expected = (x.view(np.int32) & ~0xFFF).view(np.float32)
    normal = (np.abs(x) > 1e-30) | (x == 0)
    np.testing.assert_array_equal(primitives.leading_bits(jnp.asarray(x))[normal], expected[normal])


def bits(x, operation):
    return operation(x.view(jnp.int32)).view(jnp.float32)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda i: {"y": bits(i["x"], lambda b: b & ~0xFF)}, "and of the integer form"),
        (lambda i: {"y": bits(i["x"], lambda b: b + 1)}, "add of the integer form"),
        (lambda i: {"y": jax.lax.pad(i["x"], 0.0, [(0, 0, 0), (0, 0, 1), (0, 0, 0)])}, "edges"),
        (lambda i: {"y": jax.lax.pad(i["x"], 0.0, [(0, 0, 0), (-1, 0, 0), (0, 0, 0)])}, "edges"),
    ],
)
def test_what_cannot_be_written_plainly(function, message):
    plain = primitives.flatten(function, shapes({"x": X}))
    with pytest.raises(ValueError, match=message):
        plain.call(jnp.asarray(X))


def test_padding_on_both_sides():
    config = [(0, 0, 0), (2, 1, 0), (0, 3, 0)]
    plain = primitives.flatten(lambda i: {"y": jax.lax.pad(i["x"], 7.0, config)}, shapes({"x": X}))
    expected = np.pad(X, [(0, 0), (2, 1), (0, 3)], constant_values=7.0)
    np.testing.assert_array_equal(plain.call(jnp.asarray(X))[0], expected)
