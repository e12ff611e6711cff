"""What all tests share: test data by HEPJAX_DATA, long tests by --slow, one compilation cache."""

import gc
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
CACHE = Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
QUICK_COMPILATION = (  # most of the time is compilation
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
)
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones have no such flag
    QUICK_COMPILATION += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", QUICK_COMPILATION)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.name == "test_beside.py")  # last: see below
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long test: run with --slow"))


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look at it again and again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


sys.path[:0] = [
    str(Path(__file__).parent / folder) for folder in (".", "io", "jets", "flows", "integration")
]

import toy  # noqa: E402

from hepjax.io import root  # noqa: E402


@pytest.fixture(scope="session")
def toy_columns():
    """The function toy.jets(n, seed, events) -> (columns, label)."""
    return toy.jets


@pytest.fixture(scope="session")
def hepjax_data() -> Path:
    """The folder of test data, which does not belong to the project."""
    folder = os.environ.get("HEPJAX_DATA")
    if not folder:
        pytest.skip("HEPJAX_DATA names no folder of test data")
    return Path(folder)


@pytest.fixture(scope="session")
def onnx_folder(request):
    """The folder of ONNX's environment, which is made with --slow alone."""
    from hepjax.io import onnx

    if not (onnx.home() / "bin" / "python").exists() and not request.config.getoption("--slow"):
        pytest.skip(f"{onnx.home()} is not there: --slow makes it")
    try:
        onnx.environment()
    except RuntimeError as error:
        pytest.skip(str(error))
    return onnx.home().parent


@pytest.fixture(scope="session", autouse=True)
def beside(request, tmp_path_factory):
    """Function of a part of the tests, see test_beside.py -> exit code and output of its process.

    The processes run one after the other, on the second core, from the first test on. Those of the
    folder eight_devices need one of their own: NPROC enlarges its thread pool, with fewer threads
    than devices collectives dead-lock.
    """
    folder, printed = Path(__file__).parent, tmp_path_factory.mktemp("beside")
    eight = {
        "NPROC": "32",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{QUICK_COMPILATION} --xla_force_host_platform_device_count=8",
    }
    waiting = [
        item.callspec.params
        for item in request.session.items
        if item.path.name == "test_beside.py" and not list(item.iter_markers("skip"))
    ]
    codes, running = {}, []

    def run():
        for part in waiting:
            command = [sys.executable, "-m", "pytest", "-q", *part["options"]]
            command += ["--confcutdir", str(folder), str(folder / part["folder"])]
            if part["folder"] != "eight_devices" and request.config.getoption("--slow"):
                command.append("--slow")
            own = eight if part["folder"] == "eight_devices" else {}
            environment = {**os.environ, **own, BESIDE: part["folder"]}
            with (printed / part["name"]).open("w") as file:
                running[:] = [
                    subprocess.Popen(
                        command, env=environment, stdout=file, stderr=file, cwd=folder.parent
                    )
                ]
                codes[part["name"]] = running[0].wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result(name):
        end = time.monotonic() + 1800
        while name not in codes:
            thread.join(1.0)
            assert thread.is_alive() or name in codes, f"{name}: its process did not start"
            assert time.monotonic() < end, f"{name}: half an hour was not enough"
        return codes[name], (printed / name).read_text()

    yield result
    waiting.clear()
    for process in running:
        if process.poll() is None:
            process.kill()
    thread.join()


BESIDE = "HEPJAX_TESTS_BESIDE"
"""Names the folder of tests that a process is there for."""
PARTS = ("jets", "integration", "neutrino")
"""Folders that have one, unless they are asked for."""


def pytest_ignore_collect(collection_path, config):
    """Folders that have a process of their own are left to test_beside.py: eight_devices, which
    needs one, and others unless they are asked for by their path.
    """
    tests = Path(__file__).parent
    if os.environ.get(BESIDE):
        return None
    if collection_path == tests / "eight_devices":
        return True
    asked = [Path(arg.split("::")[0]).absolute() for arg in config.args]
    chosen = config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False)
    if collection_path in [tests / part for part in PARTS] and not chosen:
        wanted = any(collection_path in (path, *path.parents) for path in asked)
        return None if wanted else True
    return None


@pytest.fixture(scope="session", autouse=True)
def plain_plots():
    """Plots are drawn once, where they come to lie, as PNG: layout and PDF are for tests/plot."""
    from hepjax.plot import style

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "LAYOUT", "none")
        patch.setattr(style, "FORMATS", ("png",))
        yield


@pytest.fixture
def restored_precision():
    """For experiments that switch float64 on for their process."""
    import jax

    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="session")
