"""SIMD intrinsics for numba: sixteen float32 numbers as one value in registers.

On a processor with 512-bit vectors each function compiles to one instruction; on others, LLVM makes two, four or
sixteen of it.  These functions are for use inside of compiled functions.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

WIDTH = 16
"""Numbers in a vector."""
_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_INTS = ir.VectorType(ir.IntType(32), WIDTH)


class Lanes(types.Type):
    """Numba type of a vector of WIDTH float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _FLOATS)


lanes = Lanes()


@intrinsic
def fill(typing_context, number):
    """Vector of a float32 number, repeated."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0])

    return lanes(types.float32), generate


@intrinsic
def load(typing_context, array, place):
    """Vector array.flat[place : place + 16], of float32."""

    def generate(context, builder, signature, arguments):
        pointer = builder.bitcast(
            _element_pointer(context, builder, signature, arguments), _vector_pointer(ir.FloatType())
        )
        return builder.load(pointer, align=4)

    return lanes(array, types.intp), generate


@intrinsic
def load_panel(typing_context, array, place):
    """Four vectors array.flat[place : place + 64] as float32, from weights as `numba_engine._to_panels` stores them."""

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature, arguments)
        if array.dtype == types.uint16:
            words = builder.bitcast(pointer, _INTS.as_pointer())
            pairs = [builder.load(builder.gep(words, [ir.Constant(ir.IntType(64), k)]), align=4) for k in range(2)]
            upper, half = ir.Constant(_INTS, [0xFFFF0000] * WIDTH), ir.Constant(_INTS, [16] * WIDTH)
            ints = [bits for pair in pairs for bits in (builder.shl(pair, half), builder.and_(pair, upper))]
            values = [builder.bitcast(bits, _FLOATS) for bits in ints]
        else:
            first = builder.bitcast(pointer, _vector_pointer(ir.FloatType()))
            values = [builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), k)]), align=4) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(lanes, 4)(array, types.intp), generate


@intrinsic
def store(typing_context, array, place, value):
    """array.flat[place : place + 16] = value, in float32."""

    def generate(context, builder, signature, arguments):
        pointer = builder.bitcast(
            _element_pointer(context, builder, signature, arguments), _vector_pointer(ir.FloatType())
        )
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def spread(typing_context, array, place):
    """Vector of the float32 number array.flat[place], repeated."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, builder.load(_element_pointer(context, builder, signature, arguments), align=4))

    return lanes(array, types.intp), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """A * b + c, elementwise; a fused multiply-add where the processor has one."""

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
    """A limited to low..high, elementwise; for finite numbers."""

    def generate(context, builder, signature, arguments):
        a, low, high = arguments
        a = builder.select(builder.fcmp_ordered("<", a, low), low, a)
        return builder.select(builder.fcmp_ordered(">", a, high), high, a)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def highest(typing_context, a):
    """Maximum of the numbers of a vector."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [_FLOATS])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmax.v{WIDTH}f32"), arguments
        )

    return types.float32(lanes), generate


@intrinsic
def total(typing_context, a):
    """Sum of the numbers of a vector, in their order."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        negative_zero = ir.Constant(ir.FloatType(), -0.0)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [negative_zero, *arguments])

    return types.float32(lanes), generate


def _spread(builder, number):
    """Vector of a repeated number, in LLVM IR."""
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * WIDTH))


def _vector_pointer(number: ir.Type) -> ir.Type:
    """LLVM type of a pointer to a vector of numbers."""
    return ir.VectorType(number, WIDTH).as_pointer()


def _element_pointer(context, builder, signature, arguments):
    """Pointer to an element of an array, in LLVM IR; the first two arguments are the array and the index."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])
