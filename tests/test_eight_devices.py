"""Runs the tests of the folder eight_devices in a process that has eight virtual devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "eight_devices"
CONFTEST = ("--confcutdir", str(FOLDER.parent))


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_eight_virtual_devices(chosen):
    """NPROC enlarges the thread pool: with fewer threads than devices, collectives dead-lock."""
    environment = {
        **os.environ,
        "NPROC": "32",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "HEPJAX_EIGHT_DEVICES": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--slow", "-m", chosen, str(FOLDER), *CONFTEST],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=FOLDER.parent.parent,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
