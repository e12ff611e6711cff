"""Taggers by name, back from a run folder, and errors for names that do not exist."""

import jax
import numpy as np
import optax
import pytest

from hepjax import batch, checkpoint, train
from hepjax.jets import batches, data, loss, taggers

DECAY = 0.5
BUCKETS = (8, 16)


@pytest.mark.parametrize("name", taggers.Name.__args__)
def test_all_names_and_sizes(name, jets):
    """Each has a bias a class, and more parameters in full."""
    inputs, sizes = data.inputs(batches.padded(jets, np.arange(8), 16)), []
    for size in ("small", "full"):
        net = taggers.build(name, size, n_classes=3)
        params = jax.eval_shape(net.init, jax.random.key(0), inputs)["params"]
        assert any(x.shape == (3,) for x in jax.tree.leaves(params))
        sizes.append(sum(x.size for x in jax.tree.leaves(params)))
    assert sizes[0] < sizes[1]


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match="found 'gnn'"):
        taggers.build("gnn", "small", n_classes=2)
    with pytest.raises(ValueError, match="found 'tiny'"):
        taggers.build("part", "tiny", n_classes=2)
    with pytest.raises(ValueError, match="no run folder"):
        taggers.restore(tmp_path)


@pytest.fixture(scope="module")
def jets(toy_columns):
    return data.select(data.from_columns(toy_columns()[0]), ("QCD", "Tbqq"))


@pytest.fixture(scope="module")
def saved(jets, tmp_path_factory):
    """A run folder after two steps, the first one the best, and the parameters of both."""
    run = tmp_path_factory.mktemp("run")
    net = taggers.build("pfn", "small", n_classes=2)
    example = batches.padded(jets, np.arange(16), 16)
    variables = jax.jit(net.init)(jax.random.key(0), data.inputs(example))
    optimiser = optax.sgd(0.1)
    step = jax.jit(
        train.gradient_step(loss.renormalised(net), optimiser, update=loss.update(DECAY))
    )
    state = train.init(variables["params"], optimiser, jax.random.key(1), loss.start(variables))
    about = taggers.meta("pfn", "small", "full", ("QCD", "Tbqq"), BUCKETS, DECAY)
    seen = []
    with checkpoint.open(run / "checkpoints", keep_latest=1) as checkpoints:
        for number, value in ((1, 0.1), (2, 0.2)):
            state, _ = step(state, example)
            seen.append(jax.device_get(state))
            checkpoint.save(checkpoints, number, state, meta=about, metrics={"loss": value})
    return run, net, seen


def test_restore_gives_the_averaged_network_of_the_step_asked_for(saved):
    run, _, (first, second) = saved
    best, latest = taggers.restore(run), taggers.restore(run, "latest")
    assert best.classes == ("QCD", "Tbqq")
    assert best.buckets == BUCKETS
    assert best.features == "full"
    expected = jax.tree.map(lambda a, b: (DECAY * a + b) / (1 + DECAY), first.params, second.params)
    for found, wanted in ((best, first.params), (latest, expected)):
        for a, b in zip(jax.tree.leaves(found.variables["params"]), jax.tree.leaves(wanted)):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(
        jax.tree.leaves(best.variables["batch_stats"]), jax.tree.leaves(first.extra["batch_stats"])
    ):
        np.testing.assert_array_equal(a, b)


def test_scores_are_in_the_order_of_the_jets_and_cut_where_training_cut(saved, jets):
    run, net, _ = saved
    tagger = taggers.restore(run)
    long = np.argsort(-batch.lengths(jets.particles))[:24]
    rows = np.random.default_rng(0).permutation(long)
    assert batch.lengths(jets.particles)[rows].max() > BUCKETS[-1]
    found = taggers.score(tagger, data.take(jets, rows))
    cut = data.inputs(batches.padded(jets, rows, BUCKETS[-1]))
    np.testing.assert_allclose(found, net.apply(tagger.variables, cut), rtol=1e-4, atol=1e-5)
    whole = data.inputs(batches.padded(jets, rows, 32))
    assert np.abs(found - np.asarray(net.apply(tagger.variables, whole))).max() > 1e-4


def test_a_tagger_of_other_classes_begins_with_what_was_learned(saved):
    """Two lines from a run folder to a network for ten classes, and a report of what is new."""
    run, _, _ = saved
    wide = taggers.build("pfn", "small", n_classes=10)
    old = taggers.restore(run)
    tagger, report = taggers.graft(old, wide, data.CLASSES, jax.random.key(3))
    assert {path for path, *_ in report.reshaped} == {
        "params/head/dense_1/kernel",
        "params/head/dense_1/bias",
    }
    assert any(path.startswith("batch_stats/") for path in report.taken)
    assert not report.new
    assert not report.unused
    assert (tagger.classes, tagger.buckets) == (data.CLASSES, BUCKETS)
    for name in ("phi", "norm"):
        for tree in ("params", "batch_stats"):
            a, b = (t.variables[tree].get(name, {}) for t in (old, tagger))
            for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
                np.testing.assert_array_equal(x, y)


def test_a_head_can_be_new_and_outputs_must_be_classes(saved):
    old, same = taggers.restore(saved[0]), taggers.build("pfn", "small", n_classes=2)
    key, classes = jax.random.key(3), ("Wqq", "Zqq")
    _, report = taggers.graft(old, same, classes, key, skip=r"^params/head/")
    assert report.new
    assert all(path.startswith("params/head/") for path in report.new)
    with pytest.raises(ValueError, match="expected 2 as the network has"):
        taggers.graft(old, same, data.CLASSES, key)
