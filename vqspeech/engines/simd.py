"""SIMD intrinsics for numba: sixteen float32 numbers as one value in registers.

Each function is one instruction where the processor has vectors of 512 bits; elsewhere LLVM makes two, four or
sixteen of it.  For use inside of compiled functions.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

WIDTH = 16
_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_INTS = ir.VectorType(ir.IntType(32), WIDTH)


class Lanes(types.Type):
    """The type of such a value, inside of compiled functions only."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _FLOATS)


lanes = Lanes()


@intrinsic
def fill(typing_context, number):
    """A float32 number, sixteen times."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0])

    return lanes(types.float32), generate


@intrinsic
def load(typing_context, array, place):
    """array.flat[place : place + 16], of float32."""

    def generate(context, builder, signature, arguments):
        where = builder.bitcast(_where(context, builder, signature, arguments), _pointer(ir.FloatType()))
        return builder.load(where, align=4)

    return lanes(array, types.intp), generate


@intrinsic
def load_panel(typing_context, array, place):
    """array.flat[place : place + 64] as float32, four times sixteen numbers, from weights as `panel` stores them."""

    def generate(context, builder, signature, arguments):
        where = _where(context, builder, signature, arguments)
        if array.dtype == types.uint16:
            words = builder.bitcast(where, _INTS.as_pointer())
            pairs = [builder.load(builder.gep(words, [ir.Constant(ir.IntType(64), k)]), align=4) for k in range(2)]
            upper, half = ir.Constant(_INTS, [0xFFFF0000] * WIDTH), ir.Constant(_INTS, [16] * WIDTH)
            ints = [bits for pair in pairs for bits in (builder.shl(pair, half), builder.and_(pair, upper))]
            values = [builder.bitcast(bits, _FLOATS) for bits in ints]
        else:
            first = builder.bitcast(where, _pointer(ir.FloatType()))
            values = [builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), k)]), align=4) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(lanes, 4)(array, types.intp), generate


@intrinsic
def store(typing_context, array, place, value):
    """array.flat[place : place + 16] = value, in float32."""

    def generate(context, builder, signature, arguments):
        where = builder.bitcast(_where(context, builder, signature, arguments), _pointer(ir.FloatType()))
        builder.store(arguments[2], where, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def spread(typing_context, array, place):
    """array.flat[place], a float32, sixteen times."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, builder.load(_where(context, builder, signature, arguments), align=4))

    return lanes(array, types.intp), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """A * b + c, lane by lane; rounded once where the processor can."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        name = f"llvm.fmuladd.v{WIDTH}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def add(typing_context, a, b):
    """A + b."""
    return lanes(lanes, lanes), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def multiply(typing_context, a, b):
    """A * b."""
    return lanes(lanes, lanes), lambda context, builder, signature, arguments: builder.fmul(*arguments)


@intrinsic
def divide(typing_context, a, b):
    """A / b."""
    return lanes(lanes, lanes), lambda context, builder, signature, arguments: builder.fdiv(*arguments)


@intrinsic
def clamp(typing_context, a, low, high):
    """The nearest numbers in low..high, of finite ones."""

    def generate(context, builder, signature, arguments):
        a, low, high = arguments
        a = builder.select(builder.fcmp_ordered("<", a, low), low, a)
        return builder.select(builder.fcmp_ordered(">", a, high), high, a)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def highest(typing_context, a):
    """The greatest of the sixteen."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [_FLOATS])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmax.v{WIDTH}f32"), arguments
        )

    return types.float32(lanes), generate


@intrinsic
def total(typing_context, a):
    """The sum of the sixteen, in their order."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        nothing = ir.Constant(ir.FloatType(), -0.0)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [nothing, *arguments])

    return types.float32(lanes), generate


def _spread(builder, one):
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * WIDTH))


def _pointer(number: ir.Type) -> ir.Type:
    return ir.VectorType(number, WIDTH).as_pointer()


def _where(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])
