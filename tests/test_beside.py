"""Tests in processes of their own: of eight virtual devices, and parts for the second core."""

import pytest

PARTS = [
    ("eight devices", "eight_devices", ("-m", "not slow", "--slow")),
    ("taggers", "jets", ("-rs",)),
    ("integration", "integration", ("-rs",)),
    ("telescopes", "neutrino", ("-rs",)),
    pytest.param(
        "eight devices, slow", "eight_devices", ("-m", "slow", "--slow"), marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "folder", "options"), PARTS)
def test_a_part_passes(name, folder, options, beside, capsys):
    """The process runs beside the other tests: see conftest.py."""
    code, printed = beside(name)
    assert code == 0, printed[-7000:]
    assert " passed" in printed
    if folder == "eight_devices":
        assert "skipped" not in printed
    with capsys.disabled():
        closing = [line for line in printed.splitlines() if line.startswith(("SKIPPED", "FAILED"))]
        print("", f"beside, {name}:", *closing, printed.strip().splitlines()[-1], sep="\n")
