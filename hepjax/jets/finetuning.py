"""One training of a tagger from any start: fresh, or with what another one has learned.

`Plan` says how long and how fast, and at which pace all but the head; `fit` trains and gives the
tagger back with the parameters that were best on validation jets. Three things differ from a
training from scratch where a network knows something already: its running statistics are kept and
move on from where they are, not from the first batch; its layers may learn more slowly than its new
head; and the average of parameters is over a share of the steps, for these may be few.

>>> Plan(n_epochs=20, learning_rate=1e-3, backbone=0.1).backbone
0.1
>>> round(decay(100), 3), decay(100_000)
(0.9, 0.998)
"""

from typing import NamedTuple

import jax

from hepjax import runs
from hepjax.jets import batches, data, taggers, training

HEAD = r"^head/"
LOOKS = 20
"""Looks at the validation jets in a training, whole epochs apart."""


class Plan(NamedTuple):
    """How a training goes: epochs, the largest learning rate, and the factor on it for all layers
    but the head, 0 to freeze them and their statistics.
    """

    n_epochs: int
    learning_rate: float
    backbone: float = 1.0


def decay(n_steps: int) -> float:
    """Give the decay of the average of parameters: over a tenth of the steps, 500 at most."""
    return min(0.998, max(0.0, 1 - 10 / n_steps))


def fit(
    run: runs.Run,
    start: taggers.Tagger,
    kind: tuple[taggers.Name, taggers.Size],
    jets: data.RaggedJets,
    validation: data.RaggedJets,
    plan: Plan,
    *,
    seed: int,
    known: bool = False,
    budget: int = 2048,
    weight_decay: float = 0.01,
    resume: bool = False,
) -> taggers.Tagger:
    """Train a tagger; checkpoints and the log go to the run folder.

    start: its first parameters; kind: name and size, for `taggers.restore`; known: whether start
    has learned before, so that its running statistics count; seed: of the order of jets; budget:
    padded particles a batch; resume: go on from the latest checkpoint. AdamW with one cycle of the
    learning rate. Returns the tagger of least cross-entropy on the validation jets. Raises
    ValueError for a frozen start that knows nothing, and for features that no file can name.
    """
    if callable(start.features):
        raise ValueError("start.features is a function, expected 'full' or 'kinematic', to restore")
    if plan.backbone == 0 and not known:
        raise ValueError("plan.backbone is 0 for a start that has learned nothing, expected more")
    serve = {"buckets": start.buckets, "budget": budget}
    served = batches.of_sample(jets, seed=seed, **serve)
    a_epoch = len(served.shapes(0))
    slow = decay(plan.n_epochs * a_epoch)
    training.fit(
        run,
        start.variables,
        taggers.objective(start.model, start.features, slow),
        served,
        batches.of_sample(validation, shuffle=False, **serve),
        training.Plan(
            plan.n_epochs,
            plan.learning_rate,
            weight_decay,
            slow,
            momentum=0.02 if plan.backbone else 0.0,
        ),
        key=jax.random.key(seed),
        meta=taggers.meta(*kind, start.features, start.classes, start.buckets, slow),
        settings={"validate_every": a_epoch * max(plan.n_epochs // LOOKS, 1)},
        pace={HEAD: 1.0, "": plan.backbone} if plan.backbone != 1 else None,
        known=known,
        keep_latest=1,
        resume=resume,
    )
    return taggers.restore(run.path)
