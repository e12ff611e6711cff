"""Environments of peers: packages that benchmarks and experiments compare with.

`environment` makes one with pip at its first use and keeps it, apart from that of hepjax: none of
them is a dependency. `conversation` runs a script there, in one thread, which answers questions.
"""

import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
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


def conversation(python: Path, script: Path, *words: object) -> Callable[..., list[str]]:
    """Start a script that says "ready", then answers each line of its input by one line.

    words: its arguments. Returns ask(*words) -> the words of the answer; the script ends with it.
    Raises ValueError for a script that does not start.
    """
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [python, script, *map(str, words)]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=env)
    sent, answers = process.stdin, process.stdout
    if sent is None or answers is None or answers.readline() != "ready\n":
        raise ValueError(f"{script} did not start")

    def ask(*question: object) -> list[str]:
        print(*question, file=sent, flush=True)
        return answers.readline().split()

    weakref.finalize(ask, process.communicate)
    return ask
