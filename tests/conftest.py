"""What all tests share: test data by HEPJAX_DATA, long tests by --slow, one compilation cache."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
CACHE = Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long test: run with --slow"))


sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "jets")]

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


def pytest_ignore_collect(collection_path, config):
    """The folder eight_devices is for a process that has them: test_eight_devices.py starts it."""
    if collection_path.name == "eight_devices" and "HEPJAX_EIGHT_DEVICES" not in os.environ:
        return True
    return None


@pytest.fixture(scope="session")
def load_experiment():
    """Import an experiment by its path below experiments/, without the ending."""
    folder = Path(__file__).parent.parent / "experiments"
    loaded = {}

    def load(name: str):
        if name not in loaded:
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
