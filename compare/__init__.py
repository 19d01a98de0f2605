"""Verdicts on gradients, what they cost, and what they look like.

Public names load on first use: the command line and the pytest plugin import this package in
every run, and must not pay for arrays or plots that they do not need. A new public name goes
three times into this file (for type checkers, into _MODULES, into __all__) and is then
`gradparity.NAME` as well.
"""

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "gradparity.compare":
    raise ImportError(
        f"{__name__!r} is gradparity.compare imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.compare"
    )

if TYPE_CHECKING:
    from . import transforms, variants
    from .agreement.agreement import assert_gradients_agree, compare_gradients
    from .agreement.comparison import (
        Comparison,
        Convention,
        Disagreement,
        LeafDifference,
        SecondOpinion,
    )
    from .checking.candidate import Problem
    from .checking.check import check_gradient
    from .checking.function import FunctionFailed
    from .checking.hessians import check_hessian
    from .checking.maps import check_jacobian, check_pushforward
    from .checking.result import GradientCheck, Kink, LeafCheck
    from .checking.taylor import TaylorTest, taylor_test
    from .conformance.conformance import (
        BackendConformance,
        Breach,
        Conformance,
        LawResult,
        check_conformance,
    )
    from .low_precision.judging import Measurement
    from .low_precision.yardstick import Accuracy, Yardstick
    from .modules.check import check_module
    from .ports.native_trees import module_loss
    from .proof.proof import LeafProof, Proof, ProofText, ProofVerdict
    from .proof.proving import prove_gradient
    from .speed.measuring import measure_speed
    from .speed.table import SpeedRow, SpeedTable
    from .verdicts import Suspect, Verdict, VerdictText

_MODULES = {
    "Accuracy": "low_precision.yardstick",
    "BackendConformance": "conformance.conformance",
    "Breach": "conformance.conformance",
    "Comparison": "agreement.comparison",
    "Conformance": "conformance.conformance",
    "Convention": "agreement.comparison",
    "Disagreement": "agreement.comparison",
    "FunctionFailed": "checking.function",
    "GradientCheck": "checking.result",
    "Kink": "checking.result",
    "LawResult": "conformance.conformance",
    "LeafCheck": "checking.result",
    "LeafDifference": "agreement.comparison",
    "LeafProof": "proof.proof",
    "Measurement": "low_precision.judging",
    "Problem": "checking.candidate",
    "Proof": "proof.proof",
    "ProofText": "proof.proof",
    "ProofVerdict": "proof.proof",
    "SecondOpinion": "agreement.comparison",
    "SpeedRow": "speed.table",
    "SpeedTable": "speed.table",
    "Suspect": "verdicts",
    "TaylorTest": "checking.taylor",
    "Verdict": "verdicts",
    "VerdictText": "verdicts",
    "Yardstick": "low_precision.yardstick",
    "assert_gradients_agree": "agreement.agreement",
    "check_conformance": "conformance.conformance",
    "check_gradient": "checking.check",
    "check_hessian": "checking.hessians",
    "check_jacobian": "checking.maps",
    "check_module": "modules.check",
    "check_pushforward": "checking.maps",
    "compare_gradients": "agreement.agreement",
    "measure_speed": "speed.measuring",
    "module_loss": "ports.native_trees",
    "prove_gradient": "proof.proving",
    "taylor_test": "checking.taylor",
}

__all__ = [
    "Accuracy",
    "BackendConformance",
    "Breach",
    "Comparison",
    "Conformance",
    "Convention",
    "Disagreement",
    "FunctionFailed",
    "GradientCheck",
    "Kink",
    "LawResult",
    "LeafCheck",
    "LeafDifference",
    "LeafProof",
    "Measurement",
    "Problem",
    "Proof",
    "ProofText",
    "ProofVerdict",
    "SecondOpinion",
    "SpeedRow",
    "SpeedTable",
    "Suspect",
    "TaylorTest",
    "Verdict",
    "VerdictText",
    "Yardstick",
    "assert_gradients_agree",
    "check_conformance",
    "check_gradient",
    "check_hessian",
    "check_jacobian",
    "check_module",
    "check_pushforward",
    "compare_gradients",
    "measure_speed",
    "module_loss",
    "prove_gradient",
    "taylor_test",
    "transforms",
    "variants",
]


if not TYPE_CHECKING:  # it would let type checkers accept every name

    def __getattr__(name: str) -> Any:
        if name in ("transforms", "variants"):
            return importlib.import_module(f".{name}", __name__)
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
