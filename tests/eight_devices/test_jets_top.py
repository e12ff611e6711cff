"""The experiment on eight devices, in both modes, ends where it ends on one."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hepjax import runs
from hepjax.io import root
from hepjax.jets import data, taggers


@pytest.fixture(scope="module")
def trained(jets_top, tiny_config, tiny_file, tmp_path_factory):
    jets = data.select(data.from_columns(root.read_jetclass(tiny_file)), jets_top.CLASSES)
    parts = data.split(jets, (0.7, 0.1, 0.2), 1)

    @functools.cache
    def train(devices, mode):
        config = dataclasses.replace(
            tiny_config,
            out=tmp_path_factory.mktemp("runs") / "run",
            devices=devices,
            mode=mode,
        )
        run = runs.create(config.out, config)
        jets_top.fit(config, run, *parts[:2])
        losses = [line["loss"] for line in runs.read(run) if line["split"] == "validation"]
        return np.array(losses), taggers.score(taggers.restore(run.path), parts[2])

    return train


@pytest.mark.parametrize("mode", ["jit", pytest.param("pmap", marks=pytest.mark.slow)])
def test_eight_devices_end_where_one_does(trained, mode):
    assert len(jax.devices()) == 8
    (one, one_scores), (eight, eight_scores) = trained(1, "jit"), trained(8, mode)
    assert len(one) == 2
    np.testing.assert_allclose(eight, one, rtol=1e-4)
    np.testing.assert_allclose(eight_scores, one_scores, atol=2e-3)
