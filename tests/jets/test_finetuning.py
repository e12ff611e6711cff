"""One training from any start: what is frozen stays, what was known is kept, the best is given."""

import dataclasses

import jax
import numpy as np
import pytest

from hepjax import checkpoint, runs
from hepjax.jets import data, finetuning, taggers
from hepjax.jets.finetuning import Plan

BUCKETS = (16,)
OPTIONS = {"seed": 1, "budget": 1024}


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A config without options."""


@pytest.fixture(scope="module")
def parts(toy_columns):
    jets = data.select(data.from_columns(toy_columns(n=400, seed=3)[0]), ("QCD", "Tbqq"))
    return data.split(jets, (0.8, 0.2), 1)


@pytest.fixture(scope="module")
def network():
    return taggers.build("pfn", "small", n_classes=2)


@pytest.fixture(scope="module")
def fit(parts, network, tmp_path_factory):
    """A function start, plan -> tagger and its run."""

    def trained(start, plan, **options):
        run = runs.create(tmp_path_factory.mktemp("runs") / "run", Nothing())
        kind = "pfn", "small"
        return finetuning.fit(run, start, kind, *parts, plan, **{**OPTIONS, **options}), run

    return trained


@pytest.fixture(scope="module")
def fresh(network):
    return taggers.start(network, ("QCD", "Tbqq"), jax.random.key(0), buckets=BUCKETS)


@pytest.fixture(scope="module")
def teacher(fit, fresh):
    return fit(fresh, Plan(4, 4e-3))


def loss_of(tagger, jets):
    logits = taggers.score(tagger, jets)
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return -log_p[np.arange(len(logits)), jets.label].mean()


def leaves(tree, of):
    """Arrays by path, of those paths that begin so."""
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in found}
    return {name: np.asarray(x) for name, x in names.items() if name.startswith(of)}


def test_it_learns_and_gives_the_best_of_its_looks(teacher, fresh, parts):
    tagger, run = teacher
    looks = [line["loss"] for line in runs.read(run) if line["split"] == "validation"]
    assert len(looks) == 4  # an epoch each
    assert loss_of(tagger, parts[1]) == pytest.approx(min(looks), rel=1e-3)
    assert min(looks) < loss_of(fresh, parts[1])
    assert tagger.classes == ("QCD", "Tbqq")
    with checkpoint.open(run.path / "checkpoints") as checkpoints:
        about = checkpoint.load_meta(checkpoints)["tagger"]
    assert about["buckets"] == list(BUCKETS)


def test_a_frozen_network_learns_with_its_head_alone(fit, teacher):
    before = teacher[0].variables
    after = fit(teacher[0], Plan(1, 1e-2, 0.0), known=True)[0].variables
    assert leaves(before, "batch_stats")
    for name, old in leaves(before, "").items():
        new = leaves(after, name)[name]
        if name.startswith("params/head/"):
            assert np.abs(new - old).max() > 0
        else:
            np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.slow
def test_statistics_that_are_known_move_on_from_where_they_are(fit, teacher, fresh):
    """Shifted by 10 they come back slowly; of a fresh network the first batch replaces them."""
    far = jax.tree.map(lambda x: x + 10, teacher[0].variables["batch_stats"])
    start = teacher[0]._replace(variables={**teacher[0].variables, "batch_stats": far})
    plan = Plan(1, 1e-6)
    known, fresh_again = (fit(start, plan, known=known)[0].variables for known in (True, False))
    name = next(k for k in leaves(known, "batch_stats") if k.endswith("mean"))
    at = {k: leaves(v, name)[name] for k, v in (("known", known), ("unknown", fresh_again))}
    began, home = leaves(start.variables, name)[name], leaves(teacher[0].variables, name)[name]
    assert np.abs(at["unknown"] - home).max() < 1
    n_steps = round(np.log(np.median((at["known"] - home) / (began - home))) / np.log(0.98))
    assert 1 <= n_steps <= 20  # each takes them 2 % of the way
    assert np.abs(at["known"] - home).min() > 5


@pytest.mark.slow
def test_a_slow_backbone_moves_less(fit, teacher):
    def moved(factor):
        after = fit(teacher[0], Plan(1, 1e-3, factor), known=True)[0].variables
        path = "params/phi/dense_0/kernel"
        return np.abs(leaves(after, path)[path] - leaves(teacher[0].variables, path)[path]).mean()

    assert 0 < moved(0.1) < 0.3 * moved(1.0)


def test_a_training_goes_on_where_it_stopped(fit, teacher, parts):
    """A run that is done gives the same tagger again, without a step."""
    tagger, run = teacher
    lines = runs.read(run)
    again = finetuning.fit(
        run, tagger, ("pfn", "small"), *parts, Plan(4, 4e-3), resume=True, **OPTIONS
    )
    assert runs.read(run) == lines
    for a, b in zip(jax.tree.leaves(again.variables), jax.tree.leaves(tagger.variables)):
        np.testing.assert_array_equal(a, b)


def test_nothing_can_be_frozen_that_was_not_learned(fit, fresh):
    with pytest.raises(ValueError, match="backbone is 0 for a start that has learned nothing"):
        fit(fresh, Plan(1, 1e-3, 0.0))
    with pytest.raises(ValueError, match="features is a function"):
        fit(fresh._replace(features=data.inputs), Plan(1, 1e-3))


def test_the_average_is_over_a_tenth_of_the_steps():
    assert finetuning.decay(1000) == pytest.approx(0.99)
    assert finetuning.decay(10**6) == 0.998
    assert finetuning.decay(5) == 0
