"""What TensorRT's ONNX parser takes of each operator, as a table.

From onnx-tensorrt, TensorRT 10.15: docs/operators.md, and the importers beside it (onnxOpImporters.cpp) for what that
list leaves out. It holds what the project's graphs use and what an exporter may write in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnx import TensorProto

FP32_FP16 = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
FLOATS = FP32_FP16 | {TensorProto.BFLOAT16}
INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64})
NUMBERS = FLOATS | INTEGERS
BOOLS = frozenset({TensorProto.BOOL})
ANY = NUMBERS | BOOLS
PIXELS = TensorProto.UINT8
"""Element type of inputs and outputs alone: a Cast reads it, a Cast writes it."""
SYMMETRIC = frozenset({TensorProto.INT8, TensorProto.FLOAT8E4M3FN})
"""What TensorRT quantizes to, without a zero point."""

TOP_K_LIMIT = 3840
"""TensorRT's TopK needs a smaller K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Which values of an attribute TensorRT takes.

    Attributes:
        allowed: The values; of a list, those of each item.
        default: What ONNX takes where it is left out.
        reason: Why no others.
    """

    allowed: tuple[int | str, ...]
    default: int | str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What TensorRT takes of an operator.

    Attributes:
        types: Element types of its data.
        data: The input whose type that is.
        ranks: Ranks of its first input; empty where any will do.
        most_outputs: The most outputs; 0 where any number will do.
        attributes: Limits of its attributes by name.
        constants: Input to its name; each must be known when the plan is built.
        needed: Inputs that ONNX lets out and TensorRT does not.
        sizes: Inputs that are sizes or positions: ONNX Runtime reads them on the host, TensorRT computes them there.
    """

    types: frozenset[int]
    data: int = 0
    ranks: tuple[int, ...] = ()
    most_outputs: int = 0
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    constants: Mapping[int, str] = field(default_factory=dict)
    needed: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


_NO_DILATION = Attribute(allowed=(1,), default=1, reason="TensorRT's pooling has no dilation")
_NO_REDUCTION = Attribute(allowed=("none",), default="none", reason="TensorRT scatters without a reduction")
_REDUCE = Operator(types=NUMBERS, constants={1: "axes"})
_POOLED = (4, 5)

