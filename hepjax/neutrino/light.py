"""Light at modules: how much is expected from tracks, cascades and starting tracks, and when.

A muon sends light out at the Cherenkov angle, evenly along its way, and more from the showers that
it makes, in proportion to its energy, of which it loses some on the way, until it stops. A module
at perpendicular distance d of the track sees light that left it d / tan(theta_c) before the point
of closest approach. A cascade sends all its light from its vertex, most of it at the Cherenkov
angle as long as it has not been scattered.

Attenuation goes from absorption along the straight way, where little is scattered, to diffusion,
exp(-r / lambda_p) with lambda_p = sqrt(lambda_a lambda_e / 3), where much is; the densities of
light, 1 / d and 1 / r^2 near by, become 1 / sqrt(d) and 1 / r far away, of the form that
arXiv:1311.4767 uses. Modules are alike from all sides, and photons are assumed to take the straight
way where properties of the ice and arrival times are concerned.

`expected` gives for one event and all modules what `arrival` and `simulation` need, `vmap` many.

>>> ice = media.south_pole()
>>> one = data.Truth(jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]), 0.0, 3.0, 1.0, 1.0, 1.0)
>>> seen = expected("track", ice, one, jnp.array([[20.0, 0.0, 50.0], [80.0, 0.0, 50.0]]))
>>> [round(float(x), 2) for x in seen.mean[0]], [round(float(x)) for x in seen.time[0]]
([2.05, 0.07], [228, 411])
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino import data, media

KINDS = ("track", "cascade", "starting")

PHOTONS = 33_000.0
"""Of a muon, 1/m, between 300 and 600 nm: Frank and Tamm's formula in ice."""

AREA = 2e-3
"""Of a module, m^2, seen from any side, times the efficiency to detect a photon."""

DELTA_RAYS = 1.2
"""Light of a muon that loses no energy in showers, over that of the muon alone."""

SHOWER = 5.0
"""Light of a shower of 1 GeV, in metres of a muon (about; arXiv:1210.5140)."""

IONISATION, STOCHASTIC = 0.25, 3.4e-4
"""Energy losses a + b E, in GeV / m and 1 / m."""

STOPPING = 3.0
"""A muon of so much energy, GeV, sends 63 % of its light: soft end of a stopping track."""

SHARE = 0.3
"""Of the energy of a starting track that its cascade gets; the muon has the rest."""

ONSET = 3.0
"""Length on which a starting track begins, m."""

FLOOR = 1.0
"""Added in quadrature to distances, m: a module is no point."""

PEAK = 0.25
"""Width of the cascade's emission in the cosine of the angle to its direction."""

PANDEL = 2.0
"""Shape of the delays: distance along the ray over so many effective scattering lengths."""


class Light(NamedTuple):
    """What modules can expect, of each source of light: one, and two of starting tracks.

    mean: [source, module] photons, for modules of efficiency 1; time: [source, module] ns, of
    light that is not scattered; shape: [source, module], rate: [source, module] 1/ns, of the gamma
    density of its delay.
    """

    mean: jax.Array
    time: jax.Array
    shape: jax.Array
    rate: jax.Array


class Optics(NamedTuple):
    """Coefficients of the medium, 1/m, between sources and modules [source, module], without
    nuisances.
    """

    scattering: jax.Array
    absorption: jax.Array


class _Ray(NamedTuple):
    """Between a source and modules [module]: coefficients, 1/m, nuisances in them, and the
    diffusion length, m.
    """

    scattering: jax.Array
    absorption: jax.Array
    diffusion: jax.Array


def expected(
    kind: str,
    medium: media.Medium,
    truth: data.Truth,
    position: Any,
    *,
    area: float = AREA,
    optics: Optics | None = None,
) -> Light:
    """Give the light of one event (fields of truth without an axis of events) at modules.

    position: [module, 3] m; optics: of another event nearby (`optics`), which are taken to be the
    same here, without another look at the layers of the medium. All is differentiable by the truth,
    except where a muon stops. Raises ValueError for a kind that is not in KINDS.
    """
    relative = jnp.asarray(position) - truth.position
    given = optics if optics is not None else _optics(kind, medium, truth, relative)
    muon, shower = (_ray(truth, Optics(*(x[k] for x in given))) for k in (0, -1))
    energy = 10.0**truth.log_energy
    if kind == "track":
        sources = [_track(medium, truth, relative, energy, muon)]
    elif kind == "cascade":
        sources = [_cascade(medium, truth, relative, energy, shower)]
    else:
        along = _track(medium, truth, relative, (1 - SHARE) * energy, muon, starts=True)
        sources = [along, _cascade(medium, truth, relative, SHARE * energy, shower)]
    light = Light(*(jnp.stack(field) for field in zip(*sources)))
    return light._replace(mean=light.mean * area)


def optics(kind: str, medium: media.Medium, truth: data.Truth, position: Any) -> Optics:
    """Give what lies between one event and modules at position [module, 3] m; errors as `expected`,
    which takes it.
    """
    return _optics(kind, medium, truth, jnp.asarray(position) - truth.position)


