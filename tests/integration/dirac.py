"""Dirac's matrices in the chiral basis, for the tests of amplitudes."""

import numpy as np

PAULI = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
GAMMA = np.array(
    [
        np.block([[np.zeros((2, 2)), s], [(s if k == 0 else -s), np.zeros((2, 2))]])
        for k, s in enumerate(PAULI)
    ]
)
METRIC = np.diag([1.0, -1, -1, -1])


def slash(p):
    """Give p-slash of a vector [4] with upper index."""
    return np.einsum("m,mij->ij", METRIC @ p, GAMMA)
