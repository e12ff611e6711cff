"""Each experiment's main with a tiny config: the run folder, the keys, resume and prediction."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import toy

from hepjax import runs
from hepjax.io import root
from hepjax.jets import particle_transformer
from hepjax.nn import model

ROOT = Path(__file__).parent.parent
KEYS = {"auc", "auc_error", "auc_bdt", "auc_bdt_error", "rejection_30", "rejection_30_error"}
KEYS |= {"n_train", "n_test", "seconds"}


def load_module(path):
    spec = importlib.util.spec_from_file_location(path.parent.name + "_toys", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_of(run):
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


@pytest.mark.smoke
def test_jets_top_leaves_a_whole_run_folder(tiny_run):
    found = files_of(tiny_run)
    assert {"config.json", "versions.json", "metrics.jsonl", "metrics.json"} <= found
    plots = {"roc", "rejection", "scores", "efficiency", "confusion", "mass_sculpting", "history"}
    assert {f"plots/{name}.png" for name in plots} <= found
    results = json.loads((tiny_run / "metrics.json").read_text())
    assert results.keys() >= KEYS
    assert 0.5 < results["auc"] <= 1
    assert results["n_train"] + results["n_test"] < 400
    assert any("checkpoints" in name for name in found)


def test_jets_top_predicts_with_all_observers(tiny_run, jets_top, tiny_file, tmp_path):
    config = jets_top.Config(out=tmp_path / "scores", predict=(tiny_file,), from_run=tiny_run)
    (written,) = jets_top.main(config)["written"]
    before, after = root.read_jetclass(tiny_file), root.read_jetclass(written)
    assert set(before.jets) | {"score_QCD", "score_Tbqq"} == set(after.jets)
    np.testing.assert_array_equal(before.particles["part_px"], after.particles["part_px"])
    total = after.jets["score_QCD"] + after.jets["score_Tbqq"]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    tops = after.jets["label_Tbqq"] == 1
    assert after.jets["score_Tbqq"][tops].mean() > after.jets["score_Tbqq"][~tops].mean()


def test_jets_top_resumes_only_the_same_run(tiny_run, jets_top, tiny_config):
    with pytest.raises(ValueError, match="holds a run already"):
        jets_top.main(tiny_config)
    with pytest.raises(ValueError, match="seed: 0 -> 1"):
        jets_top.main(dataclasses.replace(tiny_config, resume=True, seed=1))


def test_jets_top_without_a_run_to_predict_from(jets_top, tiny_file):
    with pytest.raises(ValueError, match="--from RUN"):
        jets_top.main(jets_top.Config(predict=(tiny_file,)))


@pytest.mark.slow
def test_jets_top_trains_other_models(jets_top, tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, model="particlenet", out=tmp_path / "run", n_epochs=1)
    assert 0 < jets_top.main(config)["auc"] <= 1


def test_jets_compare_pairs_models_on_the_same_test_jets(
    load_experiment, tiny_run, tiny_config, tmp_path
):
    """A training that is there already is kept, the other one is done."""
    experiment = load_experiment("jets_compare")
    out = tmp_path / "compare"
    shutil.copytree(tiny_run, out / "trainings" / "pfn_0")
    before = (out / "trainings" / "pfn_0" / "metrics.json").stat().st_mtime
    config = experiment.Config(
        out=out,
        models=("pfn", "efn"),
        n_seeds=1,
        data=tiny_config.data,
        n_epochs=2,
        budget=tiny_config.budget,
        buckets=tiny_config.buckets,
    )
    results = experiment.main(config)
    assert (out / "trainings" / "pfn_0" / "metrics.json").stat().st_mtime == before
    gap = results["pfn_auc"] - results["efn_auc"]
    assert results["pfn_above_efn"] == pytest.approx(gap, abs=1e-9)
    assert 0 < results["pfn_above_efn_error"] < 0.2
    assert results["auc_bdt"] == json.loads((tiny_run / "metrics.json").read_text())["auc_bdt"]
    assert (out / "plots" / "auc.png").exists()


def test_jets_history(load_experiment, tiny_file, tmp_path):
    """Trees and a set draw the line; a second call keeps them, and trains another side by side."""
    experiment = load_experiment("jets_history")
    config = experiment.Config(
        out=tmp_path / "run",
        data=(tiny_file,),
        models=("trees", "pfn"),
        n_seeds=1,
        buckets=(32,),
        epochs=0.25,
        workers=1,
    )
    results = experiment.main(config)
    for name in config.models:
        assert results[f"{name}_rejection_30"] >= 1
        assert results[f"{name}_auc_error"] > 0
    assert results["n_signal"] + results["n_background"] + results["n_train"] < 400
    assert (tmp_path / "run" / "plots" / "history.png").exists()
    trainings = tmp_path / "run" / "trainings"
    assert {path.name for path in trainings.iterdir()} == {"trees_0", "pfn_0"}
    before = {path: path.stat().st_mtime for path in trainings.rglob("scores.npz")}
    again = experiment.main(dataclasses.replace(config, resume=True))
    assert {path: path.stat().st_mtime for path in before} == before
    assert again["pfn_auc"] == results["pfn_auc"]


def test_jets_history_has_more_background(load_experiment, tiny_file, tmp_path):
    """Generated QCD jets, a file without any top, join the test sample and no other."""
    experiment, columns = load_experiment("jets_history"), root.read_jetclass(tiny_file)
    more = root.take(columns, columns.jets["label_QCD"] == 1)
    config = experiment.Config(samples=tmp_path, n_jets=300, n_background=root.n_jets(more))
    root.write_jetclass(tmp_path / f"qcd_{config.n_background}_2.root", more)
    shutil.copy(tiny_file, tmp_path / "top_landscape_300_1.root")
    with_more = experiment.samples(config)
    without = experiment.samples(dataclasses.replace(config, n_background=0))
    assert [len(part.label) for part in with_more[:2]] == [len(x.label) for x in without[:2]]
    grown = [np.bincount(part.label) for part in (without[2], with_more[2])]
    np.testing.assert_array_equal(grown[1] - grown[0], [config.n_background, 0])


@pytest.mark.slow
def test_jets_history_side_by_side(load_experiment, tiny_file, tmp_path):
    """Two processes, whose seeds differ and whose first one is that of a single process."""
    experiment = load_experiment("jets_history")
    common = {"data": (tiny_file,), "models": ("pfn",), "buckets": (32,), "epochs": 0.25}
    two = experiment.Config(out=tmp_path / "two", n_seeds=2, workers=2, **common)
    one = experiment.Config(out=tmp_path / "one", n_seeds=1, workers=1, **common)
    experiment.main(two)
    experiment.main(one)
    scores = [
        np.load(c.out / "trainings" / f"pfn_{seed}" / "scores.npz")["score"]
        for c, seed in ((one, 0), (two, 0), (two, 1))
    ]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
    assert np.abs(scores[2] - scores[0]).max() > 1e-2


def pretrained_folder(hepjax_data, tmp_path, n):
    folder = tmp_path / "jets"
    folder.mkdir()
    for name in ("pf_vectors", "labels"):
        np.save(folder / f"tl_{name}.npy", np.load(hepjax_data / "jets" / f"tl_{name}.npy")[:n])
    return folder


def test_jets_pretrained(load_experiment, hepjax_data, tmp_path):
    """The official network on real jets, without training: torch's logits, and its AUC."""
    experiment = load_experiment("jets_pretrained")
    n = 200
    folder = pretrained_folder(hepjax_data, tmp_path, n)
    weights = hepjax_data / "jets" / "ParticleNet_kin.pt"
    results = experiment.main(experiment.Config(weights, folder, out=tmp_path / "run"))
    logits = np.load(hepjax_data / "jets" / "ParticleNet_kin_tl_logits.npy")[:n]
    expected = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    found = np.load(tmp_path / "run" / "scores.npy")
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    # where particles coincide the neighbours follow torch's unstable sort: see test_weaver_weights
    assert np.abs(found - expected).mean() < 5e-3
    assert np.mean(np.abs(found - expected).max(1) < 1e-4) > 0.15
    assert results["n_jets"] == n
    assert results["auc"] > 0.96


