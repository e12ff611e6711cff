"""Files that lie: every reader refuses them with their name, or gives data."""

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("h5py")

import fuzzing
import fuzzing_cases


def told(found):
    return "\n".join(
        f"{name}, input {index}, {file}: {outcome}"
        for name, one in found.items()
        for index, file, outcome in one.bad[:20]
    )


def test_some_of_each():
    found = fuzzing.survey(list(fuzzing_cases.CASES), 12)
    assert not told(found), told(found)
    counts = [sum(one.counts.values()) for one in found.values()]
    assert counts == [12] * len(fuzzing_cases.CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzzing_cases.CASES)
def test_two_thousand(name, capsys):
    found = fuzzing.survey([name], 2000, seed=1)
    with capsys.disabled():
        print(f"\n{name}: {dict(found[name].counts)}, slowest {found[name].slowest:.2f} s")
    assert not told(found), told(found)


def test_what_must_not_be_is_seen(tmp_path, monkeypatch):
    """The survey itself: errors, crashes, hangs and memory are told apart."""
    good = fuzzing.Case(lambda f: (f / "a").write_text("1"), lambda f: None)

    def outcome(read):
        return fuzzing.outcome(good._replace(read=read), tmp_path, "a.csv")

    def refuse(folder):
        raise ValueError("a.csv: line 3")

    def say_nothing(folder):
        raise ValueError("line 3")

    assert outcome(lambda f: 1) == "data"
    assert outcome(refuse) == "refused"
    assert outcome(say_nothing) == "refused, no file named: line 3"
    assert outcome(lambda f: {}["x"]).startswith("KeyError: 'x' (test_fuzzing.py:")
    assert outcome(lambda f: bytearray(2**62)) == "out of memory"
    lines = [{"job": 0, "case": "csv", "index": 0, "file": "a"}]
    answers = iter([(lines, -11), ([{**lines[0], "job": 1, "index": 1}], -9)])
    monkeypatch.setattr(fuzzing, "_process", lambda *_: next(answers))
    found = fuzzing.survey(["csv"], 2)["csv"]
    assert [what for _, _, what in found.bad] == ["crash -11", "hang"]
