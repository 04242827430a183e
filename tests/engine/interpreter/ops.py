"""The ops that the interpreter knows, and what each does."""

READS = {
    *("ReadVariableOp", "ResourceGather", "VariableShape", "VarIsInitializedOp"),
    *("LookupTableFindV2", "LookupTableSizeV2", "ReadFile", "MatchingFiles"),
}
WRITES = {
    *("AssignVariableOp", "AssignAddVariableOp", "ResourceScatterAdd", "DestroyResourceOp"),
    *("ResourceApplyGradientDescent", "LookupTableInsertV2", "RngReadAndSkip", "StatefulUniform"),
    *("QueueDequeueV2", "QueueEnqueueV2", "PrintV2", "RandomUniform", "WriteFile", "Timestamp"),
}
AMBIENT = {
    **dict.fromkeys(("PrintV2", "WriteFile", "ReadFile", "MatchingFiles"), "io"),
    "RandomUniform": "rng",
    "Timestamp": "clock",
}
"""State without a handle; of the other stateful ops operand 0 names it."""

PURE = {
    *("", "Abs", "AddN", "AddV2", "BiasAdd", "Cast", "Const", "Conv2D", "Div", "EnsureShape", "Exp", "Expm1", "Fill"),
    *("GreaterEqual", "Identity", "IdentityN", "LeakyRelu", "Less", "LogicalAnd", "LogicalOr", "MatMul", "Maximum"),
    *("Mul", "Neg", "NoOp", "PreventGradient", "RealDiv", "Relu", "Reshape", "SelectV2", "Shape", "Slice", "Split"),
    *("StopGradient", "StringJoin", "StringLower", "Sub", "Tanh"),
}
"""Functions of their operands; any other op is refused."""

COMMUTING = {"AddV2", "Mul", "LogicalAnd", "LogicalOr"}
COMMUTING_INTEGERS = {"Maximum", "Minimum"}
SILENT = {"_output_shapes", "_class", "_has_manual_control_dependencies"}
