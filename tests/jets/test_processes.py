"""Worker processes: results in order, errors with their cause, no imports that need not be."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hepjax.jets import processes


def test_results_come_in_the_order_of_submission():
    with processes.pool("math", "factorial", 2) as submit:
        futures = [submit(n) for n in range(12)]
        assert [future.result() for future in futures] == [1, 1, *(n for n in _factorials(11))]


def _factorials(n):
    value = 1
    for k in range(2, n + 1):
        value *= k
        yield value


def test_an_exception_arrives_with_its_traceback():
    with processes.pool("math", "sqrt", 1) as submit:
        with pytest.raises(RuntimeError, match=r"a worker process failed(.|\n)*ValueError"):
            submit(-1).result()
        assert submit(4).result() == 2  # and the worker goes on


def test_a_missing_function_is_an_error():
    with (
        processes.pool("math", "no_such_function", 1) as submit,
        pytest.raises(RuntimeError, match="no_such_function"),
    ):
        submit(1).result()


@pytest.mark.parametrize(("code", "message"), [(3, "exit code 3"), (0, "exit code 0")])
def test_a_worker_that_dies_is_an_error(code, message):
    with (
        processes.pool("os", "_exit", 1) as submit,
        pytest.raises(RuntimeError, match=f"worker process .* died with {message}"),
    ):
        submit(code).result()


def test_a_killed_worker_is_an_error():
    with processes.pool("os", "abort_is_not_called", 1) as submit, pytest.raises(RuntimeError):
        submit(0).result()
    with (
        processes.pool("signal", "raise_signal", 1) as submit,
        pytest.raises(RuntimeError, match=r"died with signal 9 \(often: out of memory\)"),
    ):
        submit(9).result()


def test_prints_of_libraries_do_not_disturb_the_answers():
    with processes.pool("os", "system", 1) as submit:
        assert submit("echo a banner").result() == 0
        assert submit("true").result() == 0


def test_workers_are_other_processes_without_the_main_module():
    with processes.pool("builtins", "eval", 1) as submit:
        assert submit("__import__('os').getpid()").result() != os.getpid()
        modules = set(submit("sorted(__import__('sys').modules)").result())
    assert not modules & {"jax", "pytest", "numpy", "multiprocessing"}


def test_leaving_gives_up_what_still_runs():
    start = time.monotonic()
    with processes.pool("time", "sleep", 1) as submit:
        submit(100)
        submit(100)
    assert time.monotonic() - start < 20


def test_at_least_one_worker():
    with (
        pytest.raises(ValueError, match="n_workers is 0"),
        processes.pool("math", "sqrt", 0),
    ):
        pass


def test_workers_see_variables_beside_those_of_this_process():
    with processes.pool("os", "getenv", 1, {"HEPJAX_TEST": "3"}) as submit:
        assert [submit(name).result() for name in ("HEPJAX_TEST", "PATH")] == [
            "3",
            os.environ["PATH"],
        ]


def _has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look at processes")
def test_a_worker_ends_with_a_parent_that_was_killed():
    code = (
        "import time; from hepjax.jets.processes import pool\n"
        "with pool('time', 'sleep', 1) as submit:\n"
        "    worker = submit(100)\n"
        "    import subprocess, os\n"
        "    time.sleep(0.5)\n"
        "    children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(os.getpid())],"
        " capture_output=True, text=True).stdout.split()\n"
        "    print(*children, flush=True)\n"
        "    time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline().split()[0])
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if _has_ended(worker):
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker lives on")