def test_jets_pretrained_asks_for_a_name(load_experiment, tmp_path):
    experiment = load_experiment("jets_pretrained")
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}_pf_vectors.npy", np.ones((3, 4, 5)))
        np.save(tmp_path / f"{name}_labels.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        experiment.read(experiment.Config(jets=tmp_path))
    np.save(tmp_path / "a_labels.npy", np.ones(2))
    with pytest.raises(ValueError, match=r"labels \[jet\]"):
        experiment.read(experiment.Config(jets=tmp_path, name="a"))


def test_benchmark_of_loading(load_experiment, tiny_file, tmp_path):
    benchmark = load_experiment("benchmarks/loading")
    results = benchmark.main(benchmark.Config(tiny_file, tmp_path / "run", repeats=2, n_jets=200))
    assert results["ratio"] > 0
    assert results["n_compilations"] <= 6
    assert (tmp_path / "run" / "plots" / "loading.png").exists()


@pytest.fixture(scope="module")
def against_naive(load_experiment, tiny_file, tmp_path_factory):
    """The benchmark against the network in plain JAX, tiny, and its run folder."""
    benchmark = load_experiment("benchmarks/jets_vs_weaver")
    out = tmp_path_factory.mktemp("benchmark") / "run"
    tiny = {"n_batches": 1, "n_jets": 8, "repeats": 2, "size": "small", "other": "naive"}
    config = benchmark.Config(tiny_file, out, rate=1e-3, **tiny)
    return benchmark, config, benchmark.main(config)


def test_plain_network_of_the_benchmark_is_ours(load_experiment, tiny_file):
    """The same logits from the same variables, so that memory and time compare like with like."""
    benchmark = load_experiment("benchmarks/jets_vs_weaver")
    sizes = {"embed_dims": (8, 8), "pair_dims": (8,), "n_heads": 2, "n_layers": 1}
    module = particle_transformer.ParticleTransformer(10, **sizes, n_class_layers=1, dropout=0.0)
    net = model.from_linen(module)
    [(inputs, _)] = benchmark.draw(benchmark.Config(tiny_file, n_batches=1, n_jets=8))
    assert inputs.mask.shape[1] == inputs.mask.sum(1).max()
    variables = {"params": jax.jit(net.init)(jax.random.key(0), inputs)["params"]}
    with jax.enable_x64(True):  # the naive pair mass is rounding in float32
        wide = [np.asarray(x, np.float64) for x in inputs[:3]]
        inputs = inputs._replace(features=wide[0], points=wide[1], p4=wide[2])
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
        ours = jax.jit(lambda v, x: net.apply_train(v, x)[0])(variables, inputs)
        plain = jax.jit(sys.modules["_naive"].logits)(variables, inputs)
        np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.slow
def test_benchmark_of_training(against_naive):
    _, config, results = against_naive
    assert results["forward_apart"] < 0.5  # float32: the naive pair mass is rounding
    assert results["loss_apart"] < 0.1  # after steps, too
    assert results["memory_ratio_naive_listed"] < results["memory_ratio_naive"] < 1
    assert results["step_ratio_min"] <= results["step_ratio"] <= results["step_ratio_max"]
    assert results["n_repeats"] == 2
    assert 0 < results["occupancy"] < 1
    assert (config.out / "plots" / "seconds.png").exists()


@pytest.mark.slow
def test_benchmark_of_training_on_a_device(against_naive, tmp_path, capsys):
    benchmark, config, _ = against_naive
    chosen = {
        "gpu": True,
        "gpu_jets": 20,
        "gpu_batches": 2,
        "gpu_steps": 1,
        "out": tmp_path / "run",
    }
    results = benchmark.main(dataclasses.replace(config, **chosen))
    assert results["jets_per_second"] > 0
    assert results["share_of_floor"] == pytest.approx(results["jets_per_second"] / 1.52e6)
    assert capsys.readouterr().out.splitlines()[-1].endswith("of floor")


SCRIPTS = [path for path in (ROOT / "experiments").rglob("*.py") if path.name[0] != "_"]


@pytest.mark.parametrize("path", sorted(SCRIPTS), ids=lambda path: path.stem)
def test_every_experiment_has_a_header_and_takes_out_and_seed(path, load_experiment):
    module = load_experiment(str(path.relative_to(ROOT / "experiments").with_suffix("")))
    for word in ("Paper:", "Command:", "Cost:", "Expected:"):
        assert word in module.__doc__
    fields = {field.name for field in dataclasses.fields(module.Config)}
    assert {"out", "seed"} <= fields
    assert module.Config.__dataclass_params__.frozen


def test_help_teaches():
    done = subprocess.run(
        [sys.executable, ROOT / "experiments" / "jets_top.py", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for word in ("--data", "--model", "--quick", "--full", "--predict", "--from", "Cost:"):
        assert word in done.stdout


def test_metrics_json_is_what_main_returned(tiny_run):
    results = json.loads((tiny_run / "metrics.json").read_text())
    assert results["n_parameters"] > 0
    steps = [line["step"] for line in runs.read(tiny_run) if line["split"] == "validation"]
    assert len(steps) == 2


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tiny_file, tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "jets.root").symlink_to(tiny_file)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["done"].reason == "finished"
    assert int(names["done"].state.step) > 0


@pytest.mark.parametrize("ending", ["zip", pytest.param("onnx", marks=pytest.mark.slow)])
def test_jets_export(load_experiment, tiny_run, tmp_path, request, ending):
    """A run as a file beside which stands how far it is from JAX, and how fast."""
    if ending == "onnx":
        request.getfixturevalue("onnx_folder")
    experiment = load_experiment("jets_export")
    out = tmp_path / f"pfn.{ending}"
    config = experiment.Config(tiny_run, out, n_jets=50, batch=8, repeats=2)
    results = experiment.main(config)
    assert out.exists()
    for name in ("logits", "probabilities"):
        assert results[f"difference_{name}"] < 1e-5
        assert results[f"largest_{name}"] < 1e-4
    assert results["n_jets"] == 50
    assert results["file_over_weights"] > 1
    assert results["jets_per_second_file"] > 0
    assert json.loads((tmp_path / "pfn" / "metrics.json").read_text()) == results
    assert (tmp_path / "pfn" / "plots" / "differences.png").exists()


@pytest.mark.parametrize(
    "models", [("dips",), pytest.param(("dips", "dl1d", "gn2_plain"), marks=pytest.mark.slow)]
)
def test_jets_flavour(load_experiment, tmp_path, monkeypatch, models):
    """A line of taggers, one inside another, on toys; trainings that are done are kept."""
    experiment = load_experiment("jets_flavour")
    monkeypatch.setattr(experiment.training.flavour_data, "BUCKETS", (16,))  # compile once
    toys = load_module(ROOT / "tests" / "jets" / "flavour" / "conftest.py")
    root.write_jetclass(tmp_path / "toys.root", toys.columns(n=400, seed=2))
    config = experiment.Config(
        out=tmp_path / "run",
        data=(tmp_path / "toys.root",),
        models=models,
        n_seeds=1,
        n_epochs=1,
        budget=1024,
        test_fraction=0.4,
        workers=1,
    )
    results = experiment.main(config)
    for name in config.models:
        for key in ("light_rejection_70", "c_rejection_70"):
            assert results[f"{name}_{key}"] >= 1
            assert results[f"{name}_{key}_error"] >= 0
    assert results["n_train"] + results["n_test_light"] < 400
    trained = {path.name for path in (tmp_path / "run" / "trainings").iterdir() if path.is_dir()}
    assert trained == {f"{name}_0" for name in models}
    assert (tmp_path / "run" / "plots" / "rejections.png").exists()
    before = {p: p.stat().st_mtime for p in (tmp_path / "run").rglob("logits_*.npy")}
    assert len(before) == len(models)
    again = experiment.main(dataclasses.replace(config, resume=True, models=models[:1]))
    assert {p: p.stat().st_mtime for p in before} == before
    assert again["n_train"] == results["n_train"]
    export = load_experiment("jets_export")
    with pytest.raises(ValueError, match=r"choose one training, of .*dips_0"):
        export.main(export.Config(config.out, tmp_path / "all.zip"))
    for name in models[1:]:
        training = config.out / "trainings" / f"{name}_0"
        exported = export.Config(training, tmp_path / f"{name}.zip", n_jets=20, repeats=1)
        assert export.main(exported)["difference_discriminant"] < 1e-5


@pytest.mark.parametrize("z_jets", [0, pytest.param(440, marks=pytest.mark.slow)])
def test_jets_origin(load_experiment, tmp_path, monkeypatch, z_jets):
    """Eleven classes of toys, and jets of another source measured beside them."""
    experiment = load_experiment("jets_origin")
    monkeypatch.setattr(experiment.origin_data, "BUCKETS", (16,))  # compile once
    toys = load_module(ROOT / "tests" / "jets" / "origin" / "conftest.py")
    root.write_jetclass(tmp_path / "toys.root", toys.columns(n=880, seed=2))
    if z_jets:
        root.write_jetclass(tmp_path / "origin_z_440_1.root", toys.columns(n=440, seed=4))
    config = experiment.Config(
        out=tmp_path / "run",
        data=(tmp_path / "toys.root",),
        model="pfn",
        n_epochs=8,
        budget=1024,
        learning_rate=1e-2,
        decay=0.9,
        z_jets=z_jets,
        samples=tmp_path,
    )
    results = experiment.main(config)
    for key in ("charge_flip_u", "charge_flip_all_u", "jet_charge_flip_u", "efficiency_b"):
        assert 0 <= results[key] <= 1
        assert results[f"{key}_error"] >= 0
        assert 0 <= results.get(f"z_{key}", 0) <= 1
    assert results["accuracy"] > 1 / 11 + 3 * results["accuracy_error"]
    assert results["n_train"] + results["n_test"] < 880
    assert ("z_efficiency_b" in results) == (z_jets > 0)
    for folder in ("plots", *(("plots/z",) if z_jets else ())):
        for name in ("matrix", "charge_flip", "efficiency", "roc"):
            assert (tmp_path / "run" / folder / f"{name}.png").exists(), name


def test_jets_finetune(load_experiment, tmp_path):
    """Ten classes of toys, then two with few labels; with --resume what is done is kept."""
    experiment = load_experiment("jets_finetune")
    plan = experiment.Plan
    many = toy.ten_classes(n=900, seed=1)
    root.write_jetclass(tmp_path / "many.root", many)
    root.write_jetclass(tmp_path / "tops.root", toy.jets(n=400, seed=2)[0])
    config = experiment.Config(
        out=tmp_path / "run",
        many=(tmp_path / "many.root",),
        tops=(tmp_path / "tops.root",),
        model="pfn",
        n_seeds=1,
        starts=("finetune", "scratch"),
        labels=(60,),
        budget=1024,
        few_budget=1024,
        buckets=(32,),
        pretrain=plan(6, 1e-2),
        finetune=(plan(1, 1e-3, 0.5),),
        scratch=(plan(1, 1e-3),),
    )
    results = experiment.main(config)
    assert results["pretrain_accuracy"] > 0.15  # 0.1 by chance
    assert results["pretrain_calibration_error_after"] > 0
    for start in config.starts:
        assert 0 <= results[f"{start}_60_auc"] <= 1
        assert results[f"{start}_60_auc_error"] > 0
    gap = results["finetune_60_auc"] - results["scratch_60_auc"]
    assert results["gain_60"] == pytest.approx(gap)
    assert "dense_1/kernel" in (tmp_path / "run" / "graft.txt").read_text()
    assert {"labels_auc.png", "confusion_pretrain.png", "calibration_pretrain.png"} <= {
        path.name for path in (tmp_path / "run" / "plots").iterdir()
    }
    before = {p: p.stat().st_mtime for p in (tmp_path / "run").rglob("logits.npy")}
    assert len(before) == 2
    again = experiment.main(dataclasses.replace(config, resume=True, starts=("scratch",)))
    assert {p: p.stat().st_mtime for p in before} == before
    assert again["scratch_60_auc"] == results["scratch_60_auc"]
    teacher = tmp_path / "run" / "trainings" / "pretrain"
    other = dataclasses.replace(
        config, out=tmp_path / "other", teacher=teacher, starts=("finetune",)
    )
    assert experiment.main(other)["finetune_60_auc"] == results["finetune_60_auc"]
    assert not (tmp_path / "other" / "trainings" / "pretrain").exists()
