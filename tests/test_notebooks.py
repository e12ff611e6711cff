"""Each notebook runs from top to bottom on a small run, and shows what it says."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"


def executed(path, environment, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own shows pictures in cells
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": FOLDER}}
    )
    client.execute()
    return notebook


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jets_top(tiny_run, monkeypatch):
    notebook = executed(FOLDER / "jets_top.ipynb", {"HEPJAX_RUN": tiny_run}, monkeypatch)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) >= 5
    assert "auc_bdt" in text
    assert "QCD jets pass" in text
