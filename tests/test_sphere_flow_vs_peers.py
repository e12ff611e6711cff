"""The benchmark of flows: sizes agree on both sides, float32 and a scan of the sphere."""

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
    for what in ("forward", "gradient", "forward_fused"):
        assert results["torch"][f"encoder_{what}_ratio"] > 0
