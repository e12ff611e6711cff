"""Every tagger: permutation, padding, empty jets; the Particle Transformer against weaver's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from hepjax.jets import (
    batches,
    data,
    deepak8,
    deepjet,
    image_network,
    pairs,
    particle_flow,
    particle_transformer,
    particlenet,
    recurrent,
    weaver_weights,
)
from hepjax.nn import model

TINY = {"embed_dims": (8, 16, 8), "pair_dims": (8,), "n_heads": 2, "n_layers": 1}
TAGGERS = {
    "part": particle_transformer.ParticleTransformer(2, **TINY, n_class_layers=1, dropout=0.0),
    "particlenet": particlenet.small(2, widths=((8,), (8,)), k=4, fc_width=8),
    "pfn": particle_flow.small_pfn(2),
    "efn": particle_flow.small_efn(2),
    "cnn": image_network.small(2, n_pixels=16, stem=8, stages=((8, 1),)),
    "lstm": recurrent.small(2, width=8),
    "pcnn": deepak8.small(2, stem=4, stages=((4,), (8,)), hidden=8),
    "deepak8": deepak8.small(
        2, n_vertices=2, stem=4, stages=((4,),), vertex_stages=((4,),), hidden=8
    ),
    "deepjet": deepjet.small(
        2,
        charged=deepjet.Branch(12, (8,), 8),
        neutral=deepjet.Branch(12, (8,), 8),
        vertices=deepjet.Branch(2, (8,), 8),
        hidden=(8,),
    ),
}
ORDERED = ("lstm", "pcnn", "deepak8", "deepjet")
"""Taggers that read particles in the order of pt, which a permutation changes."""


def n_parameters(module, n_features):
    example = data.Inputs(
        *(jnp.ones((1, 16, n)) for n in (n_features, 2, 4)), jnp.ones((1, 16), bool)
    )
    shapes = jax.eval_shape(model.from_linen(module).init, jax.random.key(0), example)
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes["params"]))


@pytest.mark.smoke
def test_published_sizes():
    assert n_parameters(particle_transformer.ParticleTransformer(10), 17) == 2_143_486
    assert n_parameters(particlenet.ParticleNet(10), 7) == 368_216


LONG = ("deepak8", "deepjet")  # to compile, for the vertices that they find


@pytest.fixture(
    scope="module",
    params=[pytest.param(k, marks=pytest.mark.slow if k in LONG else ()) for k in TAGGERS],
)
def tagger(request):
    """Model, variables, and a batch of jets of 24 places, the first of them empty."""
    jets = data.from_columns(toy.jets(n=12)[0])
    inputs = data.inputs(batches.padded(jets, np.array([-1, *range(7)]), 24))
    net = model.from_linen(TAGGERS[request.param])
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    return request.param, net, variables, jax.tree.map(np.asarray, inputs)


@pytest.mark.smoke
def test_permutation_padding_and_garbage(tagger):
    name, net, variables, inputs = tagger
    apply = jax.jit(lambda v, x: net.apply(v, x))
    logits = apply(variables, inputs)
    assert np.all(np.isfinite(logits))
    order = np.random.default_rng(0).permutation(24)
    moved = apply(variables, jax.tree.map(lambda x: x[:, order], inputs))
    if name in ORDERED:
        assert np.abs(moved - logits).max() > 1e-3
    else:
        np.testing.assert_allclose(moved, logits, atol=1e-5)

    def widened(x):
        return np.pad(x, [(0, 0), (0, 8)] + [(0, 0)] * (x.ndim - 2))

    np.testing.assert_allclose(
        apply(variables, jax.tree.map(widened, inputs))[1:], logits[1:], atol=1e-5
    )
    kept = inputs.mask[..., None]
    garbage = inputs._replace(
        features=np.where(kept, inputs.features, 3.0).astype(np.float32),
        p4=np.where(kept, inputs.p4, 5.0).astype(np.float32),
        displacement=np.where(kept, inputs.displacement, 2.0).astype(np.float32),
    )
    np.testing.assert_allclose(apply(variables, garbage)[1:], logits[1:], atol=1e-5)


def test_gradients_are_finite_with_an_empty_jet(tagger):
    _, net, variables, inputs = tagger

    def loss(params):
        return (net.apply_train({"params": params}, inputs)[0] ** 2).sum()

    slopes = jax.jit(jax.grad(loss))(variables["params"])
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))
    assert any(np.any(x != 0) for x in jax.tree.leaves(slopes))


def test_biases_that_a_norm_takes_out_have_no_gradient():
    """Rounding would give them one, of which Adam makes full steps."""
    net = model.from_linen(TAGGERS["part"])
    jets = data.from_columns(toy.jets(n=8)[0])
    inputs = data.inputs(batches.padded(jets, np.arange(8), 24))
    params = jax.jit(net.init)(jax.random.key(0), inputs)["params"]

    def loss(params):
        return (net.apply_train({"params": params}, inputs)[0][:, 0]).sum()

    slopes = jax.jit(jax.grad(loss))(params)["pair_embedding"]
    taken_out = [slopes["norm"]["bias"], *(x for n, x in slopes.items() if n.startswith("bias_"))]
    assert len(taken_out) == 3
    assert all(np.all(np.asarray(x) == 0) for x in taken_out)
    assert np.any(slopes["norm_0"]["bias"] != 0)
    assert np.any(slopes["norm"]["scale"] != 0)


def test_lists_of_what_is_real_change_nothing():
    """Neither the logits of training, nor slopes, nor the sums of batch norm."""
    net = model.from_linen(TAGGERS["part"])
    jets = data.from_columns(toy.jets(n=12)[0])
    padded = batches.padded(jets, np.array([-1, *range(7)]), 24)
    inputs = [
        data.inputs(padded._replace(real=real)) for real in (None, pairs.real(padded.mask, 2))
    ]
    assert inputs[1].real.pairs.size < 0.8 * 8 * 300
    params = jax.jit(net.init)(jax.random.key(0), inputs[0])["params"]

    @jax.jit
    def everything(params, inputs):
        def loss(params):
            out, sums = net.apply_train({"params": params}, inputs)
            return (out**2).sum(), (out[1:], sums)

        return jax.value_and_grad(loss, has_aux=True)(params)

    both = [jax.tree.leaves(everything(params, given)) for given in inputs]
    for a, b in zip(*both):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_computing_again_in_the_backward_pass_changes_nothing():
    """Neither logits, nor slopes of parameters and momenta, nor the sums of batch norm."""
    options = {**TINY, "n_layers": 2, "n_class_layers": 1, "dropout": 0.0}
    keeps, recomputes = (
        model.from_linen(particle_transformer.ParticleTransformer(2, **options, remat=remat))
        for remat in (False, True)
    )
    jets = data.from_columns(toy.jets(n=12)[0])
    padded = batches.padded(jets, np.array([-1, *range(7)]), 24)
    inputs = data.inputs(padded)
    variables = jax.jit(keeps.init)(jax.random.key(0), inputs)
    again = jax.jit(recomputes.init)(jax.random.key(0), inputs)
    jax.tree.map(np.testing.assert_array_equal, variables, again)

    def everything(net, variables):
        def loss(params, p4):
            given = {**variables, "params": params}
            out, sums = net.apply_train(given, inputs._replace(p4=p4))
            return (out**2).sum(), (out[1:], sums)

        slope = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        return jax.jit(slope)(variables["params"], inputs.p4)

    a, b = (everything(net, variables) for net in (keeps, recomputes))
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert np.abs(a[1][1]).max() > 0
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)


def test_dropout_depends_on_the_key():
    options = {**TINY, "n_layers": 2, "n_class_layers": 1, "dropout": 0.5}
    net = model.from_linen(particle_transformer.ParticleTransformer(2, **options))
    jets = data.from_columns(toy.jets(n=8)[0])
    inputs = data.inputs(batches.padded(jets, np.arange(8), 24))
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    run = jax.jit(lambda key: net.apply_train(variables, inputs, key=key)[0])
    first, same, other = (np.asarray(run(jax.random.key(k))) for k in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.slow
def test_kinematics_stay_in_float32_beside_bfloat16():
    """Pair features and norms are wide; only products are narrow, and logits come out wide."""
    seen = []

    def features(p4, listed=None):
        seen.append(p4.dtype)
        return pairs.stable(p4, listed)

    options = {**TINY, "n_class_layers": 1, "dropout": 0.0, "pair_features": features}
    nets = [
        model.from_linen(particle_transformer.ParticleTransformer(2, **options, dtype=dtype))
        for dtype in (None, jnp.bfloat16)
    ]
    jets = data.from_columns(toy.jets(n=8)[0])
    inputs = data.inputs(batches.padded(jets, np.arange(8), 24))
    variables = jax.jit(nets[0].init)(jax.random.key(0), inputs)
    wide, narrow = (jax.jit(net.apply)(variables, inputs) for net in nets)
    assert set(seen) == {jnp.float32.dtype}
    assert narrow.dtype == jnp.float32
    assert 0 < np.abs(wide - narrow).max() < 0.05 * np.abs(wide).max()
    text = jax.jit(nets[1].apply).lower(variables, inputs).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert sum("bf16" in line for line in products) >= 8


def test_energy_flow_is_infrared_and_collinear_safe():
    net = model.from_linen(TAGGERS["efn"])
    jets = data.from_columns(toy.jets(n=4)[0])
    inputs = jax.tree.map(np.array, data.inputs(batches.padded(jets, np.arange(4), 24)))
    variables = net.init(jax.random.key(0), inputs)
    split = jax.tree.map(np.copy, inputs)
    split.p4[:, 0] *= 0.4
    split.p4[:, 23], split.points[:, 23] = inputs.p4[:, 0] * 0.6, inputs.points[:, 0]
    split.mask[:, 23] = True
    logits = net.apply(variables, inputs)
    np.testing.assert_allclose(net.apply(variables, split), logits, atol=1e-5)
    soft = jax.tree.map(np.copy, inputs)
    soft.p4[:, 23], soft.mask[:, 23] = [1e-6, 1e-6, 0, 0], True
    np.testing.assert_allclose(net.apply(variables, soft), logits, atol=1e-5)


@pytest.fixture(scope="module")
def weaver(hepjax_data):
    """Inputs and state dict of a ParT of weaver-core 0.5.3, and what it answers."""
    file = np.load(hepjax_data / "jets" / "part_v1_parity.npz")
    state = {name: file[name] for name in file.files if not name.startswith("__")}
    mask = file["__m"][:, 0] > 0
    v = file["__v"].swapaxes(1, 2)[..., [3, 0, 1, 2]]
    x = file["__x"].swapaxes(1, 2)
    inputs = data.Inputs(x, x[..., -2:], v, mask)
    state = {k: a for k, a in state.items() if not k.endswith("num_batches_tracked")}
    return inputs, state, file["__y"], file["__y64"]


def network(weaver, features, dtype, n=32):
    """A published-size network with weaver's weights: function of inputs, and the inputs."""
    inputs, state, _, _ = weaver
    inputs = data.Inputs(*(np.asarray(x[:n], dtype) for x in inputs[:3]), inputs.mask[:n])
    net = model.from_linen(particle_transformer.ParticleTransformer(10, pair_features=features))
    template = jax.eval_shape(net.init, jax.random.key(0), inputs)
    filled = weaver_weights.particle_transformer(state, template)
    variables = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), dtype), filled)
    return (lambda x: net.apply(variables, x)), inputs


