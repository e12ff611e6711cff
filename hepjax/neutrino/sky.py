"""Where on the sky did it come from? Maps of a posterior, as fine as it needs.

`scan` turns any log-density of directions into a `healpix.SkyMap`: it begins with 192 cells over
the whole sky and divides those that hold much probability, whose density bends, or whose neighbours
are much smaller, until the map is fine enough: some 3,000 evaluations for a posterior that fills
the sky, 9,000 for one of 0.05 degrees, in calls of one shape. What the density integrates to is
part of the result: a flow must give 1.

A direction is that of travel; the map shows where it came from, the opposite, with zenith and
azimuth of the detector as polar angle and longitude. `equatorial` is the rotation that turns them
into declination and right ascension at a time and place, for `scan(..., rotation=)`. Areas and
contours are in `hepjax.healpix`, files in `io.skymap`, pictures in `plot.sky`.

>>> up = np.array([0.0, 0.0, 1.0])
>>> found = scan(lambda n: np.log(1e6 / (2 * np.pi)) - 1e6 * sphere.height(n, up) * 2)
>>> abs(found.total - 1) < 1e-4, found.n_evaluations < 20_000
(True, True)
>>> healpix.region(found.sky, 0.9).area_deg2.round(3).tolist()  # 2 pi ln(10) / kappa
0.048
"""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import healpix, sphere
from hepjax.healpix import SkyMap

FIRST_ORDER = 2
AROUND = np.array([(i, j) for i, j in itertools.product((-1, 0, 1), repeat=2) if i or j], float)


class Settings(NamedTuple):
    """How fine a map is to be."""

    probability: float = 1e-3  # the most that a cell may hold
    curvature: float = 1e-6  # the most by which a cell's probability and its centre's may differ
    negligible: float = 1e-7  # cells below this may be much larger than their neighbours
    max_order: int = 20  # of the smallest cells: 0.2 arc seconds
    n_divided: int = 128  # cells divided at once; four times as many points are one evaluation
    n_wide: int = 6  # rounds that divide the densest cells even where none needs it


class Scan(NamedTuple):
    """A map, and what it took."""

    sky: SkyMap  # its probabilities sum to 1
    total: float  # what the density integrated to before
    n_evaluations: int


class _Cells(NamedTuple):
    order: np.ndarray  # [cell]
    pixel: np.ndarray  # [cell]
    log_prob: np.ndarray  # [cell] at the centre
    log_lack: np.ndarray  # [cell] log of |probability of the cell - that of its centre|
    sign: np.ndarray  # [cell] of that difference


DEFAULT = Settings()


