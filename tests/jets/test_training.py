"""The training that all taggers share: it learns, is taken up, and gives back what was best."""

import jax
import numpy as np
import pytest

from hepjax import runs
from hepjax.jets import batches, data, loss, taggers, training

SERVE = {"buckets": (16,), "budget": 1024}
CLASSES = ("QCD", "Tbqq")
PLAN = training.Plan(3, 4e-3, decay=0.9)


@pytest.fixture(scope="module")
def parts(toy_columns):
    jets = data.select(data.from_columns(toy_columns(n=400, seed=3)[0]), CLASSES)
    training_jets, validation = data.split(jets, (0.8, 0.2), 1)
    return (
        batches.of_sample(training_jets, seed=1, **SERVE),
        batches.of_sample(validation, shuffle=False, **SERVE),
        validation,
    )


@pytest.fixture(scope="module")
def start():
    network = taggers.build("pfn", "small", n_classes=2)
    return taggers.start(network, CLASSES, jax.random.key(0), buckets=(16,))


@pytest.fixture(scope="module")
def fit(parts, start):
    """A function folder, plan, options -> the Fit."""

    def trained(folder, plan=PLAN, **options):
        return training.fit(
            runs.create(folder, {}, resume=True),
            start.variables,
            taggers.objective(start.model, "full", plan.decay),
            *parts[:2],
            plan,
            key=jax.random.key(1),
            meta=taggers.meta("pfn", "small", "full", CLASSES, (16,), plan.decay),
            **options,
        )

    return trained


@pytest.fixture(scope="module")
def run(fit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, fit(folder)


def test_it_learns_and_the_best_is_given_back(run, parts):
    folder, done = run
    assert done.reason == "finished"
    looks = [line["loss"] for line in runs.read(folder) if line["split"] == "validation"]
    assert looks[-1] < looks[0]
    tagger = taggers.restore(folder)
    logits = taggers.score(tagger, parts[2])
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    found = -log_p[np.arange(len(logits)), parts[2].label].mean()
    assert found == pytest.approx(min(looks), rel=1e-3)


def test_a_training_is_taken_up_to_the_same_parameters(run, fit, tmp_path):
    stopped = {"settings": {"n_steps": 5, "save_every": 5}}
    fit(tmp_path, **stopped)
    again = fit(tmp_path, resume=True)
    ends = [jax.tree.leaves(done.state._replace(key=None)) for done in (again, run[1])]
    assert len(ends[0]) > 10
    for a, b in zip(*ends):
        np.testing.assert_array_equal(a, b)


def test_a_pace_of_zero_leaves_parameters_where_they_were(fit, start, tmp_path):
    done = fit(tmp_path, PLAN._replace(n_epochs=1), pace={"^head/": 1.0, "": 0.0}, known=True)
    moved = jax.tree.map(
        lambda a, b: bool(np.any(np.asarray(a) != np.asarray(b))),
        done.state.params,
        start.variables["params"],
    )
    paths = jax.tree_util.tree_flatten_with_path(moved)[0]
    assert {jax.tree_util.keystr(path, simple=True)[:4] for path, x in paths if x} == {"head"}


def test_the_description_says_what_is_rebuilt(run, start):
    seen = []

    def build(about):
        seen.append(about)
        example = data.Inputs(*(np.zeros((8, 16, n), np.float32) for n in (17, 2, 4)), None)
        return start.model, example._replace(mask=np.ones((8, 16), bool))

    found = training.restore(run[0], build, "latest")
    assert seen[0]["name"] == found.about["name"] == "pfn"
    expected = loss.averaged(run[1].state.params, run[1].state.extra, PLAN.decay)
    for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_folder_without_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="no run folder"):
        training.restore(tmp_path, lambda about: None)
