"""`gradparity check`: a user's function, parameters and gradient rule, from files."""

import json
import pathlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from gradparity.backends.errors import InvalidSetting
from gradparity.compare.cli import main
from gradparity.compare.user_files import RECIPES, UnusableFile, load_arrays
from gradparity.compare.user_functions import (
    Arguments,
    check_signature,
    load_function,
    match_arguments,
)

SOURCE = """
import numpy as np
from array_api_compat import array_namespace

CONSTANT = 3.0

def loss(params, x, power=2.0):
    xp = array_namespace(params["W"])
    return xp.mean(xp.abs(xp.tanh(x @ params["W"]) + 2.0) ** power)

def rule(params, x, power=2.0):
    y = np.tanh(x @ params["W"])
    return {"W": x.T @ (power * (y + 2.0) ** (power - 1.0) * (1 - y**2)) / y.size}

def wrong_rule(params, x, power=2.0):
    return {"W": 1.001 * rule(params, x, power)["W"]}

def undefined(params, x):
    return np.mean(x @ params["W"]) * np.nan

def of_lists(params):
    first, second = params["layers"]
    return np.sum(first["W"] ** 3) + params["scale"] * np.sum(second["W"])

def of_lists_rule(params):
    return {
        "layers": [
            {"W": 3 * params["layers"][0]["W"] ** 2},
            {"W": params["scale"] + 0 * params["layers"][1]["W"]},
        ],
        "scale": np.sum(params["layers"][1]["W"]),
    }

def cube(x):
    return np.sum(x**3)

def cube_rule(x):
    return 3 * x**2
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Work in a folder with loss.py, params.npz and batch.npz."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "loss.py").write_text(SOURCE)
    np.savez(tmp_path / "params.npz", W=rng.normal(size=(3, 2)))
    np.savez(tmp_path / "batch.npz", x=rng.normal(size=(4, 3)))
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process, and return its exit code and all that it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gradparity", *arguments])
        with pytest.raises(SystemExit) as exit:
            main()
        printed = capsys.readouterr()
        return int(exit.value.code or 0), printed.out + printed.err

    return run


ON_THE_BATCH = ("--params", "params.npz", "--args", "batch.npz")


def test_the_gradient_of_a_backend_is_right(files, run, backend_name, load_backend):
    load_backend(backend_name)
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH, "--backends", backend_name)
    assert code == 0, text
    assert f"{backend_name}: agree: the gradient is right to" in text


def test_by_default_every_backend_but_differences_is_tried(files, run):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH)
    assert code == 0, text
    assert "jax: agree" in text
    assert "torch: agree" in text
    assert "numerical" not in text


def test_a_right_rule_passes_and_a_wrong_one_is_found(files, run):
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH, "--gradient", "rule")
    assert (code, text.partition(" (")[0][:11]) == (0, "rule: agree")
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH, "--gradient", "loss.py:wrong_rule")
    assert code == 1
    assert "wrong_rule: differ: W is off by 1.0e-03 of its size" in text
    assert "constant factor 1.001" in text


ROUNDED = """
import numpy as np
from array_api_compat import array_namespace

def loss(params, x):
    xp = array_namespace(params["W"])
    return xp.sum(xp.tanh(x @ params["W"]) ** 2)

def fine(params, x):
    W, x = params["W"].astype(np.float64), x.astype(np.float64)
    y = np.tanh(x @ W)
    return {"W": (x.T @ (2 * y * (1 - y**2))).astype(np.float16)}

def coarse(params, x):
    W = fine(params, x)["W"]
    off = 2**-11 * np.sign(np.sin(np.arange(W.size))).reshape(W.shape)
    return {"W": (W * (1 + off)).astype(W.dtype)}
