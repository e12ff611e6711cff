"""Is a posterior of directions right, and how well does it point?

`judge` places the true direction of each event among samples of its posterior in three ways that
must be uniform if the posterior is right, so that `hepjax.coverage` counts and draws them: by
highest density, which is what a contour on a sky map promises; by the distance to a random point
(TARP, arXiv:2302.03026), which needs no density; by the coordinates x, y, z (SBC,
arXiv:1804.06788). A posterior that is right for all events together can be wrong in bins of energy:
look at both. `energy_score` is a number that is least for the right posterior, and so compares two
that both look calibrated.

An angular error depends on which point stands for a posterior: `mean_direction`, `mode_direction`
and `median_direction` differ for one that is lopsided or has two peaks. `angular_error` is
then a matter of `hepjax.resolution`. All of this is numpy, in float64.

>>> rng = np.random.default_rng(0)
>>> unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
>>> centre = unit(rng.normal(size=(500, 3)))
>>> true, *samples = unit(centre + 0.01 * rng.normal(size=(100, 500, 3)))
>>> place = tarp(true, np.stack(samples))
>>> coverage.probability_curve(place).p_value > 0.01
True
>>> bool(np.median(angular_error(true, mean_direction(np.stack(samples)))) < 0.02)
True
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting, coverage, sphere
from hepjax.counting import Value

TINY = 1e-30


class Judgement(NamedTuple):
    """Places of the truth among samples, in (0, 1) and uniform where the posterior is right."""

    density: np.ndarray  # [event] level of the highest-density region that ends at the truth
    distance: np.ndarray  # [event] share of samples closer to a random point than the truth
    coordinates: np.ndarray  # [3, event] ranks of x, y and z


def judge(
    true: ArrayLike,
    samples: ArrayLike,
    log_prob: ArrayLike,
    sampled: ArrayLike,
    *,
    seed: int = 0,
) -> Judgement:
    """Place true directions among samples of their posteriors in all three ways.

    true: [event, 3]; samples: [sample, event, 3]; log_prob: [event] of the truth; sampled:
    [sample, event] of the samples. Raises ValueError for other shapes, NaN, and lengths not 1.
    """
    t, s = _directions("true", true), _directions("samples", samples, sampled=True)
    _same_events(t, s)
    turns = [coverage.ranks(t[:, k], s[..., k], seed=seed + 2 + k) for k in range(3)]
    return Judgement(
        coverage.levels(log_prob, sampled, seed=seed), tarp(t, s, seed=seed + 1), np.stack(turns)
    )


def tarp(
    true: ArrayLike, samples: ArrayLike, reference: ArrayLike | None = None, *, seed: int = 0
) -> np.ndarray:
    """Share of samples closer to a reference point than the truth [event], ties at random.

    true, reference: [event, 3]; samples: [sample, event, 3]. The reference may depend on the data
    of the event but not on its truth; without one it is drawn evenly over the sphere.
    """
    t, s = _directions("true", true), _directions("samples", samples, sampled=True)
    _same_events(t, s)
    if reference is None:
        drawn = np.random.default_rng(seed).normal(size=t.shape)
        r = drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
    else:
        r = _directions("reference", reference)
        _same_events(r, s)
    return coverage.ranks(sphere.angle(t, r), sphere.angle(s, r), seed=seed + 1)


def energy_score(
    true: ArrayLike,
    samples: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    distance: Literal["chord", "angle"] = "chord",
    n_shifts: int = 16,
) -> Value:
    """Mean over events of E d(sample, truth) - E d(sample, sample') / 2, with its error.

    true: [event, 3]; samples: [sample, event, 3], independent ones; weight: [event]. It is least in
    the mean for the right posterior: with the chord |a - b| for that alone; with the angle (rad)
    some posteriors that differ by opposite points share the minimum. Pairs of samples are those
    1 to n_shifts apart, which leaves the estimate without bias. Raises ValueError for 1 sample.
    """
    t, s = _directions("true", true), _directions("samples", samples, sampled=True)
    _same_events(t, s)
    if len(s) < 2:
        counting.fail("samples", f"{len(s)} a event", "2 or more")
    if distance not in ("chord", "angle"):
        counting.fail("distance", repr(distance), "chord or angle")
    w = counting.weights(weight, len(t))
    if not w.sum() > 0:
        counting.fail("weight", f"a sum of {w.sum()}", "above 0")

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a - b, axis=-1) if distance == "chord" else sphere.angle(a, b)

    shifts = range(1, min(n_shifts, len(s) - 1) + 1)
    spread = np.mean([apart(s, np.roll(s, k, 0)).mean(0) for k in shifts], 0)
    score = apart(s, t).mean(0) - spread / 2
    mean = w @ score / w.sum()
    return Value(float(mean), float(np.sqrt(w**2 @ (score - mean) ** 2) / w.sum()))


def mean_direction(samples: ArrayLike) -> np.ndarray:
    """Mean direction [event, 3] of samples [sample, event, 3]: their sum, scaled to length 1.

    It maximises the mean cosine; NaN where the samples cancel.
    """
    total = _directions("samples", samples, sampled=True).sum(0)
    size = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.divide(total, size, out=np.full_like(total, np.nan), where=size > 0)


def mode_direction(samples: ArrayLike, sampled: ArrayLike) -> np.ndarray:
    """Sample of highest density [event, 3] of samples [sample, event, 3].

    sampled: [sample, event] their log-density. It comes closer to the peak the more samples.
    """
    s = _directions("samples", samples, sampled=True)
    p = counting.read("sampled", sampled, axes="[sample, event]")
    if p.shape != s.shape[:2] or np.isnan(p).any():
        counting.fail("sampled", f"shape {p.shape}, nan: {np.isnan(p).any()}", f"{s.shape[:2]}")
    return s[p.argmax(0), np.arange(s.shape[1])]


def median_direction(
    samples: ArrayLike, *, n_steps: int = 200, tolerance: float = 1e-9
) -> np.ndarray:
    """Direction [event, 3] of the least mean angle to samples [sample, event, 3].

    Weiszfeld's steps in the tangent plane, from the mean direction or from one of 32 samples where
    the mean angle is less: for a posterior of two peaks the result is in one of them. They end
    when no event moves by more than the tolerance (rad).
    """
    s = _directions("samples", samples, sampled=True)
    at, least = mean_direction(s), np.full(s.shape[1], np.inf)
    known = np.isfinite(at).all(-1)
    at[~known] = s[0, ~known]
    least[:] = sphere.angle(s, at).mean(0)
    for other in s[:: max(len(s) // 32, 1)]:
        score = sphere.angle(s, other).mean(0)
        at = np.where((score < least)[:, None], other, at)
        least = np.minimum(score, least)
    for _ in range(n_steps):
        angle = sphere.angle(s, at)[..., None]
        flat = s - at * (s * at).sum(-1, keepdims=True)  # in the tangent plane, length sin(angle)
        length = np.linalg.norm(flat, axis=-1, keepdims=True)
        pull = (flat / np.maximum(length, TINY)).sum(0)
        close = np.maximum(angle, 1e-3 * angle.mean(0) + TINY)
        step = pull / (1 / close).sum(0)
        moved = at + step
        moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
        better = sphere.angle(s, moved).mean(0) <= least
        at = np.where(better[:, None], moved, at)
        least = np.where(better, sphere.angle(s, at).mean(0), least)
        if not better.any() or np.linalg.norm(step[better], axis=-1).max() < tolerance:
            break
    return at


def angular_error(true: ArrayLike, estimate: ArrayLike) -> np.ndarray:
    """Angle [event] between true and estimated directions [event, 3], rad, in [0, pi]."""
    t, e = _directions("true", true), _directions("estimate", estimate)
    if t.shape != e.shape:
        counting.fail("estimate", f"shape {e.shape}", f"that of true, {t.shape}")
    return sphere.angle(t, e)


def _directions(name: str, x: ArrayLike, *, sampled: bool = False) -> np.ndarray:
    axes = "[sample, event, 3]" if sampled else "[event, 3]"
    n = counting.read(name, x, axes=axes)
    if n.shape[-1] != 3 or not n.size:
        counting.fail(name, f"shape {n.shape}", axes)
    size = np.linalg.norm(counting.finite(name, n), axis=-1, keepdims=True)
    far = np.abs(size - 1) > 1e-4
    if far.any():
        counting.fail(name, f"a length of {size[far][0]:g}", "directions of length 1")
    return n / size


def _same_events(true: np.ndarray, samples: np.ndarray) -> None:
    if len(true) != samples.shape[1]:
        counting.fail("samples", f"{samples.shape[1]} events", f"{len(true)}")
