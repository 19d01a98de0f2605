"""The script that counts false alarms and oversights, on a few of its thousand seeds."""

from pathlib import Path

from gradparity.compare.user_functions import load_function

SCRIPT = Path(__file__).parent / "benchmarks" / "flakes.py"


def test_no_seed_calls_a_right_gradient_wrong_or_a_wrong_one_right():
    right, wrong = load_function(f"{SCRIPT}:verdicts")(40)
    assert dict(right) == {"agree": 40}
    assert dict(wrong) == {"differ": 40}
