"""The experiment of learned importance sampling with tiny trainings, and its keys."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from hepjax.integration import integrator, sampling
from hepjax.integration.events import generation
from hepjax.io import lhe_reader

pytestmark = [
    pytest.mark.usefixtures("restored_precision"),
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None,
        reason="pythia8mc, whose parton densities are used, comes with the extra `generators`",
    ),
]
KEYS = ("sigma_pb", "sigma_error_pb", "rsd", "unweighting_efficiency", "overweight_fraction", "n")


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("madnis")


def config(experiment, out, process):
    return experiment.Config(
        out=out,
        process=process,
        n_steps=20,
        n_points=256,
        n_grid=2000,
        n_sample=20_000,
        n_events=100,
    )


def test_drell_yan_with_channels(experiment, tmp_path):
    chosen = config(experiment, tmp_path / "run", "drell_yan")
    results = experiment.main(chosen)
    for key in KEYS:
        assert results[key] > 0
        assert results[f"vegas_{key}"] > 0
    for name in ("", "vegas_"):
        apart = results[f"{name}sigma_pb"] - results["reference_pb"]
        error = results[f"{name}sigma_error_pb"] ** 2 + results["reference_error_pb"] ** 2
        assert abs(apart) < 4 * error**0.5
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == results
    for name in ("mass", "cos_theta", "weights", "channels"):
        assert (tmp_path / "run" / "plots" / f"{name}.png").exists()
    head, events = lhe_reader.read(tmp_path / "run" / "events.lhe.gz")
    assert len(events.weight) == results["n_events"] == 100
    assert events.weight.mean() == pytest.approx(results["sigma_pb"])
    assert head.processes[0].error == pytest.approx(results["sigma_error_pb"])


@pytest.mark.slow
def test_a_run_that_is_done_gives_the_same_again(experiment, tmp_path):
    chosen = config(experiment, tmp_path / "run", "drell_yan")
    results = experiment.main(chosen)
    again = experiment.main(dataclasses.replace(chosen, resume=True))
    assert again["sigma_pb"] == results["sigma_pb"]


@pytest.mark.slow
@pytest.mark.parametrize("process", ["drell_yan_zprime", "ttbar", "gluons", "g g > t t~ g"])
def test_other_processes(experiment, tmp_path, process):
    results = experiment.main(config(experiment, tmp_path / "run", process))
    gap = abs(results["sigma_pb"] - results["vegas_sigma_pb"])
    assert gap < 5 * (results["sigma_error_pb"] + results["vegas_sigma_error_pb"])


def test_events_are_of_all_channels(experiment, tmp_path, monkeypatch):
    """Points come channel by channel: the first of them would be no fair sample."""
    channel = np.repeat([0, 1, 2], 1000)
    none = np.zeros(3000)
    sample = sampling.Sampled(channel[:, None], channel, none + 1, none, none == 0)
    drawn = []
    monkeypatch.setattr(generation, "write", lambda *given, **_: None)
    chosen = experiment._madnis_processes.Chosen(
        *("toy", integrator.Integrand(None, 1, 3), None, lambda x, k, _: drawn.append(k)),
        *(None, None, None, 0),
    )
    given = chosen, sample, (3.0, 0.1), 1e-3, 600, np.random.default_rng(0)
    assert experiment._madnis_processes.write_events(tmp_path / "x.lhe", *given) == 600
    assert np.abs(np.bincount(drawn[0]) - 200).max() < 60


def test_amplitudes_are_checked_against_a_dump(experiment, hepjax_data, tmp_path):
    dump = hepjax_data / "matrix_elements" / "dump_CPUTest.Sigma_sm_uux_ddx.txt"
    chosen = experiment.Config(out=tmp_path / "run", process="u u~ > d d~", check_amplitude=dump)
    results = experiment.main(chosen)
    assert results["relative_error_max"] < 1e-9
    assert results["n"] == 512
    assert (tmp_path / "run" / "plots" / "relative_error.png").exists()


def test_unknown_processes_stop_at_once(experiment, tmp_path):
    chosen = experiment.Config(out=tmp_path / "run", process="higgs")
    with pytest.raises(ValueError, match="process: 'higgs', expected drell_yan"):
        experiment.main(chosen)
    assert not chosen.out.exists()
