"""Posteriors on the sky: the whole of it, and the part around the peak.

Both draw a `healpix.SkyMap` with contours of the smallest regions that hold 50 % and 90 %, their
areas in the legend, and the true direction where it is known. Points are unit vectors from the
centre of the sphere to the sky: minus the direction of travel. `zoomed` takes any Axes; its
coordinates are angles from the centre, x to the east of the map's longitude. `all_sky` takes one
of projection="mollweide".

>>> from matplotlib.figure import Figure
>>> flat = SkyMap(np.zeros(12, int), np.arange(12), np.full(12, 0.25 / np.pi))
>>> all_sky(Figure().add_subplot(projection="mollweide"), flat).name
'mollweide'
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from hepjax import healpix
from hepjax.healpix import SkyMap
from hepjax.plot import style

SHARES = (0.5, 0.9)
COLOURS = "Greys"
LINES = ("-", "--", ":", "-.")


def centre(sky: SkyMap) -> np.ndarray:
    """Middle of the 50 % region [3]: the mean of its cells, the densest one where they cancel."""
    inside = sky.density >= healpix.region(sky, 0.5).density
    cells = healpix.direction(sky.order[inside], sky.pixel[inside])
    total = healpix.probability(sky)[inside] @ cells
    best = int(np.argmax(sky.density))
    short = np.linalg.norm(total) < 0.1
    found = healpix.direction(sky.order[best], sky.pixel[best]) if short else total
    return found / np.linalg.norm(found)


def zoomed(
    ax: Axes,
    sky: SkyMap,
    *,
    truth: ArrayLike | None = None,
    samples: ArrayLike | None = None,
    radius_deg: float | None = None,
    shares: Sequence[float] = SHARES,
    n_pixels: int = 241,
) -> Axes:
    """Density around the peak, azimuthal equidistant: distances from the centre are true angles.

    truth: [3]; samples: [sample, 3], drawn as dots; radius_deg: half the width, by default all of
    the largest region. Longitude rises to the left, as on maps of the sky seen from within.
    """
    middle = centre(sky)
    east, north = _axes(middle)
    limit = healpix.region(sky, max(shares)).density
    if radius_deg is None:
        inside = sky.density >= limit
        far = _flat(healpix.direction(sky.order[inside], sky.pixel[inside]), middle, east, north)
        radius_deg = float(np.clip(1.25 * np.abs(far).max(), 1e-6, 120))
    line = np.linspace(-radius_deg, radius_deg, n_pixels)
    x, y = np.meshgrid(line, line)
    density = sky.density[healpix.cell(sky, _sphere(x, y, middle, east, north))]
    density = np.where(np.hypot(x, y) <= 180, density, np.nan)
    _draw(ax, x, y, density)
    handles = _contours(ax, x, y, density, sky, shares)
    if samples is not None:
        points = _flat(np.asarray(samples, np.float64), middle, east, north)
        ax.plot(*points.T, ".", color=style.LOOKS[3]["color"], markersize=1.5, zorder=2)
        handles.append(_handle(".", style.LOOKS[3]["color"], f"Samples ({len(points):,})"))
    if truth is not None:
        point = _flat(np.asarray(truth, np.float64).reshape(1, 3), middle, east, north)
        handles.append(_star(ax, *point.T))
    theta, phi = np.degrees(_angles(middle))
    ax.set(xlim=(radius_deg, -radius_deg), ylim=(-radius_deg, radius_deg), aspect="equal")
    ax.set_xlabel(f"East of {phi:.2f}° [deg]")
    ax.set_ylabel(f"North of {90 - theta:.2f}° [deg]")
    ax.legend(handles=handles, loc="upper right", frameon=True, framealpha=0.85)
    return ax


def all_sky(
    ax: Axes,
    sky: SkyMap,
    *,
    truth: ArrayLike | None = None,
    shares: Sequence[float] = SHARES,
    n_pixels: int = 360,
) -> Axes:
    """Density on the whole sky, on Axes of projection="mollweide"; longitude rises to the left.

    truth: [3]. Regions too small to be seen still stand in the legend with their areas.
    """
    if ax.name != "mollweide":
        raise ValueError(f"ax: projection {ax.name!r}, expected mollweide")
    phi = np.linspace(-np.pi, np.pi, n_pixels)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, n_pixels // 2)
    x, y = np.meshgrid(phi, latitude)
    points = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)
    density = sky.density[healpix.cell(sky, points)]
    _draw(ax, -x, y, density)
    handles = _contours(ax, -x, y, density, sky, shares)
    peak, turn = _angles(centre(sky))
    ax.plot(-_wrapped(turn), np.pi / 2 - peak, "+", color=style.LOOKS[2]["color"], markersize=12)
    handles.append(_handle("+", style.LOOKS[2]["color"], "Middle of the posterior"))
    if truth is not None:
        theta, phi = _angles(np.asarray(truth, np.float64).reshape(3))
        handles.append(_star(ax, -_wrapped(phi), np.pi / 2 - theta))
    places = np.arange(-150, 151, 60)
    ax.set_xticks(np.radians(places), [f"{-p % 360}°" for p in places])
    ax.grid(alpha=0.3)
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    return ax


def _draw(ax: Axes, x: Any, y: Any, density: np.ndarray) -> None:
    ax.pcolormesh(x, y, density, cmap=COLOURS, shading="nearest", vmin=0, rasterized=True)


def _contours(
    ax: Axes, x: Any, y: Any, density: np.ndarray, sky: SkyMap, shares: Sequence[float]
) -> list[Line2D]:
    handles = []
    low, high = np.nanmin(density), np.nanmax(density)
    for i, (share, line) in enumerate(zip(shares, LINES)):
        found = healpix.region(sky, share)
        colour = style.look(i + 1)["color"]
        if low < found.density < high:
            ax.contour(x, y, density, [float(found.density)], colors=[colour], linestyles=[line])
        text = f"{100 * share:g} %: {found.area_deg2:.3g} deg²"
        handles.append(Line2D([], [], color=colour, linestyle=line, label=text))
    return handles


def _handle(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=label)


def _star(ax: Axes, x: Any, y: Any) -> Line2D:
    look: dict[str, Any] = {"marker": "*", "markersize": 14, "linestyle": "", "color": "white"}
    look |= {"markeredgecolor": "black", "label": "Truth"}
    ax.plot(x, y, zorder=5, **look)
    return Line2D([], [], **look)


def _wrapped(phi: float) -> float:
    return float((phi + np.pi) % (2 * np.pi) - np.pi)


def _angles(point: np.ndarray) -> np.ndarray:
    """Polar angle and longitude [2], rad."""
    x, y, z = point
    return np.array([np.arctan2(np.hypot(x, y), z), np.arctan2(y, x) % (2 * np.pi)])


def _axes(middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    phi = _angles(middle)[1]
    east = np.array([-np.sin(phi), np.cos(phi), 0])
    return east, np.cross(middle, east)


def _flat(points: np.ndarray, middle: Any, east: Any, north: Any) -> np.ndarray:
    """Angles east and north [..., 2], degrees, of points [..., 3]."""
    x, y = points @ east, points @ north
    across = np.hypot(x, y)
    turn = 2 * np.arctan2(
        np.linalg.norm(points - middle, axis=-1), np.linalg.norm(points + middle, axis=-1)
    )
    scale = np.degrees(turn) / np.where(across > 0, across, 1)
    return np.stack([x * scale, y * scale], -1)


def _sphere(x: np.ndarray, y: np.ndarray, middle: Any, east: Any, north: Any) -> np.ndarray:
    """Points [..., 3] at angles east and north, degrees: the way back."""
    turn = np.radians(np.hypot(x, y))[..., None]
    around = np.arctan2(y, x)[..., None]
    side = np.cos(around) * east + np.sin(around) * north
    return np.cos(turn) * middle + np.sin(turn) * side
