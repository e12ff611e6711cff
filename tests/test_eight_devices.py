"""The tests of the folder eight_devices, in a process that has eight virtual devices."""

import pytest


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_eight_virtual_devices(eight_devices, chosen):
    """The process runs beside the other tests: see conftest.py."""
    code, printed = eight_devices(chosen)
    assert code == 0, printed[-7000:]
    assert " passed" in printed
    assert "skipped" not in printed
