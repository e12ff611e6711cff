"""Events that the tests share: of a toy for networks, and of a small telescope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.flows import sphere as flow
from hepjax.neutrino import (
    data,
    detectors,
    first_guess,
    media,
    posterior,
    pulse_transformer,
    simulation,
    sketches,
)
from hepjax.nn import model

WATER = media.uniform(200.0, 60.0, delay=600.0)


def toy(key, n, length=12):
    """Draw n events of 4 to `length` pulses about a straight line, each off by 40 m and 100 ns."""
    keys = jax.random.split(key, 5)
    direction = sphere.uniform(keys[0], (n,))
    along = jax.random.uniform(keys[1], (n, length), minval=-200, maxval=200)
    away = 40 * jax.random.normal(keys[2], (n, length, 3))
    time = along / media.LIGHT + 100 * jax.random.normal(keys[3], (n, length))
    count = jax.random.randint(keys[4], (n, 1), 4, length + 1)
    mask = jnp.arange(length) < count
    position = along[..., None] * direction[:, None] + away
    one = mask.astype(jnp.float32)
    pulses = data.Pulses(
        position * one[..., None],
        time * one,
        one,
        jnp.arange(length) * mask.astype(jnp.int32),
        mask,
    )
    zero = jnp.zeros(n)
    truth = data.Truth(jnp.zeros((n, 3)), direction, zero, zero + 2, zero + 1, zero + 1, zero + 1)
    return pulses, truth


@pytest.fixture(scope="session")
def simulate():
    return toy


@pytest.fixture(scope="session")
def tiny():
    """A posterior whose network is as small as can be, and which makes no sketch."""
    plan = flow.Plan(n_layers=2)
    network = pulse_transformer.small(posterior.size(plan, None), width=16, n_layers=1, n_heads=2)
    detector = detectors.hang(detectors.hexagonal((2, 3, 2), 100.0), np.linspace(-200.0, 200.0, 3))
    setup = simulation.setup(detector, WATER)
    return posterior.Posterior(model.from_linen(network), plan, setup, None)


@pytest.fixture(scope="session")
def small():
    """37 strings of 16 modules in layered ice, 70 m apart."""
    grid = detectors.hexagonal((4, 5, 6, 7, 6, 5, 4), 70.0)
    detector = detectors.hang(grid, np.linspace(-200.0, 200.0, 16))
    return simulation.setup(detector, media.south_pole(), cap=48)


@pytest.fixture(scope="session")
def small_events(small):
    """Pulses and truth of 256 tracks in it."""
    return jax.jit(lambda key: simulation.events(key, small, 256))(jax.random.key(0))


@pytest.fixture(scope="session")
def few_events(small_events):
    """The first 96 of them."""
    return jax.tree.map(lambda x: x[:96], small_events)


@pytest.fixture(scope="session")
def guess(small):
    """The function guess(pulses) -> first guesses, compiled once for 96 events of 48 pulses."""
    return jax.jit(lambda pulses: first_guess.guess(small, pulses))


@pytest.fixture(scope="session")
def guessed(guess, few_events):
    """First guesses of these 96 tracks."""
    return guess(few_events[0])


@pytest.fixture(scope="session")
def empty(guess, few_events):
    """Events without pulses, and their first guesses."""
    pulses = jax.tree.map(jnp.zeros_like, few_events[0])
    return pulses, guess(pulses)


@pytest.fixture(scope="session")
def sketch(small):
    """The function sketch(pulses, guesses) -> sketches of few draws, compiled for 48 events."""
    few = sketches.Settings(n_draws=64)
    return jax.jit(lambda pulses, found: sketches.about(small, pulses, found, few))


@pytest.fixture(scope="session")
def sketched(sketch, small_events, guessed):
    """Sketches of the first 48 of these tracks."""
    return sketch(*jax.tree.map(lambda x: x[:48], (small_events[0], guessed)))


@pytest.fixture(scope="session")
def fisher():
    """The function fisher(rng, mean [event, 3], kappa, *shape) -> [*shape, event, 3], float64."""

    def draw(rng, mean, kappa, *shape):
        xi, turn = rng.random((2, *shape, len(mean)))
        low = -np.log1p(xi * np.expm1(-2.0 * kappa)) / (2 * kappa)  # (1 - cos) / 2
        across = 2 * np.sqrt(low * (1 - low))
        pole = np.where(np.abs(mean[:, 2:]) < 0.7, [[0.0, 0, 1]], [[1.0, 0, 0]])
        x = np.cross(pole, mean)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        y = np.cross(mean, x)
        around = 2 * np.pi * turn[..., None]
        return mean * (1 - 2 * low[..., None]) + across[..., None] * (
            np.cos(around) * x + np.sin(around) * y
        )

    return draw


@pytest.fixture(scope="session")
def cluster():
    """P-ONE in clear water with large modules: small, and soon simulated."""
    sizes = {"log_energy": (3.0, 4.0), "area": 8e-3, "cap": 48, "noise": 1e-8}
    return simulation.setup(detectors.pone(), WATER, **sizes)


@pytest.fixture(scope="session")
def tracks(cluster):
    """Sixteen tracks in it: pulses, the first of each module, and truth."""

    def draw(key):
        pulses, truth = simulation.events(key, cluster, 16)
        return data.first_of_module(pulses), truth

    return jax.jit(draw)(jax.random.key(5))


@pytest.fixture(scope="session")
def shuffled():
    """The function shuffled(pulses) -> the same in another order, with three places of padding more
    that hold nonsense, and where each went."""

    def shuffle(pulses):
        n = pulses.mask.shape[1]
        order = jax.random.permutation(jax.random.key(9), n)

        def moved(x):
            width = [(0, 0), (0, 3)] + [(0, 0)] * (x.ndim - 2)
            return jnp.pad(x[:, order], width, constant_values=False if x.dtype == bool else 7)

        return data.Pulses(*(moved(jnp.asarray(x)) for x in pulses)), order

    return shuffle
