"""Runs the tests of the folder eight_devices in a process that has eight virtual devices."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "eight_devices"


def test_eight_virtual_devices():
    """NPROC enlarges the thread pool: with fewer threads than devices, collectives dead-lock."""
    environment = {
        **os.environ,
        "NPROC": "32",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "HEPJAX_EIGHT_DEVICES": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(FOLDER), "--confcutdir", str(FOLDER.parent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=FOLDER.parent.parent,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
