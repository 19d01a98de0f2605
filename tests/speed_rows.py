"""A row of a speed table, as plausible as a measured one."""

from gradparity.compare.speed.table import SpeedRow


def a_row(**changes):
    figures = {
        "backend": "jax",
        "dtype": "float32",
        "device": "cpu",
        "parameters": 39_760,
        "first_call": 0.35,
        "gradient": 0.4e-3,
        "gradient_quartiles": (0.38e-3, 0.43e-3),
        "forward": 0.2e-3,
        "fastest_gradient": 0.37e-3,
        "fastest_forward": 0.18e-3,
        "evaluations": 1,
        "predicted": False,
        "calls": 500,
        "peak_memory": 3 * 2**20,
        "disturbed": 0.0,
    }
    return SpeedRow(**figures | changes)
