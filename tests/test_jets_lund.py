"""The Lund experiment with a tiny config, on toys in place of what Pythia would make."""

import itertools
import json

import numpy as np
import pytest
import toy

from hepjax.io import root, scale_factors
from hepjax.jets import taggers
from hepjax.jets.simulation import recipes
from hepjax.plot import style


@pytest.mark.parametrize("trained", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_jets_lund(load_experiment, tiny_run, tiny_file, tmp_path, monkeypatch, trained):
    experiment = load_experiment("jets_lund")
    monkeypatch.setattr(experiment, "PT_EDGES", np.array([0.0, 1e4]))  # of toys
    monkeypatch.setattr(style, "FORMATS", ("png",))
    if trained:  # a tagger that other tests have trained will do
        monkeypatch.setattr(experiment, "training", lambda config: taggers.restore(tiny_run))
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "top_landscape_400_100.root").symlink_to(tiny_file)
    showers = list(recipes.SHOWERS)
    for shower in ("nominal", "soft"):
        for k, process in enumerate(experiment.QUARKS):
            seed = 101 + 2 * showers.index(shower) + k
            jets = toy.jets(n=240, seed=seed)[0]
            root.write_jetclass(samples / f"{process}_{shower}_240_{seed}.root", jets)
    config = experiment.Config(
        out=tmp_path / "run",
        showers=("soft",),
        n_trials=2,
        n_jets=120,
        n_train=400,
        n_epochs=1,
        efficiencies=(50, 80),
        samples=samples,
    )
    results = experiment.main(config)
    assert results["pfn_n_trials"] == 2
    keys = ("true", "plain_bias", "plain_bias_error", "corrected_bias", "uncertainty")
    for tagger, key in itertools.product(experiment.TAGGERS, keys):
        assert np.isfinite(results[f"{tagger}_soft_50_{key}"])
    assert 0 < results["tau32_soft_80_uncertainty"] < 1
    assert 0 <= results["pfn_within_one"] <= 1
    assert json.loads((config.out / "metrics.json").read_text()) == results
    table = scale_factors.read(config.out / "scale_factors_tau32.json", "lund_soft")
    assert table.working_points == ("50", "80")
    assert (table.up > table.central).all()
    drawn = {path.stem for path in (config.out / "plots" / "pfn").glob("*.png")}
    assert {"score_soft", "closure_soft", "pulls"} <= drawn
    with pytest.raises(ValueError, match="holds a run already"):
        experiment.main(config)


def test_seeds_of_samples_differ(load_experiment):
    """Training, control and signal jets, of data and of simulation, share no random numbers."""
    experiment = load_experiment("jets_lund")
    asked = []

    def generate(process, n, seed, *, phase_space):
        asked.append((process, seed, phase_space.shower))
        raise RuntimeError("asked for jets")

    config = experiment.Config(samples=experiment.Path("/nowhere/at/all"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment.generator, "generate", generate)
        patch.setattr(experiment.Path, "mkdir", lambda *a, **b: None)
        for shower in recipes.SHOWERS:
            for process in experiment.QUARKS:
                with pytest.raises(RuntimeError, match="asked for jets"):
                    experiment.sample(config, None, shower, process)
    seeds = [seed for _, seed, _ in asked]
    assert len({*seeds, config.data_seed}) == len(asked) + 1
    assert [shower for *_, shower in asked[::2]] == list(recipes.SHOWERS.values())
