"""Trainings side by side: what needs what, what is kept, and that workers change nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets.flavour import taggers, training

PLAN = training.Plan("small", 1, 1024, 1e-3, 0.0, 0.9)


def test_every_tagger_is_trained_once_with_each_seed():
    made = training.tasks(tuple(taggers.NAMES), 2, Path("out"), None, PLAN, 5)
    trained = [(name, task.seed) for task in made for name in task.names]
    assert len(trained) == len(set(trained)) == 2 * len(taggers.NAMES)
    assert {seed for _, seed in trained} == {5, 6}
    assert [task.seed for task in made] == sorted(task.seed for task in made)


def test_a_tagger_comes_after_the_one_inside_it():
    (made,) = training.tasks(("dl1r",), 1, Path("out"), None, PLAN)
    assert made.names == ("rnnip", "dl1r")
    names = {task.names for task in training.tasks(("dl1", "dl1d", "dips"), 1, Path(), None, PLAN)}
    assert names == {("dl1",), ("dips", "dl1d")}


@pytest.fixture(scope="module")
def sample(make_columns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    for seed, source in enumerate(("ttbar", "zprime")):
        root.write_jetclass(folder / f"{source}.root", make_columns(n=300, seed=seed))
    files = {source: (folder / f"{source}.root",) for source in ("ttbar", "zprime")}
    return training.Sample(files, 0.4, 1)


def test_sources_are_trained_on_together_and_tested_apart(sample):
    parts = training.parts(sample)
    assert set(parts.test) == {"ttbar", "zprime"}
    assert len(parts.training.label) == pytest.approx(2 * 0.57 * 300, abs=6)
    n_events = len(np.unique(parts.training.event))
    assert n_events == len(parts.training.event) / 2  # two jets each; those of sources are apart
    assert training.parts(sample) is parts  # read once


@pytest.mark.slow
def test_workers_change_nothing_and_what_is_done_is_kept(sample, tmp_path, monkeypatch):
    found = {}
    for workers in (1, 2):
        made = training.tasks(("dl1", "dips"), 1, tmp_path / str(workers), sample, PLAN)
        training.run(made, workers)
        found[workers] = [
            training.outcome(task, name, "zprime")[0] for task in made for name in task.names
        ]
    for one, two in zip(found[1], found[2]):
        np.testing.assert_allclose(one, two, atol=1e-4)
    monkeypatch.setattr(training, "_fit", None)  # would fail if it were called
    training.run(made, 1)
    config = json.loads((tmp_path / "1" / "dips_0" / "config.json").read_text())
    assert config["plan"]["n_epochs"] == 1
    monkeypatch.undo()
    (tmp_path / "1" / "dips_0" / "logits_ttbar.npy").unlink()
    other = training.tasks(("dips",), 1, tmp_path / "1", sample, PLAN._replace(n_epochs=2))
    with pytest.raises(ValueError, match="n_epochs"):
        training.run(other)
