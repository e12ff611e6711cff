"""Checkpoints: whole or absent, latest and best kept, and no best that is not a number."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import checkpoint


def state(x=0.0):
    return {"w": jnp.full((3,), x), "key": jax.random.key(int(x)), "step": jnp.int32(x)}


@pytest.mark.smoke
def test_round_trip_with_typed_key_and_meta(tmp_path):
    with checkpoint.open(tmp_path) as c:
        checkpoint.save(c, 7, state(7), meta={"config": {"seed": 1}})
    with checkpoint.open(tmp_path) as c:
        restored, meta = checkpoint.restore(c, state())
        assert checkpoint.load_meta(c) == meta == {"config": {"seed": 1}}
    np.testing.assert_array_equal(restored["w"], 7)
    assert jax.random.uniform(restored["key"]) == jax.random.uniform(jax.random.key(7))


def test_the_latest_are_kept_beside_the_best(tmp_path):
    with checkpoint.open(tmp_path, keep_latest=2, keep_best=1) as c:
        for step, loss in enumerate([0.5, 0.3, 0.9, math.nan, 0.7]):
            checkpoint.save(c, step, state(step), meta={}, metrics={"loss": jnp.float32(loss)})
        assert checkpoint.steps(c) == [1, 3, 4]
        np.testing.assert_array_equal(checkpoint.restore(c, state(), "best")[0]["w"], 1)
        np.testing.assert_array_equal(checkpoint.restore(c, state())[0]["w"], 4)
        np.testing.assert_array_equal(checkpoint.restore(c, state(), 3)[0]["w"], 3)


def test_not_finite_is_never_the_best_when_maximising(tmp_path):
    with checkpoint.open(tmp_path, metric="auc", maximise=True) as c:
        for step, auc in enumerate([0.5, math.inf, 0.8, math.nan, 0.6, 0.7]):
            checkpoint.save(c, step, state(step), meta={}, metrics={"auc": auc})
        np.testing.assert_array_equal(checkpoint.restore(c, state(), "best")[0]["w"], 2)


def test_an_old_step_is_an_error_and_not_silence(tmp_path):
    with checkpoint.open(tmp_path) as c:
        checkpoint.save(c, 2, state(), meta={})
        with pytest.raises(ValueError, match="step 1 was not saved"):
            checkpoint.save(c, 1, state(), meta={})


def test_another_shape_or_tree_is_an_error(tmp_path):
    with checkpoint.open(tmp_path) as c:
        checkpoint.save(c, 1, state(), meta={})
        with pytest.raises(ValueError, match=r"w.*\(3,\) on disk, \(4,\) wanted"):
            checkpoint.restore(c, {**state(), "w": jnp.zeros(4)})
        with pytest.raises(ValueError, match=r"holds further \['key', 'step'\]"):
            checkpoint.restore(c, {"w": jnp.zeros(3)})


def test_no_checkpoint_is_an_error(tmp_path):
    with checkpoint.open(tmp_path) as c:
        with pytest.raises(ValueError, match="no checkpoint 'latest'"):
            checkpoint.restore(c, state())
        with pytest.raises(ValueError, match="holds no checkpoint"):
            checkpoint.load_meta(c)


CHILD = """
import sys, jax.numpy as jnp
from hepjax import checkpoint
with checkpoint.open(sys.argv[1]) as c:
    for step in range(1, 1000):
        checkpoint.save(c, step, {"w": jnp.full((400_000,), float(step))}, meta={"step": step})
        print(step, flush=True)
"""


def kill_in_mid_save(folder, after):
    """Kill the child with SIGKILL while it writes the step after `after`."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        while int(child.stdout.readline()) < after:
            pass
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any("tmp" in name for name in os.listdir(folder)):
                break
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize("after", [1, 3])
def test_kill_in_mid_save_leaves_every_listed_step_whole(tmp_path, after):
    kill_in_mid_save(tmp_path, after)
    with checkpoint.open(tmp_path) as c:
        found = checkpoint.steps(c)
        assert found[-1] >= after
        for step in found:
            w = checkpoint.restore(c, {"w": jnp.zeros(400_000)}, step)[0]["w"]
            np.testing.assert_array_equal(w, step)
        checkpoint.save(c, found[-1] + 1, {"w": jnp.zeros(400_000)}, meta={})


