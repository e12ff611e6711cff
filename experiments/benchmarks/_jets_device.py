"""Jets trained a second on one accelerator: the network in bfloat16, batches that stay on it.

Jets of like length share a batch, padded to a bucket, with or without lists of what is real;
products are in bfloat16, kinematics, norms and the loss in float32. `measure` prints a table last.
The floor by operations, 1.52 M jets/s, is that of an H200 at 42 particles a jet: 2 GFLOP a jet of
128 scaled down, at 790 TFLOP/s.
"""

import time
from pathlib import Path
from typing import Any

import _sides
import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, plot
from hepjax.jets import batches, data, pairs, particle_transformer
from hepjax.nn import model

FLOOR = 1.52e6
"""Jets a second that the operations of training allow an H200, at 42 particles a jet."""


def network(size: str, dtype: Any = None) -> model.Model:
    """Build a Particle Transformer without dropout; dtype: of matrix products."""
    small = size == "small"
    kind = particle_transformer.small if small else particle_transformer.ParticleTransformer
    return model.from_linen(kind(10, dropout=0.0, dtype=dtype))


def measure(jets: data.RaggedJets, config: Any, plots: Path) -> dict[str, Any]:
    """Train on batches of like length, as many as an epoch has of each; config: size, gpu_jets,
    gpu_batches, gpu_steps, gpu_lists, repeats, rate, seed.
    """
    count = np.minimum(batch.lengths(jets.particles), 128)
    drawn = np.linspace(0, len(count) - 1, config.gpu_batches * config.gpu_jets).round()
    # few jets stand for many, evenly: speed knows no label
    order = np.argsort(count, kind="stable")[drawn.astype(int)].reshape(-1, config.gpu_jets)
    net = network(config.size, jnp.bfloat16)

    def logits(params: Any, inputs: data.Inputs) -> Any:
        return net.apply_train({"params": params}, inputs)

    step = jax.jit(_sides.step_of(logits, config.rate), donate_argnums=0)
    state, lines = None, []
    for rows in order:
        length = int(batch.bucket_of(count[rows].max()))
        padded = batches.padded(jets, rows, length)
        real = pairs.real(padded.mask) if config.gpu_lists else None
        given = data.inputs(padded._replace(real=real))
        given, label = jax.device_put((given, padded.label))
        if state is None:
            variables = jax.jit(net.init)(jax.random.key(config.seed), given)
            state = _sides.start_state(variables, config.rate)
        seconds = []
        for _ in range(config.repeats + 1):
            start = time.perf_counter()
            for _ in range(config.gpu_steps):
                state, _ = step(state, given, label)
            jax.block_until_ready(state)
            seconds.append((time.perf_counter() - start) / config.gpu_steps)
        lines.append((length, float(count[rows].mean()), np.array(seconds[1:])))
        speed = config.gpu_jets / np.median(seconds[1:])
        print(f"{length} places, {lines[-1][1]:.1f} real: {speed:.0f} jets/s", flush=True)
    return _results(lines, config, plots)


def _results(lines: list, config: Any, plots: Path) -> dict[str, Any]:
    """Sum up the batches, draw and print them."""
    total = np.sum([seconds for _, _, seconds in lines], 0)
    rate = len(lines) * config.gpu_jets / total
    mean = float(np.mean([n for _, n, _ in lines]))
    rows = [(length, n, config.gpu_jets / np.median(s)) for length, n, s in lines]
    with plot.figure(plots / "jets_per_second") as ax:
        ax.plot([n for _, n, _ in rows], [r for _, _, r in rows], "ko-")
        ax.set(xlabel="Particles a jet, mean of a batch", ylabel="Jets trained a second")
        plot.sample(
            ax, f"{jax.devices()[0].device_kind}, bfloat16", f"{config.gpu_jets} jets a batch"
        )
    print("padded to   particles a jet   jets/s")
    for length, n, speed in rows:
        print(f"{length:9d} {n:17.1f} {speed:8.0f}")
    print(f"      all {mean:17.1f} {np.median(rate):8.0f}   {np.median(rate) / FLOOR:.2%} of floor")
    error = float(1.2533 * rate.std(ddof=1) / np.sqrt(len(rate)))
    return {
        "jets_per_second": float(np.median(rate)),
        "jets_per_second_error": error,
        "share_of_floor": float(np.median(rate) / FLOOR),
        "n_particles": mean,
        "device": jax.devices()[0].device_kind,
        "n_compilations": len({length for length, _, _ in lines}),
        "n_repeats": config.repeats,
    }
