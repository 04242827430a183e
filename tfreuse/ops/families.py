"""Named families of op types, for the `ops` option of passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

_CONVOLUTIONS = (
    "Conv", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv2DBackpropFilter",
    "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2", "DepthwiseConv2dNativeBackpropInput",
    "DepthwiseConv2dNativeBackpropFilter", "Dilation2D",
)  # fmt: skip
_AROUND_CONVOLUTIONS = (
    "AvgPool", "AvgPool3D", "BatchToSpaceND", "BiasAdd", "Cast", "Elu", "ExpandDims", "FusedBatchNorm",
    "FusedBatchNormV2", "FusedBatchNormV3", "Identity", "LeakyRelu", "MaxPool", "MaxPool3D", "MaxPoolV2",
    "MirrorPad", "Pad", "PadV2", "Relu", "Relu6", "Reshape", "Selu", "Sigmoid", "Softplus", "SpaceToBatchND",
    "Squeeze", "StopGradient", "Tanh", "Transpose",
)  # fmt: skip

FAMILIES: dict[str, frozenset[str]] = {"conv": frozenset(_CONVOLUTIONS + _AROUND_CONVOLUTIONS)}
"""`conv`: convolutions and what feeds and follows them."""


@cache
def op_filter(names: tuple[str, ...]) -> Callable[[str], bool]:
    """A test whether an op type is one of `names` or of the families that they name."""
    wanted = frozenset().union(*(FAMILIES.get(name, frozenset({name})) for name in names))
    return wanted.__contains__
