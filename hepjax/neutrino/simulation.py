"""Events in a neutrino telescope whose likelihood is known: tracks, cascades, starting tracks.

The truth is drawn from a prior, each module counts photons by Poisson's law about what `light`
expects, each photon is one pulse at a time of its own (`arrival`), and noise adds pulses evenly in
a window. Only events that a trigger would keep are kept: of min_pulses up to cap pulses in
min_modules modules or more. That looks at the pulses alone, so the posterior of the truth of an
event that is kept is prior times likelihood, without a correction. Nothing is cut off.

Photons of an event are drawn from all modules at once: their number, then for each of up to `cap`
the module, by the cumulated expectation. Delays are drawn for these alone.

    setup(detector, medium, kind)   what there is; a NamedTuple, change it with _replace
    events(key, setup, n)           n kept events: Pulses [event, cap], Truth [event]; jit it as
                                    jax.jit(lambda key: simulation.events(key, setup, n))
    observe(key, setup, truth)      pulses of given events, kept or not, and their number
    acceptance(key, setup, n)       share of events kept

>>> telescope = setup(detectors.icecube86(), media.south_pole())
>>> pulses, truth = jax.jit(lambda key: events(key, telescope, 8))(jax.random.key(0))
>>> pulses.time.shape, truth.direction.shape, bool((pulses.mask.sum(-1) >= 8).all())
((8, 64), (8, 3), True)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import arrival, detectors, light, media, prior
from hepjax.neutrino.data import Detector, Pulses, Truth

CHUNK, WIDE_CHUNK = 32, 2048
"""Events that are worked on at once on a CPU, where what they need of all modules should fit a
cache, and on an accelerator, where it should fill it.
"""

MAX_ROUNDS = 200


class Setup(NamedTuple):
    """All that an event depends on; close over it in jit.

    kind: track, cascade or starting; detector; medium; prior; area: m^2, see light.AREA, scales all
    light; jitter: ns; noise: 1/ns, pulses of noise of a module; window: ns, when there is noise;
    cap: room for pulses; min_pulses, min_modules: of events that are kept; charges: whether a pulse
    has the charge that a photomultiplier gives a photoelectron, and not just 1.
    """

    kind: str
    detector: Detector
    medium: media.Medium
    prior: prior.Prior
    area: float = light.AREA
    jitter: float = 3.0
    noise: float = 3e-8
    window: tuple[float, float] = (-2500.0, 5000.0)
    cap: int = 64
    min_pulses: int = 8
    min_modules: int = 5
    charges: bool = False


class _Draw(NamedTuple):
    """Candidates: truth, slot of each photon in [source * module], numbers of photons and pulses,
    whether kept, and key of what is drawn later.
    """

    truth: Truth
    slot: Any
    n_photons: Any
    n_pulses: Any
    kept: Any
    key: Any


def setup(
    detector: Detector,
    medium: media.Medium,
    kind: str = "track",
    *,
    log_energy: tuple[float, float] | None = None,
    **changes: Any,
) -> Setup:
    """Put a telescope together, with a prior that fits its size.

    log_energy: ends of the spectrum, log10 GeV, by default (2, 4) for tracks, otherwise (3, 5);
    changes: other fields of Setup, or of Prior. Raises ValueError for an unknown kind or field and
    for numbers that make no events.
    """
    around = detectors.extent(detector)
    x, y, z = (float(x) for x in around.centre)
    reach = 0.9 * around.radius if kind == "track" else around.radius
    energies = log_energy or ((2.0, 4.0) if kind == "track" else (3.0, 5.0))
    before = prior.Prior((x, y, z), reach, around.half_height, energies)
    of_prior = {k: changes.pop(k) for k in list(changes) if k in prior.Prior._fields}
    unknown = [k for k in changes if k not in Setup._fields]
    if unknown:
        raise ValueError(f"{unknown[0]}: no field of Setup or Prior")
    if kind not in light.KINDS:
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(light.KINDS)}")
    made = Setup(kind, detector, medium, before._replace(**of_prior), **changes)
    if not 0 < made.min_pulses <= made.cap:
        raise ValueError(f"min_pulses: {made.min_pulses}, expected 1 to cap = {made.cap}")
    for name in ("area", "jitter"):
        if not getattr(made, name) > 0:
            raise ValueError(f"{name}: {getattr(made, name)}, expected a positive number")
    return made


def events(key: jax.Array, setup: Setup, n: int) -> tuple[Pulses, Truth]:
    """Draw n events that are kept, each with its pulses in order of time; pure, of fixed shape.

    Candidates are drawn n at a time until there are enough. Where 200 times as many were not
    enough, what is missing has a truth of NaN and no pulses.
    """

    def more(state: tuple) -> jax.Array:
        n_filled, n_rounds, _ = state
        return (n_filled < n) & (n_rounds < MAX_ROUNDS)

    def fill(state: tuple) -> tuple:
        n_filled, n_rounds, filled = state
        new = _candidates(jax.random.fold_in(key, n_rounds), setup, n)
        place = jnp.where(new.kept, n_filled + jnp.cumsum(new.kept) - 1, n)
        filled = jax.tree.map(lambda old, x: old.at[place].set(x, mode="drop"), filled, new)
        return jnp.minimum(n_filled + new.kept.sum(), n), n_rounds + 1, filled

    shapes = jax.eval_shape(lambda k: _candidates(k, setup, n), key)
    empty = jax.tree.map(_empty, shapes)
    _, _, drawn = jax.lax.while_loop(more, fill, (jnp.int32(0), jnp.int32(0), empty))
    return _pulses(setup, drawn), drawn.truth


def observe(key: jax.Array, setup: Setup, truth: Truth) -> tuple[Pulses, jax.Array]:
    """Draw the pulses of given events, fields of truth [event, ...], kept or not.

    Returns pulses and the number of all pulses [event]; where that is above cap, pulses are cap of
    them by chance, photons before noise.
    """
    keys = jax.random.split(key, len(truth.time))
    drawn = jax.lax.map(
        lambda x: _photons(x[0], x[1], setup), (keys, truth), batch_size=_at_once(len(keys))
    )
    return _pulses(setup, drawn), drawn.n_pulses


def acceptance(key: jax.Array, setup: Setup, n: int) -> jax.Array:
    """Measure with n events which share of all that the prior has is kept."""
    return _candidates(key, setup, n).kept.mean()


def _at_once(n: int) -> int:
    return min(CHUNK if jax.default_backend() == "cpu" else WIDE_CHUNK, n)


def _candidates(key: jax.Array, setup: Setup, n: int) -> _Draw:
    first, second = jax.random.split(key)
    truth = prior.draw(first, setup.prior, setup.kind, n)
    keys = jax.random.split(second, n)
    return jax.lax.map(lambda x: _photons(x[0], x[1], setup), (keys, truth), batch_size=_at_once(n))


def _photons(key: jax.Array, truth: Truth, setup: Setup) -> _Draw:
    """Draw the numbers of photons and pulses of one event, and where they are seen."""
    keys = jax.random.split(key, 5)
    n_modules = len(setup.detector.efficiency)
    seen = light.expected(setup.kind, setup.medium, truth, setup.detector.position, area=setup.area)
    mean = seen.mean * setup.detector.efficiency * truth.efficiency
    summed = _cumulated(mean.reshape(-1))
    n_photons = jax.random.poisson(keys[0], summed[-1])
    background = setup.noise * n_modules * (setup.window[1] - setup.window[0])
    n_pulses = n_photons + jax.random.poisson(keys[1], background)
    at = jax.random.uniform(keys[2], (setup.cap,)) * summed[-1]
    slot = jnp.minimum(jnp.searchsorted(summed, at, side="right"), len(summed) - 1)
    noise = jax.random.randint(keys[3], (setup.cap,), 0, n_modules)
    number = jnp.arange(setup.cap)
    slot = jnp.where(number < n_photons, slot, noise)
    module = jnp.where(number < n_pulses, slot % n_modules, -1)
    in_order = jnp.sort(module)
    n_hit = (jnp.diff(in_order) > 0).sum() + (in_order[0] >= 0)
    kept = (n_pulses >= setup.min_pulses) & (n_pulses <= setup.cap)
    return _Draw(truth, slot, n_photons, n_pulses, kept & (n_hit >= setup.min_modules), keys[4])


def _cumulated(values: jax.Array) -> jax.Array:
    """Add up values [slot]; as a product within rows, which is fast on a CPU, where a scan would
    also compute all values again in each of its steps. Rows are as long as the number allows.
    """
    width = max(k for k in range(1, 65) if len(values) % k == 0)
    rows = values.reshape(-1, width)
    upper = jnp.asarray(np.triu(np.ones((width, width))), values.dtype)
    within = jnp.matmul(rows, upper, precision=jax.lax.Precision.HIGHEST)
    before = jnp.cumsum(within[:, -1]) - within[:, -1]
    return (within + before[:, None]).reshape(-1)


def _pulses(setup: Setup, drawn: _Draw) -> Pulses:
    """Draw the times of pulses, and put them in order."""
    n_modules = len(setup.detector.efficiency)
    position = jnp.asarray(setup.detector.position)

    def one(draw: _Draw) -> Pulses:
        keys = jax.random.split(draw.key, 3)
        source, module = draw.slot // n_modules, draw.slot % n_modules
        seen = light.expected(setup.kind, setup.medium, draw.truth, position[module])
        number = jnp.arange(setup.cap)
        first, shape, rate = (x[source, number] for x in seen[1:])
        time = first + arrival.sample(keys[0], shape, rate, jnp.full_like(shape, setup.jitter))
        low, high = setup.window
        noise = jax.random.uniform(keys[1], time.shape, time.dtype, low, high)
        mask = number < draw.n_pulses
        late = jnp.where(mask, jnp.where(number < draw.n_photons, time, noise), jnp.inf)
        order = jnp.argsort(late)
        charge = _charge(keys[2], time) if setup.charges else jnp.ones_like(time)
        mask, module = mask[order], module[order].astype(jnp.int32)
        return Pulses(
            jnp.where(mask[:, None], position[module], 0),
            jnp.where(mask, late[order], 0),
            jnp.where(mask, charge, 0),
            jnp.where(mask, module, 0),
            mask,
        )

    return jax.lax.map(one, drawn, batch_size=min(WIDE_CHUNK, len(drawn.n_pulses)))


def _charge(key: jax.Array, like: jax.Array) -> jax.Array:
    """Draw charges of single photoelectrons: a Gaussian, and an exponential below it."""
    keys = jax.random.split(key, 3)
    peak = jnp.abs(1 + 0.3 * jax.random.normal(keys[0], like.shape, like.dtype))
    low = 0.5 * jax.random.exponential(keys[1], like.shape, like.dtype)
    return jnp.where(jax.random.uniform(keys[2], like.shape) < 0.3, low, peak)


def _empty(shape: Any) -> jax.Array:
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), shape.shape)
    is_real = jnp.issubdtype(shape.dtype, jnp.floating)
    return jnp.full(shape.shape, jnp.nan if is_real else 0, shape.dtype)
