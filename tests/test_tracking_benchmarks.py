"""The benchmarks of tracking: what they compare is the same on both sides."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark(load_experiment):
    return load_experiment("benchmarks/tracking_vs_torch")


def test_the_graph_is_sorted_by_receiver(benchmark):
    config = benchmark.Config(n_nodes=50, n_edges=200, width=4)
    given = benchmark.graph(config)
    assert (np.diff(given["receivers"]) >= 0).all()
    assert given["nodes"].shape == (50, 4)
    assert given["edges"].shape == (200, 4)


def test_ratios_are_theirs_over_ours(benchmark):
    found = benchmark.sides.ratios("step", [1.0, 2.0, 2.0], [2.0, 4.0, 8.0])
    assert found["step_ratio"] == 2
    assert (found["step_ratio_min"], found["step_ratio_max"]) == (2, 4)
    assert found["step_ratio_error"] > 0


def test_components_are_counted_and_timed(benchmark):
    found = benchmark.sides.scipy((2000,), 3, 0)
    assert found["components_2k_ratio"] > 0


def test_messages_against_torch(benchmark, tmp_path):
    """Edges agree with torch's where its environment is made already."""
    config = benchmark.Config(
        out=tmp_path / "run", n_nodes=60, n_edges=300, width=8, n_rounds=2, repeats=2
    )
    if not (config.cache / "complete").exists():
        pytest.skip(f"{config.cache} is not there: the benchmark makes it")
    results = benchmark.main(config)
    assert results["edges_apart"] < 1e-4
    assert results["memory_torch_naive"] > results["memory_torch_split"] > 0


def test_on_a_device(benchmark, velo_config, velo_run, tmp_path, capsys):
    """A large graph, made small, and events of a trained finder; no torch beside it."""
    graph = {"n_nodes": 60, "n_edges": 300, "width": 8, "n_rounds": 2, "repeats": 2}
    some = {"finder": velo_config.out, "data": velo_config.test, "n_events": 2, "batches": (1, 3)}
    none = {"out": tmp_path / "run", "cache": tmp_path / "none", "gpu": True}
    results = benchmark.main(benchmark.Config(**graph, **some, **none))
    names = [
        f"{what}_{kind}_ms" for what in ("forward", "step") for kind in ("float32", "bfloat16")
    ]
    names += ["step_float32_kept_ms", "find_ms_an_event", "triplets_ms_an_event"]
    names += ["events_per_second_float32_3", "events_per_second_bfloat16_3_on_device"]
    for name in names:
        assert results[name] > 0
        assert results[f"{name}_error"] >= 0
    stages = sum(results[f"{name}_ms_an_event"] for name in ("edge_filter", "network", "triplets"))
    assert stages == pytest.approx(results["find_ms_an_event"])
    assert not any(name.startswith("torch") for name in results)
    assert (tmp_path / "run" / "plots" / "events_per_second.png").exists()
    assert "events_per_second_bfloat16_1" in capsys.readouterr().out