def scan(
    log_density: Callable[[np.ndarray], Any],
    settings: Settings = DEFAULT,
    *,
    samples: ArrayLike | None = None,
    rotation: ArrayLike | None = None,
) -> Scan:
    """Map a density of directions of travel.

    log_density: directions [512, 3], float64, -> [512] per steradian, up to a constant if `total`
    does not matter; always of this shape (four times n_divided), so that a jitted one compiles
    once. samples: [sample, 3] directions of travel from the same density, which lead to narrow
    peaks that coarse cells could miss. rotation: [3, 3], from the detector's axes to those of the
    map. Raises ValueError where the log-density is NaN or +inf anywhere, or -inf everywhere.
    """
    if not (FIRST_ORDER < settings.max_order <= healpix.MAX_ORDER and settings.n_divided > 0):
        raise ValueError(
            f"settings: max_order {settings.max_order}, n_divided {settings.n_divided}, expected "
            f"{FIRST_ORDER + 1} to {healpix.MAX_ORDER} and 1 or more"
        )
    turn = _rotation(rotation)
    origin = np.zeros((0, 3)) if samples is None else -_directions("samples", samples) @ turn.T
    n_points = 4 * settings.n_divided

    def evaluate(order: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        travel = -healpix.direction(order, pixel) @ turn
        parts = [travel[i : i + n_points] for i in range(0, len(travel), n_points)]
        found = [_values(log_density, part, n_points) for part in parts]
        return np.concatenate(found)

    pixel = np.arange(12 << 2 * FIRST_ORDER)
    order = np.full(len(pixel), FIRST_ORDER)
    unknown = np.full(len(pixel), np.inf)
    cells = _Cells(order, pixel, evaluate(order, pixel), unknown, np.ones(len(pixel)))
    n = len(pixel)
    for k in itertools.count():
        if not np.isfinite(cells.log_prob).any():
            raise ValueError("log_density: -inf everywhere, expected a density")
        chosen = _choose(cells, origin, settings, wide=k < settings.n_wide)
        if not len(chosen):
            break
        cells = _divide(cells, chosen, evaluate)
        n += 4 * len(chosen)
    return _finish(cells, n)


def credible_level(sky: SkyMap, direction: ArrayLike, rotation: ArrayLike | None = None) -> Any:
    """Probability [...] where a map is denser than at directions of travel [..., 3].

    A contour of that probability runs through the point: 0 at the peak, 1 far away. rotation: that
    of the scan.
    """
    origin = -_directions("direction", direction) @ _rotation(rotation).T
    return healpix.levels(sky)[healpix.cell(sky, origin)]


def equatorial(
    time: Any,
    longitude: float,
    latitude: float,
    *,
    direction: ArrayLike | None = None,
    bearing: float = 90.0,
) -> np.ndarray:
    """Rotation [3, 3] from a detector's axes to those of right ascension and declination (ICRS).

    time: what astropy's Time takes, UTC; longitude, latitude: of the detector, degrees east and
    north; bearing: of its x axis, degrees from north over east (90: x points east, y north), with z
    up. Aberration (up to 20.5 arc seconds) is no rotation: the result is right to 0.01 degrees
    everywhere, and exact for one direction of travel [3] if given. Needs the extra `sky`.
    """
    from astropy import units
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    if not (-360 <= longitude <= 360 and -90 <= latitude <= 90):
        raise ValueError(f"longitude, latitude: {longitude}, {latitude}, expected degrees")
    points = np.eye(3)
    if direction is not None:
        points = np.concatenate([points, -_directions("direction", direction).reshape(1, 3)])
    x, y, z = points.T
    with contextlib.ExitStack() as stack:  # the tables at hand, nothing from the network
        offline = {"auto_download": False, "auto_max_age": None, "iers_degraded_accuracy": "ignore"}
        for name, value in offline.items():
            stack.enter_context(iers.conf.set_temp(name, value))
        place = EarthLocation.from_geodetic(longitude, latitude)
        frame = AltAz(obstime=Time(time), location=place)
        azimuth = bearing - np.degrees(np.arctan2(y, x))
        height = np.degrees(np.arctan2(z, np.hypot(x, y)))
        there: Any = SkyCoord(az=azimuth * units.deg, alt=height * units.deg, frame=frame)
        found = there.icrs.cartesian.xyz.value.T
    left, _, right = np.linalg.svd(found[:3].T)
    rotation = left @ right
    return rotation if direction is None else _onto(rotation @ points[3], found[3]) @ rotation


def _onto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shortest rotation [3, 3] of unit vector a to b, which is not opposite."""
    x, y, z = np.cross(a, b)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + k + k @ k / (1 + a @ b)


def _values(log_density: Callable, travel: np.ndarray, n: int) -> np.ndarray:
    """Log-densities [point] from one call with n points."""
    padded = np.concatenate([travel, np.repeat(travel[-1:], n - len(travel), 0)])
    found = np.asarray(log_density(padded), np.float64)
    if found.shape != (n,):
        raise ValueError(f"log_density: shape {found.shape} for {n} directions, expected [{n}]")
    bad = np.flatnonzero(np.isnan(found) | (found == np.inf))
    if len(bad):
        at = padded[bad[0]].round(6).tolist()
        raise ValueError(f"log_density: {found[bad[0]]} at {at}, expected numbers below infinity")
    return found[: len(travel)]


def _log_sum(x: np.ndarray) -> float:
    top = x.max()
    return float(top + np.log(np.exp(x - top).sum()))


def _choose(cells: _Cells, origin: np.ndarray, settings: Settings, *, wide: bool) -> np.ndarray:
    """Cells to divide next: those furthest above a limit, or much larger than a neighbour."""
    log_p = cells.log_prob + np.log(healpix.area(cells.order))
    scale = _log_sum(log_p)
    log_p -= scale
    need = log_p - np.log(settings.probability)
    need = np.maximum(need, cells.log_lack - scale - np.log(settings.curvature))
    tree = SkyMap(cells.order, cells.pixel, log_p)
    if len(origin):
        share = np.bincount(healpix.cell(tree, origin), minlength=len(log_p)) / len(origin)
        crowded = share > max(4 * settings.probability, 1.5 / len(origin))
        need = np.where(crowded, np.maximum(need, np.log(np.maximum(share, 1e-9)) + 20), need)
    need = np.where(cells.order < settings.max_order, need, -np.inf)
    if (need > 0).any():
        ranked = np.argsort(-need)[: settings.n_divided]
        return ranked[need[ranked] > (-np.inf if wide else 0)]
    dense = np.flatnonzero(log_p > np.log(settings.negligible))
    return _too_large(tree, dense)[: settings.n_divided]


def _too_large(sky: SkyMap, dense: np.ndarray) -> np.ndarray:
    """Cells that lie near one of those named but are of an order lower by two or more."""
    order = sky.order[dense]
    centre = healpix.direction(order, sky.pixel[dense])
    size = 1.5 * np.sqrt(healpix.area(order))[:, None]
    pole = np.where(np.abs(centre[:, 2:]) < 0.7, [[0.0, 0, 1]], [[1.0, 0, 0]])
    x = sphere.unit(np.cross(pole, centre))
    y = np.cross(centre, x)
    near = centre + size * (AROUND[:, :1, None] * x + AROUND[:, 1:, None] * y)
    found = healpix.cell(sky, near)
    return np.unique(found[sky.order[found] < order - 1])


def _divide(cells: _Cells, chosen: np.ndarray, evaluate: Callable) -> _Cells:
    """Replace cells by their children.

    A midpoint's error falls fourfold from one order to the next, so that a third of the difference
    between the children's sum and their parent is what the children lack, each a quarter of it.
    """
    order = np.repeat(cells.order[chosen] + 1, 4)
    pixel = (4 * cells.pixel[chosen, None] + np.arange(4)).reshape(-1)
    log_prob = evaluate(order, pixel)
    log_p = (log_prob + np.log(healpix.area(order))).reshape(-1, 4)
    parent = cells.log_prob[chosen] + np.log(healpix.area(cells.order[chosen]))
    scale = np.maximum(log_p.max(1), parent)
    scale = np.where(np.isfinite(scale), scale, 0.0)
    lack = (np.exp(log_p - scale[:, None]).sum(1) - np.exp(parent - scale)) / 12
    with np.errstate(divide="ignore"):
        log_lack = np.log(np.abs(lack)) + scale
    new = _Cells(order, pixel, log_prob, np.repeat(log_lack, 4), np.repeat(np.sign(lack), 4))
    kept = np.delete(np.arange(len(cells.order)), chosen)
    return _Cells(*(np.concatenate([a[kept], b]) for a, b in zip(cells, new)))


def _finish(cells: _Cells, n: int) -> Scan:
    """Mean densities of cells from those of their centres and what these lack, at most twofold."""
    log_p = cells.log_prob + np.log(healpix.area(cells.order))
    ratio = np.zeros(len(log_p))
    some = np.isfinite(log_p)
    ratio[some] = np.exp(np.minimum(cells.log_lack[some] - log_p[some], 3.0)) * cells.sign[some]
    ratio = np.clip(1 + ratio, 0.5, 2.0)
    top = log_p.max()
    p = np.exp(log_p - top) * ratio
    density = p / p.sum() / healpix.area(cells.order)
    return Scan(SkyMap(cells.order, cells.pixel, density), float(p.sum() * np.exp(top)), n)


def _rotation(rotation: ArrayLike | None) -> np.ndarray:
    if rotation is None:
        return np.eye(3)
    r = np.asarray(rotation, np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-6):
        raise ValueError(f"rotation: {r.tolist()}, expected a rotation [3, 3]")
    return r


def _directions(name: str, x: ArrayLike) -> np.ndarray:
    d = np.asarray(x, np.float64)
    if d.shape[-1:] != (3,) or not np.allclose((d**2).sum(-1), 1, atol=1e-3):
        raise ValueError(f"{name}: shape {d.shape}, expected unit vectors [..., 3]")
    return d / np.linalg.norm(d, axis=-1, keepdims=True)
