"""A few float32 side by side, as one value inside compiled code.

The lattice holds one short row of label values per point, and neighbouring rows are far apart, so the only loop to
vectorise is the one over the labels. It is too short for the compiler to do that by itself, hence this small type:
``Lanes`` is LLVM's vector of ``len(lanes)`` floats, where ``lanes`` is a tuple of zeros that carries the width in
its type. Processors without vectors that wide get the same operations piecewise.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

_CONTRACT = ("contract",)
_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_EXP_FLOOR = -60.0


class Lanes(types.Type):
    """The type, for numba, of a vector of ``width`` float32."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Lanes({width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    @no_type_check
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(_FLOAT, fe_type.width))


def lanes_of(width: int) -> tuple[np.float32, ...]:
    """The argument that tells compiled code how wide its vectors are."""
    return (np.float32(0),) * width


@no_type_check
def _constant(width: int, value: float) -> ir.Constant:
    return ir.Constant(ir.VectorType(_FLOAT, width), [float(np.float32(value))] * width)


@no_type_check
def _integers(width: int, value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT, width), [value] * width)


@no_type_check
def _broadcast(builder: ir.IRBuilder, scalar: ir.Value, width: int) -> ir.Value:
    undefined = ir.Constant(ir.VectorType(_FLOAT, width), ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(undefined, scalar, ir.Constant(_INT, 0)), undefined, _integers(width, 0)
    )


@no_type_check
def _multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(x, y, flags=_CONTRACT), z, flags=_CONTRACT)


@no_type_check
def _address(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, width: int) -> ir.Value:
    """Pointer to the vector that starts at ``array[row, column]``."""
    array_type = signature.args[0]
    array = context.make_array(array_type)(context, builder, args[0])
    indices = [context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2)]
    pointer = cgutils.get_item_pointer(context, builder, array_type, array, indices, wraparound=False)
    return builder.bitcast(pointer, ir.VectorType(_FLOAT, width).as_pointer())


@intrinsic
@no_type_check
def filled(typingctx, lanes, value):
    """A vector with ``value`` in every lane."""

    def codegen(context, builder, signature, args):
        return _broadcast(builder, args[1], signature.return_type.width)

    return Lanes(len(lanes))(lanes, types.float32), codegen


@intrinsic
@no_type_check
def load(typingctx, array, row, column, lanes):
    """The vector ``array[row, column : column + len(lanes)]`` of a C-ordered float32 array."""

    def codegen(context, builder, signature, args):
        value = builder.load(_address(context, builder, signature, args, signature.return_type.width))
        value.align = 4
        return value

    return Lanes(len(lanes))(array, row, column, lanes), codegen


@intrinsic
@no_type_check
def store(typingctx, array, row, column, value):
    """Write a vector to ``array[row, column:]``."""

    def codegen(context, builder, signature, args):
        address = _address(context, builder, signature, args, signature.args[3].width)
        builder.store(args[3], address).align = 4
        return context.get_dummy_value()

    return types.void(array, row, column, value), codegen


@intrinsic
@no_type_check
def multiply_add(typingctx, scalar, x, y):
    """``scalar * x + y``."""

    def codegen(context, builder, signature, args):
        return _multiply_add(builder, _broadcast(builder, args[0], signature.return_type.width), args[1], args[2])

    return x(types.float32, x, y), codegen


@intrinsic
@no_type_check
def total(typingctx, x):
    """The sum of the lanes."""

    def codegen(context, builder, signature, args):
        parts = [builder.extract_element(args[0], ir.Constant(_INT, i)) for i in range(args[0].type.count)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)]
        return parts[0]

    return types.float32(x), codegen


@intrinsic
@no_type_check
def exp_below(typingctx, x, top):
    """``exp(x - top)`` for ``x <= top``, to 2e-7 of its value; 0 where it is under ``exp(-60)``.

    The cut is far below float32's resolution of a probability, and keeps slow denormal numbers out of the filter.
    """

    def codegen(context, builder, signature, args):
        width = signature.return_type.width
        floor = _constant(width, _EXP_FLOOR)
        difference = builder.fsub(args[0], _broadcast(builder, args[1], width))
        bounded = builder.select(builder.fcmp_ordered(">", difference, floor), difference, floor)
        # exp(z) = 2^n exp(r), n the integer next to z / ln 2 (conversion truncates, and z <= 0). The product of n and
        # the leading half of ln 2 is exact, so that r is as exact as z.
        scaled = builder.fmul(bounded, _constant(width, 1 / np.log(2)))
        n = builder.fptosi(builder.fsub(scaled, _constant(width, 0.5)), ir.VectorType(_INT, width))
        power = builder.sitofp(n, ir.VectorType(_FLOAT, width))
        r = _multiply_add(builder, power, _constant(width, -0.693359375), bounded)
        r = _multiply_add(builder, power, _constant(width, 0.693359375 - np.log(2)), r)
        series = _constant(width, 1 / 720)
        for factorial in (120, 24, 6, 2, 1, 1):
            series = _multiply_add(builder, series, r, _constant(width, 1 / factorial))
        exponent = builder.shl(builder.add(n, _integers(width, 127)), _integers(width, 23))
        value = builder.fmul(series, builder.bitcast(exponent, ir.VectorType(_FLOAT, width)))
        return builder.select(builder.fcmp_ordered(">", difference, floor), value, _constant(width, 0))

    return x(x, types.float32), codegen