"""


def test_a_rule_that_rounds_worse_than_its_yardstick_is_said_to(files, run, load_backend):
    load_backend("torch")
    (files / "rounded.py").write_text(ROUNDED)
    generator = np.random.default_rng(0)
    np.savez("low.npz", W=generator.normal(size=(6, 5)).astype(np.float16) / 2)
    np.savez("batch.npz", x=generator.normal(size=(9, 6)).astype(np.float16))
    check = ("check", "rounded.py:loss", "--params", "low.npz", "--args", "batch.npz")
    rules = ("--gradient", "coarse", "--yardstick", "fine", "--json", "found.json")
    code, text = run(*check, *rules)
    assert code == 0, text
    assert "as good as eager float16" in text
    assert "beside the yardstick worse" in text
    found = json.loads(Path("found.json").read_text())["checks"]["coarse"]["yardstick"]
    assert found["worse"]
    assert 0.95 <= found["confidence"] < 1
    text = run(*check, "--gradient", "fine", "--yardstick", "fine")[1]
    assert "beside the yardstick not told apart" in text
    code, text = run(*check, "--yardstick", "fine")
    assert code == 2
    assert "--gradient" in text


def test_an_error_that_is_accepted_and_a_budget_that_is_spent(files, run):
    check = ("check", "loss.py:loss", *ON_THE_BATCH, "--gradient")
    assert run(*check, "wrong_rule", "--rtol", "0.01")[0] == 0
    assert run(*check, "wrong_rule", "--rtol", "1e-5")[0] == 1
    assert run(*check, "wrong_rule", "--tolerance", "0.1")[0] == 0
    code, text = run(*check, "wrong_rule", "--rtol", "nan")
    assert code == 2
    assert "rtol" in text
    code, text = run(*check, "rule", "--budget", "3")
    assert code == 3
    assert "budget" in text


def test_what_cannot_be_told_has_an_exit_code_of_its_own(files, run):
    code, text = run("check", "loss.py:undefined", *ON_THE_BATCH, "--gradient", "rule")
    assert code == 3
    assert "cannot tell" in text


def test_the_json_has_the_report_and_what_it_was_about(files, run):
    run(
        *("check", "loss.py:loss", *ON_THE_BATCH, "--gradient", "wrong_rule"),
        *("--seed", "5", "--json", "out/check.json"),
    )
    written = json.loads((files / "out" / "check.json").read_text())
    assert written["verdict"] == "differ"
    assert written["function"] == "loss.py:loss"
    assert written["params"] == "params.npz"
    check = written["checks"]["wrong_rule"]
    assert check["suspects"][0]["leaf"] == "W"
    assert check["suspects"][0]["got"] != check["suspects"][0]["expected"]
    assert check["seed"] == written["environment"]["seed"] == 5


def test_nested_parameters_and_bare_arrays_are_read(files, run):
    layers = {"layers/0/W": np.ones(2), "layers/1/W": np.arange(3.0), "scale": np.asarray(0.5)}
    np.savez(files / "layers.npz", **layers)
    code, text = run(
        "check", "loss.py:of_lists", "--params", "layers.npz", "--gradient", "of_lists_rule"
    )
    assert code == 0, text
    assert "6 parameters in 3 leaves" in text
    np.save(files / "x.npy", np.arange(4.0))
    code, text = run("check", "loss.py:cube", "--params", "x.npy", "--gradient", "cube_rule")
    assert code == 0, text


def test_a_backend_that_cannot_evaluate_the_function_fails_only_if_named(files, run, load_backend):
    load_backend("torch")
    load_backend("jax")
    (files / "native.py").write_text(
        "import torch\ndef loss(params, x): return torch.sum((x @ params['W']) ** 2)\n"
    )
    code, text = run("check", "native.py:loss", *ON_THE_BATCH)
    assert code == 0, text
    assert "torch: agree" in text
    assert "left out jax: native.py, line 2: loss raised TypeError" in text
    code, text = run("check", "native.py:loss", *ON_THE_BATCH, "--backends", "jax,torch")
    assert code == 4, text
    assert "torch: agree" in text


WRONG_USAGE = [
    ("loss.py", "params.npz", "expected a file or module and a function in it"),
    ("nosuch.py:loss", "params.npz", "'nosuch.py', expected the name of a Python file"),
    ("params.npz:loss", "params.npz", "'params.npz', expected the name of a Python file"),
    ("loss.py:los", "params.npz", "has no 'los'; expected one of loss, rule"),
    ("loss.py:CONSTANT", "params.npz", "which is a float; expected a function"),
    ("loss.py:loss", "nosuch.npz", "'nosuch.npz', expected the name of an .npz or .npy file"),
    ("loss.py:loss", "params.npz", "missing a required argument: 'x'"),
]


@pytest.mark.parametrize(("function", "params", "message"), WRONG_USAGE)
def test_wrong_usage_says_what_was_expected(files, run, function, params, message):
    code, text = run("check", function, "--params", params, "--gradient", "loss.py:rule")
    assert code == 2, text
    assert message in text


def test_an_unknown_backend_lists_the_known_ones(files, run):
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH, "--backends", "jaxx")
    assert code == 2
    assert "'jaxx', expected one of numerical, jax, torch" in text


UNUSABLE = {
    "integers": (lambda path: np.savez(path, W=np.ones((3, 2), int)), "leaf W: got dtype int64"),
    "text": (lambda path: np.savez(path, W=np.asarray(["a"])), "leaf W: got <U1"),
    "nan": (lambda path: np.savez(path, W=np.full((3, 2), np.nan)), "leaf W: got nan"),
    "pickles": (
        lambda path: np.savez(path, W=np.asarray([{}], object), allow_pickle=True),
        "allow_pickle=False",
    ),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x04N."), "without pickled objects"),
    "nothing": (np.savez, "got no arrays"),
    "no zip": (lambda path: path.write_bytes(b"PK\x03\x04 torn"), "expected arrays that"),
    "an empty file": (lambda path: path.write_bytes(b""), "expected arrays that"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_parameters_are_named(files, run, kind):
    write, message = UNUSABLE[kind]
    write(files / "odd.npz")
    code, text = run(
        *("check", "loss.py:loss", "--params", "odd.npz", "--args", "batch.npz"),
        *("--gradient", "rule"),
    )
    assert code == 4, text
    assert message in text
    assert "Traceback" not in text


def test_a_pickle_is_not_run(files, run):
    class Bomb:
        def __reduce__(self):
            return (open, ("exploded", "w"))

    np.savez(files / "bomb.npz", W=np.asarray([Bomb()], object), allow_pickle=True)
    code, _ = run("check", "loss.py:loss", "--params", "bomb.npz", "--gradient", "rule")
    assert code == 4
    assert not (files / "exploded").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def loss(params:", "SyntaxError"),
        ("import a_module_that_is_absent", "No module named 'a_module_that_is_absent'"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_run_is_named(files, run, source, message):
    (files / "broken.py").write_text(source)
    code, text = run("check", "broken.py:loss", "--params", "params.npz")
    assert code == 4
    assert "broken.py: running it raised" in text
    assert message in text


def test_a_file_may_import_its_neighbours_and_be_called_as_a_package(files):
    (files / "neighbour.py").write_text("FACTOR = 2.0\n")
    (files / "numpy.py").write_text(
        "from neighbour import FACTOR\nclass Model:\n    @staticmethod\n"
        "    def loss(x): return FACTOR * x\n"
    )
    assert load_function("numpy.py:Model.loss")(3.0) == 6.0
    assert np.__name__ == sys.modules["numpy"].__name__ == "numpy"


def arguments_of(name, f, **settings):
    matched = match_arguments(load_arrays(Path(name)), f, name, **settings)
    return matched.values


def test_arguments_go_by_their_names_and_in_order_where_they_have_none(files):
    f = load_function("loss.py:loss")
    np.savez("named.npz", power=3.0, x=np.ones(2))
    x, power = arguments_of("named.npz", f)
    assert (x.shape, float(power)) == ((2,), 3.0)
    np.savez("unnamed.npz", np.zeros(5), np.asarray(1.0))
    x, power = arguments_of("unnamed.npz", f)
    assert (x.shape, float(power)) == ((5,), 1.0)
    np.savez("odd.npz", x=np.ones(2), powr=2.0)
    with pytest.raises(
        InvalidSetting, match=r"'powr'.*expected 'x', 'power'.*did you mean 'power'\?"
    ):
        arguments_of("odd.npz", f)
    np.savez("gap.npz", power=2.0)
    with pytest.raises(InvalidSetting, match="got no 'x', which loss needs"):
        arguments_of("gap.npz", f)


def test_names_that_fit_no_argument_go_by_position_only_where_that_is_asked_for(files, run):
    np.savez("others.npz", inputs=np.ones((4, 3)), exponent=2.0)
    check = ("check", "loss.py:loss", "--params", "params.npz", "--gradient", "rule")
    code, text = run(*check, "--args", "others.npz")
    assert code == 2
    assert "'inputs', 'exponent', which loss has no argument for; expected 'x', 'power'" in text
    assert "--args-by-position" in text
    code, text = run(*check, "--args", "others.npz", "--args-by-position")
    assert code == 0, text


KEYWORDS = """
import numpy as np

