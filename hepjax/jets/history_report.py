"""The history of top taggers as one line: what each step brought in background rejection.

`LINE` lists the steps in the order of their first appearance: trees on a few variables, jets as
images, as sentences, as lists, as sets, as graphs, and as sets whose members attend to each other.
`history` takes the scores of several trainings of each on the same test jets, and returns and draws
the rejection at 30 % signal efficiency with its errors.

>>> [step.year for step in LINE.values()]
[2011, 2015, 2017, 2017, 2017, 2018, 2019, 2022]
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax import metrics, plot
from hepjax.jets import report


class Step(NamedTuple):
    """A tagger in the line: its name in plots, the year, and the source of the idea."""

    title: str
    year: int
    source: str


LINE = {
    "trees": Step("boosted trees", 2011, "arXiv:1011.2268"),
    "cnn": Step("images, CNN", 2015, "arXiv:1511.05190"),
    "lstm": Step("LSTM", 2017, "arXiv:1711.09059"),
    "deepjet": Step("DeepJet", 2017, "arXiv:2008.10519"),
    "deepak8": Step("DeepAK8", 2017, "arXiv:2004.08262"),
    "pfn": Step("deep sets, PFN", 2018, "arXiv:1810.05165"),
    "particlenet": Step("graphs, ParticleNet", 2019, "arXiv:1902.08570"),
    "part": Step("Particle Transformer", 2022, "arXiv:2202.03772"),
}
"""Steps by the name of the tagger."""

PERCENT = (30, 50)
"""Signal efficiencies at which rejections are given."""


def history(
    folder: Path, scores: Mapping[str, Sequence[np.ndarray]], label: np.ndarray, *, sample: str
) -> dict[str, Any]:
    """Compare taggers on the same test jets; draws `history` and `roc` into a folder.

    scores: name in LINE -> [training][jet] score of signal; label: [jet], 1 signal, 0 background;
    sample: what the jets are, for the plots. Returns NAME_auc and NAME_rejection_30 and _50 with
    _error and, for several trainings, _spread; rejection ratios and AUC differences of the last
    step to each other one are paired, LAST_over_NAME_rejection_30 and LAST_above_NAME_auc. Raises
    ValueError for a name that is not in LINE.
    """
    unknown = [name for name in scores if name not in LINE]
    if unknown or not scores:
        raise ValueError(f"scores: expected names among {list(LINE)}, found {list(scores)}")
    scores = {name: scores[name] for name in LINE if name in scores}
    results: dict[str, Any] = {"n_signal": int((label == 1).sum())}
    results["n_background"] = int((label == 0).sum())
    for name, found in scores.items():
        results |= report.over_seeds(f"{name}_auc", [metrics.auc(s, label) for s in found])
        for percent in PERCENT:
            key = f"{name}_rejection_{percent}"
            results |= report.rejection_over_seeds(key, found, label, percent / 100)
    last = list(scores)[-1]
    for name in list(scores)[:-1]:
        pairs = list(zip(scores[last], itertools.cycle(scores[name])))
        gaps = [metrics.auc_difference(*pair, label) for pair in pairs]
        results |= report.over_seeds(f"{last}_above_{name}_auc", [gap[:2] for gap in gaps])
        for percent in PERCENT:
            key = f"{last}_over_{name}_rejection_{percent}"
            limits = (f"{x}_rejection_{percent}_is_lower_limit" for x in (name, last))
            if not any(results[limit] for limit in limits):
                ratios = [metrics.rejection_ratio(*pair, label, percent / 100) for pair in pairs]
                results |= report.over_seeds(key, ratios)
    about = "{}, {n_signal:,} signal and {n_background:,} background jets".format(sample, **results)
    _draw(folder / "history", results, scores, label, about)
    with plot.figure(folder / "roc") as ax:
        plot.roc(ax, {LINE[k].title: metrics.roc(s[0], label) for k, s in scores.items()})
        plot.sample(ax, sample)
    return results


def _draw(
    path: Path,
    results: Mapping[str, Any],
    scores: Mapping[str, Sequence[np.ndarray]],
    label: np.ndarray,
    about: str,
) -> None:
    """Draw the rejection of each step: the mean with its error, and a small point a training."""
    key = f"rejection_{PERCENT[0]}"
    with plot.figure(path) as ax:
        for i, (name, found) in enumerate(scores.items()):
            each = [metrics.rejection(s, label, PERCENT[0] / 100).value for s in found]
            x = i + 0.22 + 0.1 * np.arange(len(each))
            ax.plot(x, each, ".", color="grey", markersize=6)
            value, error = results[f"{name}_{key}"], results[f"{name}_{key}_error"]
            arrow: dict[str, Any] = (
                {"lolims": True} if results[f"{name}_{key}_is_lower_limit"] else {}
            )
            bar = 0.3 * value if arrow else error
            ax.errorbar(i, value, bar, fmt="ko", capsize=4, markersize=7, **arrow)
        words = [f"{LINE[name].title}\n{LINE[name].year}" for name in scores]
        ax.set_xticks(range(len(words)), words, rotation=35, ha="right", fontsize=11)
        ax.tick_params(axis="x", which="minor", bottom=False, top=False)
        ax.set(yscale="log", xlim=(-0.5, len(words) - 0.2))
        ax.set_ylabel(f"Background rejection at {PERCENT[0]} % signal efficiency", fontsize=14)
        ax.plot([], [], "ko", label="mean and its error, of seeds and test sample")
        ax.plot([], [], ".", color="grey", label="one training")
        ax.legend(loc="upper left")
        plot.sample(ax, about)