def yield_per_metre(energy: jax.Array) -> jax.Array:
    """Give the light of a muon of this energy [...], GeV, in photons a metre, with its showers."""
    alive = -jnp.expm1(-energy / STOPPING)
    return PHOTONS * (DELTA_RAYS * alive + SHOWER * STOCHASTIC * energy)


def energy_after(energy: jax.Array, length: jax.Array) -> jax.Array:
    """Give the energy of a muon, GeV, after (or, of negative length, before) it went so far, m; 0
    where it has stopped.
    """
    critical = IONISATION / STOCHASTIC
    left = energy + (energy + critical) * jnp.expm1(-STOCHASTIC * length)
    return jnp.maximum(left, 0.0)


def _optics(kind: str, medium: media.Medium, truth: data.Truth, relative: jax.Array) -> Optics:
    """Look at the medium from where light leaves a track, and from a vertex."""
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(KINDS)}")
    starts = []
    if kind != "cascade":
        left = _passing(medium, truth, relative)[1]
        starts.append(truth.position[2] + left * truth.direction[2])
    if kind != "track":
        starts.append(jnp.broadcast_to(truth.position[2], relative.shape[:1]))
    end = relative[:, 2] + truth.position[2]
    found = [media.coefficients(medium, start, end) for start in starts]
    return Optics(*(jnp.stack(x) for x in zip(*found)))


def _passing(
    medium: media.Medium, truth: data.Truth, relative: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Give the distance [module] of a track, and where on it light leaves for the modules."""
    along = (relative * truth.direction).sum(-1)  # accelerators round products of matrices
    across = relative - along[:, None] * truth.direction
    distance = jnp.sqrt((across**2).sum(-1) + FLOOR**2)
    return distance, along - distance / media.tangent(medium)


def _ray(truth: data.Truth, seen: Optics) -> _Ray:
    scattering, absorption = seen.scattering / truth.scattering, seen.absorption / truth.absorption
    # 1 / (3 zeta) effective lengths, where zeta is what absorption leaves of scattered light
    return _Ray(scattering, absorption, jnp.exp(absorption / scattering) / (3 * scattering))


def _track(
    medium: media.Medium,
    truth: data.Truth,
    relative: jax.Array,
    energy: jax.Array,
    ray: _Ray,
    *,
    starts: bool = False,
) -> Light:
    distance, left = _passing(medium, truth, relative)
    tangent = media.tangent(medium)
    sine2 = tangent**2 / (1 + tangent**2)
    way = distance / sine2**0.5
    decay = jnp.sqrt(ray.absorption**2 / sine2 + 3 * ray.absorption * ray.scattering)
    # the line integral of diffusive points of light is exp(-decay d) / sqrt(wide d) far away
    wide = ray.diffusion**2 / sine2 * (2 / jnp.pi) * decay
    spread = jnp.sqrt(wide * distance) * jnp.tanh(jnp.sqrt(distance / wide))
    flux = jnp.exp(-decay * distance) / (2 * jnp.pi * sine2**0.5 * spread)
    light = yield_per_metre(energy_after(energy, left))
    if starts:
        light = light * jax.nn.sigmoid(left / ONSET)
    time = truth.time + (left + medium.group_index * way) / media.LIGHT
    return Light(light * flux, time, *_delay(medium, ray, way))


def _cascade(
    medium: media.Medium, truth: data.Truth, relative: jax.Array, energy: jax.Array, ray: _Ray
) -> Light:
    distance = jnp.sqrt((relative**2).sum(-1) + FLOOR**2)
    cosine = (relative * truth.direction).sum(-1) / distance
    decay = jnp.sqrt(ray.absorption**2 + 3 * ray.absorption * ray.scattering)
    spread = ray.diffusion * distance * jnp.tanh(distance / ray.diffusion)
    flux = jnp.exp(-decay * distance) / (4 * jnp.pi * spread)
    # scattered light comes from a scattering length ahead of the vertex
    ahead = (1 / distance + decay) / ray.scattering
    direct = jnp.exp(-distance * ray.scattering)
    angular = direct * _peak(medium, cosine) + (1 - direct) * (1 + ahead / (1 + ahead) * cosine)
    light = PHOTONS * SHOWER * energy * flux * angular
    time = truth.time + medium.group_index * distance / media.LIGHT
    return Light(light, time, *_delay(medium, ray, distance))


def _peak(medium: media.Medium, cosine: jax.Array) -> jax.Array:
    """Give the emission of a cascade over that of an even source: a Gaussian and a tenth of all."""
    at = 1 / medium.phase_index
    ends = [jax.scipy.special.erf((x - at) / (2**0.5 * PEAK)) for x in (1.0, -1.0)]
    norm = PEAK * (jnp.pi / 2) ** 0.5 * (ends[0] - ends[1]) / 2
    return 0.1 + 0.9 * jnp.exp(-((cosine - at) ** 2) / (2 * PEAK**2)) / norm


def _delay(medium: media.Medium, ray: _Ray, way: jax.Array) -> tuple[jax.Array, jax.Array]:
    speed = media.LIGHT / medium.group_index
    return way * ray.scattering / PANDEL, 1 / medium.delay + speed * ray.absorption
