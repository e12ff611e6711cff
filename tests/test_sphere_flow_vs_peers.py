"""The benchmark of flows: sizes agree on both sides, float32 and a scan of the sphere."""

import sys

import numpy as np
import pytest

from hepjax.flows import sphere as flow


@pytest.fixture(scope="module")
def benchmark(load_experiment):
    return load_experiment("benchmarks/sphere_flow_vs_peers")


def test_float32_and_times_of_the_sphere(benchmark):
    plan = flow.Plan(2, 2)
    errors = benchmark.sides.float32_errors(plan, 64, 1e6, 0)
    assert 0 < np.median(errors) < 3e-4
    found = benchmark.sides.scan(plan, 3000, 2, 0)
    assert found["scan_norm"] == pytest.approx(1, abs=0.01)
    assert found["scan_seconds"] > 0


FAKE = """
import torch

class pdf(torch.nn.Module):
    def __init__(self, defs, layers, options_overwrite, amortize_everything, **_):
        super().__init__()
        print("options", options_overwrite)  # must not stand before "ready"
        assert defs == "s2" and set(layers) == {"f"} and "rotation_mode" in options_overwrite["f"]
        self.total_number_amortizable_params = 2 * len(layers)

    def forward(self, x, amortization_parameters):
        each = -(x * amortization_parameters.mean(1, keepdim=True)).sum(1)
        return each, each, x

    def sample(self, samplesize, amortization_parameters):
        x = torch.ones(samplesize, 3, dtype=torch.double)
        each = self(x, amortization_parameters)[0]
        return x, x, each, each
"""
KNOWN = 'def obtain_default_options(name):\n    return {"rotation_mode": "angles"}\n'


def test_jammy_flows_is_left_out_where_it_is_not_installed(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.sides._peers, "environment", lambda *_: sys.executable)
    found = benchmark.jammy(benchmark.Config(cache=tmp_path), None, None)
    assert found == {"installed": False}


def test_jammy_flows_is_timed_where_it_is_installed(benchmark, tmp_path, monkeypatch):
    """One that only has its face: its programs are asked as they should be, in zuko's Python."""
    config = benchmark.Config(out=tmp_path / "run", n_events=8, n_layers=3, repeats=2)
    if not (config.cache / "complete").exists():
        pytest.skip(f"{config.cache} is not there: the benchmark makes it")
    package = tmp_path / "jammy_flows"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE)
    (package / "flow_options.py").write_text(KNOWN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = benchmark.runs.create(config.out, config)
    here = benchmark.sides.of_sphere(flow.Plan(1, 2), 8, 0)
    found = benchmark.jammy(config, run, here)
    assert found["installed"]
    assert found["numbers_an_event"] == 6
    assert all(found[f"{what}_ratio"] > 0 for what in benchmark.sides.SPHERE)
    assert (run.path / "plots" / "sphere" / "gradient.png").is_file()


def test_against_zuko(benchmark, tmp_path):
    """All ratios, where its environment is made already; the parameters are as many."""
    config = benchmark.Config(
        out=tmp_path / "run",
        n_events=32,
        n_given=3,
        n_steps=2,
        n_bins=4,
        width=8,
        n_layers=1,
        n_cells=500,
        encoded=(2, 4, 16),
        repeats=2,
    )
    if not (config.cache / "complete").exists():
        pytest.skip(f"{config.cache} is not there: the benchmark makes it")
    results = benchmark.main(config)
    for what in ("log_prob", "sample", "gradient", "sample_log_prob"):
        assert results["zuko"][f"{what}_ratio"] > 0
        assert results["zuko"][f"{what}_ratio_error"] >= 0
    assert results["zuko"]["n_parameters"] == 2 * (4 * 4 + 4 * 5 + 4 * 5 + 4 * 9 + 11 * 5 + 11 * 9)
    assert results["sphere_gradient_us"] > 0
    assert not results["jammy_flows"]["installed"]
    for what in ("forward", "gradient", "forward_fused"):
        assert results["torch"][f"encoder_{what}_ratio"] > 0
