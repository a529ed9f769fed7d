"""Which engines to try, in what order and why. Owns what "auto" stands for; builds no engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from model.cuda_device import why_no_cuda
from model.engine import EngineInfo, EngineKind, Precision, PrecisionChoice
from model.errors import EngineError

ConcreteKind = Literal["eager", "torchscript", "openvino", "cuda"]

# Engines that can be kept in files and made of them without the network.
STORED_KINDS: Final = frozenset({"torchscript", "openvino"})
_FP32_ONLY: Final[Mapping[ConcreteKind, str]] = {
    "torchscript": "all that TorchScript does here",
    "eager": "as it was trained",
    "cuda": "TF32 would leave the tolerance",
}


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that somebody asks for; valid from construction.

    Attributes:
        kind: "auto" is CUDA where there is a GPU, else OpenVINO if it can be imported, else TorchScript.
        precision: "auto" is bf16 where engine and CPU have it and its answers are close enough, else fp32.
        threads: How many compute one call, >= 1.

    Raises:
        EngineError: Unknown kind or precision, or no threads.
    """

    kind: EngineKind = "auto"
    precision: PrecisionChoice = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(EngineKind):
            raise EngineError(f"engine {self.kind!r} is none of {', '.join(get_args(EngineKind))}")
        if self.precision not in get_args(PrecisionChoice):
            raise EngineError(f"precision {self.precision!r} is none of {', '.join(get_args(PrecisionChoice))}")
        if self.threads < 1:
            raise EngineError(f"{self.threads} threads cannot compute")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlan:
    """One engine to build, all choices made.

    Attributes:
        kind: Which engine.
        precision: Of the products.
        threads: How many compute one call, >= 1.
        reason: Why this engine and this precision, for people.
    """

    kind: ConcreteKind
    precision: Precision
    threads: int
    reason: str

    @property
    def info(self) -> EngineInfo:
        """What the engine is to tell of itself."""
        return EngineInfo(
            name=self.kind,
            device="cuda" if self.kind == "cuda" else "cpu",  # which GPU it is, the engine says
            precision=self.precision,
            threads=self.threads,
            reason=self.reason,
        )


def plan_engines(choice: EngineChoice) -> tuple[EnginePlan, ...]:
    """The engines to try, in order; a later one only where the answers of all before it were not close enough.

    Raises:
        EngineError: The engine is not installed, or cannot compute in this precision here.
    """
    if choice.kind == "auto" and choice.precision != "bf16" and not why_no_cuda():
        reason = f"auto: there is a GPU; fp32: {_FP32_ONLY['cuda']}"
        cuda = EnginePlan(kind="cuda", precision="fp32", threads=choice.threads, reason=reason)
        return (cuda, *_plan_without_gpu(choice))
    return _plan_without_gpu(choice)


def _plan_without_gpu(choice: EngineChoice) -> tuple[EnginePlan, ...]:
    """The engines to try, "auto" standing for one of the CPU."""
    kind, why = _choose_kind(choice.kind)
    if kind != "openvino":
        if choice.precision == "bf16":
            raise EngineError(f"the {kind} engine computes in fp32 only: take OpenVINO for bf16")
        reason = f"{why}; fp32: {_FP32_ONLY[kind]}"
        return (EnginePlan(kind=kind, precision="fp32", threads=choice.threads, reason=reason),)
    return tuple(
        EnginePlan(kind=kind, precision=precision, threads=choice.threads, reason=f"{why}; {precision}: {because}")
        for precision, because in _openvino_precisions(choice.precision)
    )


def _choose_kind(kind: EngineKind) -> tuple[ConcreteKind, str]:
    """The engine, and why."""
    if kind in ("eager", "torchscript"):
        return kind, "asked for"
    if kind == "cuda":
        if why := why_no_cuda():
            raise EngineError(why)
        return kind, "asked for"
    try:
        import model.openvino_engine  # noqa: F401  # here and not above: whoever asks for another engine needs none
    except ImportError as error:
        if kind == "openvino":
            raise EngineError(f"OpenVINO cannot be imported: {error}") from error
        return "torchscript", f"auto: OpenVINO cannot be imported ({error})"
    return "openvino", "asked for" if kind == "openvino" else "auto: OpenVINO is installed and the fastest on a CPU"


def _openvino_precisions(precision: PrecisionChoice) -> tuple[tuple[Precision, str], ...]:
    """The precisions to try, each with its reason."""
    from model.openvino_engine import has_bf16

    if precision == "fp32":
        return (("fp32", "asked for"),)
    if not has_bf16():
        if precision == "bf16":
            raise EngineError("this CPU has no bf16: take precision auto or fp32")
        return (("fp32", "this CPU has no bf16"),)
    if precision == "bf16":
        return (("bf16", "asked for"),)
    return (("bf16", "this CPU has it"), ("fp32", "answers in bf16 were not close enough"))
