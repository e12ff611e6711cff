"""A run folder says what was run, and refuses to mix two runs."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from hepjax import runs


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 1
    out: Path = Path("x")
    resume: bool = False


def test_folder_has_config_versions_plots_and_checkpoints(tmp_path):
    run = runs.create(tmp_path / "a" / "run", Config(out=tmp_path))
    assert json.loads((run.path / "config.json").read_text())["out"] == str(tmp_path)
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["packages"]["jax"]
    assert versions["devices"]["count"] >= 1
    assert (run.path / "plots").is_dir()
    assert (run.path / "checkpoints").is_dir()


def test_a_second_run_in_the_folder_is_an_error_unless_resumed(tmp_path):
    runs.create(tmp_path / "run", Config())
    with pytest.raises(ValueError, match="holds a run already"):
        runs.create(tmp_path / "run", Config())
    runs.create(tmp_path / "run", Config(resume=True), resume=True)
    with pytest.raises(ValueError, match="seed: 1 -> 2"):
        runs.create(tmp_path / "run", Config(seed=2), resume=True)


def test_log_read_rewind(tmp_path):
    run = runs.create(tmp_path / "run", {})
    for step in (1, 2, 3):
        runs.log(run, step, {"loss": np.float32(step), "bad": math.nan}, "train")
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "spl')
    assert [line["loss"] for line in runs.read(run)] == [1, 2, 3]
    assert runs.read(run)[0]["bad"] is None
    runs.rewind(run, 2)
    assert [line["step"] for line in runs.read(run.path)] == [1, 2]


def test_finish_writes_plain_numbers(tmp_path):
    run = runs.create(tmp_path / "run", {})
    result = runs.finish(run, {"auc": np.float64(0.5), "curve": np.arange(2)})
    assert json.loads((run.path / "metrics.json").read_text()) == result
    assert result == {"auc": 0.5, "curve": [0, 1]}


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def fails(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runs.write_atomically(target, fails)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_progress_prints_plain_lines_without_a_terminal(capsys):
    with runs.progress(4, "train", every=0.0) as advance:
        advance(2, loss=0.25)
        advance(2)
    text = capsys.readouterr().err
    assert "train: 2/4" in text
    assert "loss 0.25" in text
    assert "train: 4/4" in text


PRESETS = {"quick": {"seed": 7}, "full": {"seed": 9, "out": Path("big")}}


def test_command_line_and_presets(capsys):
    assert runs.parse(Config, PRESETS, []) == Config()
    assert runs.parse(Config, PRESETS, ["--quick"]) == Config(seed=7)
    assert runs.parse(Config, PRESETS, ["--full", "--seed", "3"]) == Config(3, Path("big"))
    with pytest.raises(ValueError, match="one of --quick, --full"):
        runs.parse(Config, PRESETS, ["--quick", "--full"])
    with pytest.raises(SystemExit):
        runs.parse(Config, PRESETS, ["--help"])
    assert "--quick: seed 7" in capsys.readouterr().out


@dataclasses.dataclass(frozen=True)
class Inner:
    where: Path = Path("a")
    sizes: tuple[int, ...] = (1,)


@dataclasses.dataclass(frozen=True)
class Rich:
    out: Path = Path("runs/rich")
    data: tuple[Path, ...] = ()
    pair: tuple[int, Path] = (1, Path("b"))
    limits: tuple[float, float] | None = None
    maybe: Path | None = None
    inner: Inner = Inner()
    resume: bool = False
    new: int = 3


def test_a_run_is_enough_to_run_it_again(tmp_path):
    given = Rich(
        tmp_path / "run",
        (Path("x.root"), Path("y.root")),
        (4, Path("c")),
        (0.5, 2.0),
        Path("d"),
        Inner(Path("e"), (2, 3)),
        resume=True,
    )
    run = runs.create(given.out, given)
    expected = dataclasses.replace(given, out=Rich.out, resume=False)
    assert runs.parse(Rich, {}, ["--from", str(run.path)]) == expected
    other = runs.parse(Rich, {}, ["--from", str(run.path), "--out", "z", "--new", "5"])
    assert other == dataclasses.replace(expected, out=Path("z"), new=5)
    stored = json.loads((run.path / "config.json").read_text())
    del stored["new"]
    runs.write_json(run.path / "config.json", stored)
    assert runs.again(Rich, run.path) == expected
    runs.write_json(run.path / "config.json", stored | {"old": 1})
    with pytest.raises(ValueError, match=r"config.json: \['old'\] are no options of Rich"):
        runs.parse(Rich, {}, ["--from", str(run.path)])
    with pytest.raises(ValueError, match=r"--from none: no run, expected none.config\.json"):
        runs.parse(Rich, {}, ["--from", "none"])
    runs.write_json(run.path / "config.json", stored)
    with pytest.raises(ValueError, match="one of --quick, --from"):
        runs.parse(Rich, {"quick": {}}, ["--quick", "--from", str(run.path)])


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with runs.progress(4, "fit", initial=1) as advance:
        advance(3, loss=0.125)
    text = capsys.readouterr().err
    assert "fit: 100%" in text
    assert "loss=0.125" in text


def test_progress_is_silent_on_other_processes_and_without_steps(capsys, monkeypatch):
    with runs.progress(3, "nothing") as advance:
        pass
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with runs.progress(3, "other", every=0.0) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_progress_without_a_goal(capsys):
    with runs.progress(None, "hits", every=0.0) as advance:
        advance(7)
    assert "hits: 7  " in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Nested:
    inner: Config = Config(seed=4)
    pair: tuple[int, float] = (1, math.inf)
    table: dict = dataclasses.field(default_factory=lambda: {2: np.arange(3), "x": None})


def test_a_config_is_written_as_plain_values(tmp_path):
    run = runs.create(tmp_path / "run", Nested())
    assert json.loads((run.path / "config.json").read_text()) == {
        "inner": {"seed": 4, "out": "x", "resume": False},
        "pair": [1, None],
        "table": {"2": [0, 1, 2], "x": None},
    }


def test_fields_that_may_change_on_resume(tmp_path):
    runs.create(tmp_path / "run", {"n": 1, "threads": 2})
    with pytest.raises(ValueError, match="threads: 2 -> 4"):
        runs.create(tmp_path / "run", {"n": 1, "threads": 4}, resume=True)
    run = runs.create(
        tmp_path / "run", {"n": 1, "threads": 4}, resume=True, ignore=("resume", "threads")
    )
    assert json.loads((run.path / "config.json").read_text())["threads"] == 4
    with pytest.raises(ValueError, match="more: None -> 1"):
        runs.create(tmp_path / "run", {"n": 1, "threads": 4, "more": 1}, resume=True)


def test_what_is_cut_short_by_a_crash_is_left_out_and_nothing_else(tmp_path):
    run = runs.create(tmp_path / "run", {})
    assert runs.read(run) == []
    for step in range(5):
        runs.log(run, step, {"loss": step / 2}, "validation")
    whole = (run.path / "metrics.jsonl").read_text()
    for n in range(len(whole)):
        (run.path / "metrics.jsonl").write_text(whole[:n])
        assert [line["step"] for line in runs.read(run)] == list(range(whole[:n].count("\n")))


def test_the_source_is_named_by_its_commit_or_not_at_all(monkeypatch):
    def no_git(*words, **options):
        raise OSError("no such program")

    monkeypatch.setattr(runs.subprocess, "run", no_git)
    found = runs.versions()
    assert found["source"] == {"commit": None, "changed": False}
    assert found["packages"]["numpy"] == np.__version__


def test_a_folder_that_was_moved_is_resumed(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    runs.create(here, {"n": 1, "out": here})
    here.rename(there)
    run = runs.create(there, {"n": 1, "out": there}, resume=True)
    assert json.loads((run.path / "config.json").read_text())["out"] == str(there)