def loss(params, x, *, power, scale=1.0):
    return scale * np.sum((x @ params["W"]) ** power)

def rule(params, x, *, power, scale=1.0):
    return {"W": scale * x.T @ (power * (x @ params["W"]) ** (power - 1))}

def flat_rule(params, x, power):
    return rule(params, x, power=power)
"""


@pytest.mark.parametrize("rule", ["rule", "flat_rule"])
def test_keyword_only_arguments_are_given_by_their_names(files, run, rule):
    (files / "keywords.py").write_text(KEYWORDS)
    np.savez("args.npz", power=2.0, x=np.ones((4, 3)))
    check = ("check", "keywords.py:loss", "--params", "params.npz", "--gradient", rule)
    code, text = run(*check, "--args", "args.npz")
    assert code == 0, text
    np.savez("args.npz", x=np.ones((4, 3)))
    code, text = run(*check, "--args", "args.npz")
    assert code == 2
    assert "got no 'power', which loss needs" in text


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_is_an_array_or_a_level_not_both(files, names):
    np.savez("odd.npz", **dict.fromkeys(names, np.ones(1)))
    with pytest.raises(UnusableFile, match="odd.npz"):
        load_arrays(files / "odd.npz")


def test_a_function_without_signature_is_let_through():
    check_signature(np.add.reduce, np.ones(2), Arguments())
    with pytest.raises(InvalidSetting, match="missing a required argument"):
        check_signature(lambda params, x: params, np.ones(2), Arguments())


# Where the function is.


def test_a_module_is_as_good_as_a_file(files, run):
    package = files / "some_package" / "inner"
    package.mkdir(parents=True)
    (package / "losses.py").write_text(SOURCE)
    code, text = run("check", "some_package.inner.losses:loss", *ON_THE_BATCH, "--gradient", "rule")
    assert code == 0, text
    for target in ("some_package.absent:loss", "no_package.losses:loss", "some-package:loss"):
        code, text = run("check", target, *ON_THE_BATCH)
        assert code == 2, text
        assert "expected a module that can be imported" in text or "or of a module" in text


def test_a_file_of_a_package_may_import_relatively(files):
    package = files / "a_package_of_mine"
    (package / "deeper").mkdir(parents=True)
    for folder in (package, package / "deeper"):
        (folder / "__init__.py").write_text("")
    (package / "factors.py").write_text("FACTOR = 2.0\n")
    (package / "deeper" / "losses.py").write_text(
        "from ..factors import FACTOR\ndef loss(x): return FACTOR * x\n"
    )
    f = load_function("a_package_of_mine/deeper/losses.py:loss")
    assert f(3.0) == 6.0
    assert f.__module__ == "a_package_of_mine.deeper.losses"


def test_a_file_in_a_plain_folder_may_import_its_neighbours_relatively(files):
    (files / "factors.py").write_text("FACTOR = 2.0\n")
    (files / "losses.py").write_text(
        "from .factors import FACTOR\ndef loss(x): return FACTOR * x\n"
    )
    assert load_function("losses.py:loss")(3.0) == 6.0


def test_a_package_with_the_name_of_another_one_is_refused(files):
    (files / "json").mkdir()
    (files / "json" / "__init__.py").write_text("")
    (files / "json" / "decoder.py").write_text("def loss(x): return x\n")
    with pytest.raises(UnusableFile, match="its package has the name of another one"):
        load_function("json/decoder.py:loss")


# What is said.


def test_the_users_own_exception_has_its_file_and_line(files, run):
    (files / "native.py").write_text(
        "import numpy as np\n\ndef inner(W):\n    raise KeyError('bias')\n\n"
        "def loss(params, x):\n    return inner(params['W'])\n"
    )
    check = ("check", "native.py:loss", *ON_THE_BATCH, "--gradient", "loss.py:rule")
    code, text = run(*check)
    assert code == 4
    assert "left out numerical: native.py, line 4: loss raised KeyError" in text
    assert "Nothing was checked: loss could not be evaluated" in text
    assert "Traceback" not in text
    code, text = run(*check, "--traceback")
    assert "Traceback" in text
    assert 'native.py", line 7, in loss' in text


def test_a_numpy_function_without_a_rule_is_said_to_be_unchecked(files, run):
    pytest.importorskip("torch")
    (files / "plain.py").write_text(
        "import numpy as np\ndef loss(params, x): return float(np.sum(x @ params['W']))\n"
    )
    code, text = run("check", "plain.py:loss", *ON_THE_BATCH, "--backends", "torch")
    assert code == 4
    assert "Nothing was checked: loss runs on NumPy arrays" in text
    assert "--gradient NAME" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loss.py:los",), "did you mean 'loss'?"),
        (("los.py:loss",), "did you mean 'loss.py'?"),
        (("loss.py:loss", "--params", "param.npz"), "did you mean 'params.npz'?"),
        (("loss.py:loss", "--backends", "torhc"), "did you mean 'torch'?"),
    ],
)
def test_what_was_probably_meant_is_said(files, run, arguments, message):
    more = () if "--params" in arguments else ("--params", "params.npz")
    code, text = run("check", *arguments, *more, "--args", "batch.npz")
    assert code == 2
    assert message in text


@pytest.mark.parametrize("suffix", ["csv", "txt", "json", "pt", "pkl", "safetensors"])
def test_parameters_saved_in_another_way_come_with_a_recipe(files, run, suffix):
    (files / f"weights.{suffix}").write_text("1, 2\n3, 4\n")
    code, text = run("check", "loss.py:loss", "--params", f"weights.{suffix}")
    assert code == 4
    assert "expected .npz or .npy, which this writes: np.save" in text
    assert f"weights.{suffix}" in text.partition("which this writes")[2]
    assert "pickle" not in text or suffix == "pkl"


def test_the_recipes_work(files):
    (files / "a.csv").write_text("1, 2\n3, 4\n")
    (files / "b.json").write_text('{"W": [1, 2], "b": 3}')
    for name in ("a.csv", "b.json"):
        recipe = RECIPES[f".{name[2:]}"].format(name, name[0])
        exec(recipe, {"np": np, "json": json, "pathlib": pathlib})
    np.testing.assert_array_equal(load_arrays(Path("a.npy")), [[1, 2], [3, 4]])
    assert load_arrays(Path("b.npz"))["b"] == 3


def test_a_proof_finds_what_no_difference_resolves(files, run):
    pytest.importorskip("flint")
    off = "def off_rule(params, x, power=2.0):\n    g = rule(params, x, power)['W']\n"
    off += "    g[0, 0] *= 1 + 1e-11\n    return {'W': g}\n"
    (files / "loss.py").write_text(SOURCE + off)
    arguments = ("check", "loss.py:loss", *ON_THE_BATCH, "--gradient", "off_rule")
    code, text = run(*arguments)
    assert (code, "proved" in text) == (0, False)
    code, text = run(*arguments, "--proof", "--json", "proof.json")
    assert code == 1
    assert "proved wrong: 1 of" in text
    assert "W[0, 0]" in text
    content = json.loads((files / "proof.json").read_text())
    assert content["checks"]["off_rule"]["proof"]["verdict"] == "proved wrong"
    code, text = run("check", "loss.py:loss", *ON_THE_BATCH, "--gradient", "rule", "--proof")
    assert code == 0
    assert "proved right" in text


def test_a_slow_check_says_what_it_does(files, run, monkeypatch):
    monkeypatch.setattr("gradparity.models.progress.PERIOD", 0.02)
    monkeypatch.setattr("gradparity.compare.checking.spending.QUIET_SECONDS", 0.0)
    (files / "slow.py").write_text(
        "import time\nimport numpy as np\n"
        "def loss(x):\n    time.sleep(0.02)\n    return float(np.sum(x ** 3))\n"
        "def rule(x): return 3 * x ** 2\n"
    )
    np.save(files / "x.npy", np.arange(4.0))
    check = ("check", "slow.py:loss", "--params", "x.npy", "--gradient", "rule")
    code, text = run(*check)
    assert code == 0
    assert re.search(r"check: rule of loss: call \d+ of ", text)
    assert "so far" not in run(*check, "--quiet")[1]
