"""Measure the noise of a computed function from a table of its differences."""

import math

import numpy as np

# Differences of lower order still hold the function itself, not only its noise.
LOWEST_ORDER = 3
# Moré and Wild: noise is what three orders in a row agree on, within this factor.
AGREEMENT = 4.0


def difference_table_noise(nodes: np.ndarray, values: np.ndarray) -> float:
    """Return the standard deviation of the noise in values of a smooth function.

    nodes, values: shape (n,), n >= 4, float64, finite; nodes ascending, of similar spacing
    returns: in units of the values; 0 for a polynomial of low degree without noise, and too much
    rather than too little where the nodes are so wide apart that no three orders agree

    The k-th differences of a smooth function vanish as the k-th power of the spacing; those of
    independent noise keep its variance times the sum of the squared weights, (2k)! / (k!)**2 for
    equal spacing (J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci.
    Comput. 33, 2011). Divided differences do the same for unequal spacing, whose round-off
    cannot follow a pattern. Unlike there, the largest of the orders is taken from where three of
    them agree: an error bar suffers less from too much noise than from too little.
    """
    size = float(np.abs(values).max()) or 1.0
    nodes = nodes / (nodes[-1] - nodes[0])
    weights = np.eye(len(nodes))
    levels = []
    for order in range(1, len(nodes)):
        weights = np.diff(weights, axis=0) / (nodes[order:] - nodes[:-order])[:, None]
        norms = np.sqrt((weights**2).sum(axis=1))
        differences = weights @ (values / size) / norms  # squares of large values overflow
        levels.append(size * math.sqrt(np.mean(differences**2)))
    levels = levels[LOWEST_ORDER - 1 :]
    for start in range(len(levels) - 2):
        three = levels[start : start + 3]
        if max(three) <= AGREEMENT * min(three):
            return max(levels[start:])
    return max(levels[-3:])