def compiled(function, level):
    """Compiled with as little optimisation as other tests have (0), or as users have it (3)."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": level})


LEVELS = pytest.mark.parametrize("level", [0, pytest.param(3, marks=pytest.mark.slow)])


def furthest(found, expected):
    return np.abs(np.asarray(found) - np.asarray(expected)).max()


@LEVELS
def test_weaver_in_float64(weaver, level):
    with jax.enable_x64(True):
        apply, inputs = network(weaver, pairs.weaver, np.float64)
        assert furthest(compiled(apply, level)(inputs), weaver[3]) < 1e-6


@LEVELS
def test_weaver_in_float32(weaver, level):
    """Operation by operation as torch; compiled, where fusion reorders E^2 - p^2."""
    apply, inputs = network(weaver, pairs.weaver, np.float32)
    with jax.disable_jit():
        assert furthest(apply(inputs), weaver[2]) < 1e-5
    assert furthest(compiled(apply, level)(inputs), weaver[2]) < 3e-3


def test_stable_pair_masses_hold_in_float32(weaver):
    """Compiled, against float64, in another order, and with half the padding."""
    with jax.enable_x64(True):
        exact, wide = network(weaver, pairs.stable, np.float64, n=8)
        exact = jax.jit(exact)(wide)
    apply, inputs = network(weaver, pairs.stable, np.float32)
    half, apply = compiled(apply, 0), compiled(apply, 3)
    logits = apply(inputs)
    assert furthest(logits[:8], exact) < 1e-5
    order = np.random.default_rng(0).permutation(128)
    assert furthest(apply(jax.tree.map(lambda x: x[:, order], inputs)), logits) < 1e-5
    fits = inputs.mask.sum(1) <= 64
    assert fits.sum() >= 8
    assert not inputs.mask[fits, 64:].any()
    narrow = jax.tree.map(lambda x: x[:, :64], inputs)
    assert furthest(half(narrow)[fits], logits[fits]) < 1e-5


def test_trimming_drops_particles_of_the_largest_jets_only():
    mask = np.arange(32) < np.array([[32], [5], [10], [12]])
    kept = particle_transformer.trim(jnp.asarray(mask), jax.random.key(0), (0.5, 0.5))
    assert np.all(~np.asarray(kept) | mask)
    assert np.asarray(kept).sum(1).tolist()[1:3] == [5, 10]
    assert np.asarray(kept)[0].sum() < 32
