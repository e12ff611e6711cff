"""Samples of a wanted size do not depend on how their tasks are shared."""

from concurrent.futures import Future

import numpy as np
import pytest

from hepjax.jets.simulation import production


def piece(task):
    """A task's random number of jets, of one particle each."""
    name, index = task
    n = int(production.random_numbers(3, ord(name), index).integers(0, 7))
    value = 100.0 * index + np.arange(n)
    return production.Piece({"part_x": value}, np.arange(n + 1), {"jet_x": value})


def submit(task):
    done = Future()
    done.set_result(piece(task))
    return done


@pytest.mark.parametrize("n_waiting", [1, 2, 7])
def test_enough_jets_in_the_order_of_tasks(n_waiting):
    request, seen = {"a": 20, "b": 3}, []
    task = lambda name, index: (name, index)  # noqa: E731
    pieces = production._schedule(request, task, submit, n_waiting, 3.0, seen.append)
    for found, (name, wanted) in zip(pieces, request.items()):
        assert sum(len(p.offsets) - 1 for p in found) >= wanted
        for index, part in enumerate(found):
            np.testing.assert_array_equal(part.jets["jet_x"], piece((name, index)).jets["jet_x"])
    assert sum(seen) == 23


def test_tasks_without_fruit_are_given_up():
    def empty(task):
        done = Future()
        done.set_result(production.Piece({}, np.zeros(1, int), {}))
        return done

    with pytest.raises(RuntimeError, match=r"50 tasks gave no jet of a; is \('a', 0\)"):
        production._schedule({"a": 1}, lambda *x: x, empty, 2, 1.0, lambda n: None)


def test_random_numbers_and_seeds_are_never_shared():
    seeds = {production.pythia_seed(s, p, i) for s in (1, 2) for p in (0, 1) for i in range(50)}
    assert len(seeds) == 200
    assert min(seeds) >= 1
    assert max(seeds) <= 900_000_000
    first = [production.random_numbers(1, p, i).random() for p in (0, 1) for i in (0, 1)]
    assert len(set(first)) == 4
    assert first[0] == production.random_numbers(1, 0, 0).random()


def test_files_hold_single_precision():
    found = production.single({"x": np.ones(2), "n": np.ones(2, np.int32)})
    assert found["x"].dtype == np.float32
    assert found["n"].dtype == np.int32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request": {"a": 0}}, "n_jets of a is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"size": 0}, "events_per_task is 0"),
        ({"pt_min": 300.0}, "pt from 300.0 to 250.0"),
        ({"radius": 2.0}, "radius 2.0"),
        ({"eta_max": 0.0}, "eta_max 0.0"),
    ],
)
def test_arguments_that_make_no_sense(change, message):
    from hepjax.jets.simulation import events

    fields = {k: v for k, v in change.items() if k in events.TTBAR._fields}
    space = events.TTBAR._replace(**fields)
    request, seed = change.get("request", {"a": 1}), change.get("seed", 0)
    with pytest.raises(ValueError, match=message):
        production.check(request, seed, space, events_per_task=change.get("size", 1))