_RESIZE = {
    "antialias": Attribute(allowed=(0,), default=0, reason="TensorRT has none; use AveragePool or a pyramid"),
    "mode": Attribute(allowed=("nearest", "linear"), default="nearest", reason="TensorRT lists no others"),
    "coordinate_transformation_mode": Attribute(
        allowed=("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
        default="half_pixel",
        reason="TensorRT has no others but a deprecated one",
    ),
    "nearest_mode": Attribute(
        allowed=("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        default="round_prefer_floor",
        reason="TensorRT knows no others",
    ),
    "keep_aspect_ratio_policy": Attribute(allowed=("stretch",), default="stretch", reason="TensorRT stretches"),
}

OPERATORS: Mapping[str, Operator] = {
    **dict.fromkeys(("Add", "Div", "Max", "Min", "Mod", "Mul", "Pow", "Sub", "Sum"), Operator(types=NUMBERS)),
    **dict.fromkeys(("Abs", "Neg", "Relu", "Sign", "ArgMax", "ArgMin"), Operator(types=NUMBERS)),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), Operator(types=NUMBERS)),
    **dict.fromkeys(("And", "Not", "Or", "Xor"), Operator(types=BOOLS)),
    **dict.fromkeys(
        ("Ceil", "Clip", "Cos", "Erf", "Exp", "Floor", "Log", "Reciprocal", "Round", "Sin", "Sqrt"),
        Operator(types=FLOATS),
    ),
    **dict.fromkeys(
        ("Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Sigmoid", "Softplus", "Tanh"),
        Operator(types=FLOATS),
    ),
    **dict.fromkeys(("Gemm", "LogSoftmax", "MatMul", "Softmax", "Einsum"), Operator(types=FLOATS)),
    **dict.fromkeys(("Conv", "ConvTranspose"), Operator(types=FLOATS, ranks=(3, 4, 5))),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization"), Operator(types=FLOATS)),
    "AveragePool": Operator(types=FLOATS, ranks=_POOLED, attributes={"dilations": _NO_DILATION}),
    "MaxPool": Operator(types=FLOATS, ranks=_POOLED, most_outputs=1, attributes={"dilations": _NO_DILATION}),
    "BatchNormalization": Operator(
        types=FLOATS,
        most_outputs=1,
        attributes={"training_mode": Attribute(allowed=(0,), default=0, reason="TensorRT only infers")},
    ),
    "LayerNormalization": Operator(
        types=FLOATS,
        most_outputs=1,
        attributes={"stash_type": Attribute(allowed=(1,), default=1, reason="its mean and deviation stay in fp32")},
    ),
    "LpNormalization": Operator(
        types=FP32_FP16, attributes={"p": Attribute(allowed=(1, 2), default=2, reason="TensorRT has L1 and L2")}
    ),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"), _REDUCE),
    **dict.fromkeys(("ReduceLogSumExp", "ReduceSum", "ReduceSumSquare"), _REDUCE),
    "TopK": Operator(
        types=NUMBERS,
        attributes={"sorted": Attribute(allowed=(1,), default=1, reason="TensorRT sorts")},
        constants={1: "K"},
    ),
    # Constant limits give the selection, whose length comes from data, a bound.
    "NonMaxSuppression": Operator(
        types=FP32_FP16, ranks=(3,), constants={2: "number of boxes", 3: "IoU threshold", 4: "score threshold"}
    ),
    "NonZero": Operator(types=FP32_FP16),
    "GridSample": Operator(
        types=FP32_FP16,
        ranks=(4,),
        attributes={
            "mode": Attribute(
                allowed=("bilinear", "nearest", "bicubic"),
                default="bilinear",
                reason="TensorRT takes any other name, opset 20's 'linear' too, for nearest",
            ),
            "padding_mode": Attribute(
                allowed=("zeros", "border", "reflection"), default="zeros", reason="TensorRT takes others for zeros"
            ),
        },
    ),
    "Resize": Operator(types=FLOATS, attributes=_RESIZE, sizes=(2, 3)),
    "Pad": Operator(
        types=NUMBERS,
        attributes={
            "mode": Attribute(
                allowed=("constant", "reflect", "edge", "wrap"), default="constant", reason="TensorRT has no others"
            )
        },
        sizes=(1, 3),
    ),
    "ScatterElements": Operator(types=NUMBERS, attributes={"reduction": _NO_REDUCTION}),
    "ScatterND": Operator(types=NUMBERS, attributes={"reduction": _NO_REDUCTION}),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), Operator(types=NUMBERS, ranks=(4,))),
    **dict.fromkeys(("Concat", "Flatten", "Identity", "Transpose"), Operator(types=ANY)),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "Shape", "Size"), Operator(types=ANY)),
    **dict.fromkeys(("Expand", "Reshape", "Split", "Tile", "Trilu"), Operator(types=ANY, sizes=(1,))),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), Operator(types=ANY, constants={1: "axes"}, needed=(1,))),
    "Slice": Operator(types=ANY, sizes=(1, 2, 3, 4)),
    "Where": Operator(types=ANY, data=1),
    "OneHot": Operator(types=ANY, data=2, constants={1: "depth"}),
    "Range": Operator(types=frozenset({TensorProto.FLOAT}) | INTEGERS, sizes=(0, 1, 2)),
    "Cast": Operator(
        types=ANY | {PIXELS},
        attributes={
            "to": Attribute(
                allowed=tuple(sorted(ANY | {PIXELS})), default=TensorProto.FLOAT, reason="TensorRT has no such type"
            )
        },
    ),
    "Constant": Operator(types=ANY),
    "ConstantOfShape": Operator(types=INTEGERS, sizes=(0,)),
    "QuantizeLinear": Operator(types=FLOATS),
    "DequantizeLinear": Operator(types=SYMMETRIC | {PIXELS, TensorProto.INT32}),
}
"""Integer and uint8 quantization is for a CPU; `onnx_rules` refuses it in graphs that are meant for TensorRT."""

_CONTROL_FLOW = "control flow that a plan can hold only under limits of shape, and no CUDA graph can; unroll it"
_NO_INTEGER_PRODUCTS = "TensorRT has no importer; use QuantizeLinear and DequantizeLinear around the float operator"
_NO_SEQUENCES = "TensorRT has no sequences; use Split and Concat"
_NO_BITS = "TensorRT has no importer; use And, Or and Not on bools"
_NO_DRAWS = "TensorRT does not keep a seed, so a face would not keep its numbers"

REFUSED: Mapping[str, str] = {
    "Compress": "TensorRT has no importer; use NonZero and Gather",
    "CumSum": "TensorRT makes a loop of it; use MatMul with a constant triangle",
    "Unique": "TensorRT has no importer",
    "Det": "TensorRT has no importer",
    "CenterCropPad": "TensorRT has no importer; use Slice and Pad",
    "AffineGrid": "TensorRT has no importer; write the grid with Mul and Add",
    "MaxRoiPool": "TensorRT has no importer; use GridSample",
    "MaxUnpool": "TensorRT has no importer",
    "DynamicQuantizeLinear": "TensorRT has no importer, and its scales come from a batch; use calibrated ones",
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"), _NO_INTEGER_PRODUCTS),
    **dict.fromkeys(("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"), _NO_BITS),
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL_FLOW),
    **dict.fromkeys(("Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"), _NO_DRAWS),
    **dict.fromkeys(
        ("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SplitToSequence"),
        _NO_SEQUENCES,
    ),
}
"""Operators that an exporter may write, with the reason against each."""
