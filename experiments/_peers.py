"""Environments of peers: packages that benchmarks and experiments compare with.

`environment` makes one with pip at its first use and keeps it, apart from that of hepjax: none of
them is a dependency.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def environment(cache: Path, packages: Sequence[str]) -> Path:
    """Give the interpreter of an environment with packages, made in the folder unless it is there.

    Raises subprocess.CalledProcessError where it cannot be made; what is half made is made anew.
    """
    python = cache / "bin" / "python"
    if not (cache / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", cache], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (cache / "complete").touch()
    return python
