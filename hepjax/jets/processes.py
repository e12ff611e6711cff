"""Calls of one function in other processes, without what Python's own pools bring along.

The pools of the standard library import the user's main module anew in each process: a script that
imports jax would start it in every worker, one without the usual guard would start itself again,
and a notebook has no module at all. Here a worker is a fresh interpreter that imports the one
module it needs and then answers pickled arguments with pickled results over its pipes. What
libraries print on their standard output (banners) goes nowhere; standard error is kept. A worker
ends with its parent, however that ends.

>>> with pool("math", "factorial", 1) as submit:
...     submit(5).result()
120
"""

import contextlib
import gc
import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, cast


@contextlib.contextmanager
def pool(
    module: str, function: str, n_workers: int, variables: Mapping[str, str] | None = None
) -> Iterator[Callable[[Any], Future]]:
    """Start `n_workers` processes and yield submit(argument), which gives a Future.

    variables: of the environment, beside those of this process.
    Calls run in the order of submission, each as ``module.function(argument)``. An exception there
    is raised by Future.result() as a RuntimeError with its traceback; so is the death of a worker.
    On leaving the context, what still runs is given up.
    """
    if n_workers < 1:
        raise ValueError(f"n_workers is {n_workers}, expected at least 1")
    workers = [_start(module, function, variables or {}) for _ in range(n_workers)]
    idle: queue.SimpleQueue = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def call(argument: Any) -> Any:
        worker = idle.get()
        try:
            return _ask(worker, argument)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(n_workers)
    try:
        yield lambda argument: threads.submit(call, argument)
    finally:
        for worker in workers:
            worker.kill()
        threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            with worker:  # waits, and closes the pipes
                pass


def _start(module: str, function: str, variables: Mapping[str, str]) -> subprocess.Popen:
    paths = [path or os.getcwd() for path in sys.path]
    code = f"from {__name__} import _serve; _serve({module!r}, {function!r})"
    own = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | own | dict(variables),
    )


def _ask(worker: subprocess.Popen, argument: Any) -> Any:
    """Send one argument to a worker and wait for its answer."""
    questions, answers = cast(BinaryIO, worker.stdin), cast(BinaryIO, worker.stdout)
    try:
        pickle.dump(argument, questions)
        questions.flush()
        fine, answer = pickle.load(answers)
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        code = worker.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
        raise RuntimeError(f"worker process {worker.pid} died with {cause}{hint}") from error
    if not fine:
        raise RuntimeError(f"a worker process failed:\n{answer}")
    return answer


def _serve(module: str, function: str) -> None:
    """Answer until the other end closes; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    gc.disable()  # millions of short-lived tuples: 3 % of the time to look at them
    while True:
        gc.collect()
        try:
            argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, getattr(importlib.import_module(module), function)(argument)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


def _end_with(parent: int) -> None:
    """End this process soon after its parent, even if that was killed in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
