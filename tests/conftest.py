"""What all tests share: test data by HEPJAX_DATA, long tests by --slow, one compilation cache."""

import os
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