def test_a_part_can_be_restored(tmp_path):
    with checkpoint.open(tmp_path) as c:
        checkpoint.save(c, 1, {**state(1), "opt": (jnp.ones(2), jnp.ones(3))}, meta={})
        part, _ = checkpoint.restore(c, {"w": jnp.zeros(3)}, partial=True)
        assert list(part) == ["w"]
        np.testing.assert_array_equal(part["w"], 1)
        with pytest.raises(ValueError, match="shape"):
            checkpoint.restore(c, {"w": jnp.zeros(4)}, partial=True)
        with pytest.raises(ValueError, match=r"does not hold \[.*other"):
            checkpoint.restore(c, {"w": jnp.zeros(3), "other": jnp.zeros(3)}, partial=True)


def flip(file, rng):
    data = bytearray(file.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    file.write_bytes(data)


def cut(file, rng):
    file.write_bytes(file.read_bytes()[: rng.integers(file.stat().st_size)])


def lose(file, rng):
    file.unlink()


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A folder with steps 1 and 2, whose arrays tell which they are."""
    folder = tmp_path_factory.mktemp("two") / "steps"
    with checkpoint.open(folder) as c:
        for step in (1, 2):
            checkpoint.save(c, step, state(step), meta={"step": step}, metrics={"loss": step})
    return folder


@pytest.mark.parametrize("damage", [flip, cut, lose])
def test_a_damaged_step_is_never_read(two_steps, tmp_path, damage):
    """Whatever file of the latest it is, but the seal: the one before is read, with a warning."""
    rng = np.random.default_rng(3)
    files = [f.relative_to(two_steps) for f in sorted((two_steps / "2").rglob("*")) if f.is_file()]
    files = [f for f in files if (two_steps / f).stat().st_size and f.name != checkpoint.SEAL]
    assert len(files) > 5
    for k, name in enumerate(files):
        folder = tmp_path / str(k)
        shutil.copytree(two_steps, folder)
        damage(folder / name, rng)
        opened = checkpoint.open(folder)
        with pytest.warns(RuntimeWarning, match=rf"2 is damaged \({name.relative_to('2')}"):
            c = opened.__enter__()
        restored, meta = checkpoint.restore(c, state())
        assert meta == {"step": 1}
        np.testing.assert_array_equal(restored["w"], 1)
        assert (folder / checkpoint.ASIDE / "2.0").is_dir()
        checkpoint.save(c, 2, state(2), meta={"again": True})
        assert checkpoint.restore(c, state())[1] == {"again": True}
        opened.__exit__(None, None, None)


def test_no_step_that_is_whole_is_an_error(two_steps, tmp_path):
    folder = tmp_path / "steps"
    shutil.copytree(two_steps, folder)
    for step in ("1", "2"):
        (folder / step / checkpoint.SEAL).write_text("[1")
    with (
        pytest.warns(RuntimeWarning, match="damaged"),
        pytest.raises(checkpoint.Damaged, match="no checkpoint that is whole, 2 are"),
        checkpoint.open(folder),
    ):
        pass
    assert sorted(f.name for f in (folder / checkpoint.ASIDE).iterdir()) == ["1.0", "2.0"]


def test_steps_without_a_seal_are_read(two_steps, tmp_path):
    folder = tmp_path / "steps"
    shutil.copytree(two_steps, folder)
    (folder / "2" / checkpoint.SEAL).unlink()
    with checkpoint.open(folder) as c:
        assert checkpoint.restore(c, state())[1] == {"step": 2}