def load_experiment():
    """Import an experiment by its path below experiments/, without the ending."""
    folder = Path(__file__).parent.parent / "experiments"
    loaded = {}

    def load(name: str):
        if name not in loaded:
            sys.path.append(str((folder / name).parent))  # as Python does for a script
            spec = importlib.util.spec_from_file_location(
                name.replace("/", "_"), folder / f"{name}.py"
            )
            loaded[name] = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = loaded[name]
            spec.loader.exec_module(loaded[name])
        return loaded[name]

    return load


@pytest.fixture(scope="session")
def jets_top(load_experiment):
    return load_experiment("jets_top")


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    """400 toy jets in a ROOT file of the JetClass layout."""
    path = tmp_path_factory.mktemp("jets") / "toy.root"
    root.write_jetclass(path, toy.jets(n=400, seed=1)[0])
    return path


@pytest.fixture(scope="session")
def tiny_config(jets_top, tiny_file, tmp_path_factory):
    return jets_top.Config(
        out=tmp_path_factory.mktemp("runs") / "run",
        data=(tiny_file,),
        model="pfn",  # compiles in no time; CI runs the README's command with the transformer
        n_epochs=2,
        budget=1024,
        buckets=(32,),
    )


@pytest.fixture(scope="session")
def tiny_run(jets_top, tiny_config):
    """A run folder of jets_top on toy jets."""
    jets_top.main(tiny_config)
    return tiny_config.out


@pytest.fixture(scope="session")
def velo_events():
    """Fourteen simulated events of one or two collisions in the Velo."""
    import jax

    from hepjax.tracking.simulation import velo

    beam = velo.Beam(n_collisions=1.5, n_prompt=40.0, noise=0.1)
    return [velo.event(jax.random.key(100 + k), beam) for k in range(14)]


@pytest.fixture(scope="session")
def velo_config(load_experiment, velo_events, tmp_path_factory):
    """A config of tracking_velo on these as files, twelve to train on, and a bad file."""
    from hepjax import runs
    from hepjax.io import velo
    from hepjax.tracking import edge_filter, finder, scorers, training, triplets

    data, test = (tmp_path_factory.mktemp(name) for name in ("events", "more"))
    for k, event in enumerate(velo_events):
        for folder in (data, test) if k < 2 else (data,):
            runs.write_json(folder / f"event_{k}.json", velo.to_json(event))
    (data / "event_99.json").write_text("{}")
    tracker = finder.Settings(
        filter=edge_filter.Settings(scorers.Settings(24, n_steps=150), n_edges=1500),
        n_filter=10,
        n_tuning=2,
        width=16,
        n_rounds=3,
        plan=training.Plan(6, learning_rate=1e-2),
        judge=triplets.Settings(network=scorers.Settings(16, 2048, 1e-2, 200)),
    )
    out = tmp_path_factory.mktemp("velo") / "run"
    return load_experiment("tracking_velo").Config(
        out=out, data=data, test=test, n_train=12, tracker=tracker
    )


@pytest.fixture(scope="session")
def perfect_velopix(load_experiment):
    """Perfect tracks in the place of those that velopix finds for tracking_velo."""
    from hepjax.io import velo

    def perfect(cache, files, out):
        events, _ = velo.read(files)
        lists = [
            [e.truth[e.truth[:, 1] == k, 0] for k in range(len(e.particles["pid"]))] for e in events
        ]
        return lists, 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_experiment("tracking_velo")._velopix, "tracks", perfect)
        yield


@pytest.fixture(scope="session")
def velo_run(load_experiment, velo_config, perfect_velopix):
    """What tracking_velo gives with that config; the trained finder is in its folder."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "1 of .* files skipped", RuntimeWarning)
        return load_experiment("tracking_velo").main(velo_config)


@pytest.fixture(scope="session")
def pixel_config(load_experiment, tmp_path_factory):
    """A config of tracking_trackml whose finder is trained in seconds, on seven small events."""
    from hepjax.tracking import edge_filter, finder, scorers, training, triplets

    small = scorers.Settings(16, 2048, 1e-2, 80)
    tracker = finder.Settings(
        edge_filter.Settings(small, n_edges=1200),
        n_filter=5,
        n_tuning=1,
        width=8,
        n_rounds=2,
        plan=training.Plan(8, learning_rate=1e-2),
        judge=triplets.Settings(cut=-1.0, network=small),
    )
    out = tmp_path_factory.mktemp("pixels") / "run"
    return load_experiment("tracking_trackml").Config(
        out=out, pile_up=3.0, n_train=7, n_validation=2, data_seed=21, tracker=tracker
    )


@pytest.fixture(scope="session")
def pixel_run(load_experiment, pixel_config):
    """What tracking_trackml gives with that config; the trained finder is in its folder."""
    return load_experiment("tracking_trackml").main(pixel_config)
