"""
Two steps of the charge extraction as vector instructions, which the compiler does not find in loops.

A trace of 50 samples is too short for the loops that the compiler makes: it unrolls them into single
instructions, or spends its time on their ends. Here the vectors are written down in LLVM's own language,
which every processor understands. The functions are called in compiled code.
"""

# ruff: noqa: ANN001, ANN202 (compiled functions take the types of their arguments from the call)

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import Signature
from numba.core.typing.context import BaseContext
from numba.extending import intrinsic

__all__ = ["LANES", "first_largest", "window_sums"]

#: Samples of a window that are added up at once.
LANES = 8

_I16, _I32, _I64 = (ir.IntType(bits) for bits in (16, 32, 64))
_F32, _F64 = ir.FloatType(), ir.DoubleType()
_COMPARED = 16
_SIGN_FLIP = 0x7FFF


def _load(context, builder, kind, array, begin, element, n):
    """Return n elements of a one-dimensional array as a vector."""
    data = builder.gep(context.make_array(kind)(context, builder, array).data, [begin])
    pointer = builder.bitcast(data, ir.VectorType(element, n).as_pointer())
    return builder.load(pointer, align=element.get_abi_size(context.target_data))


def _repeat(builder, value, n):
    """Return a vector of n times the same value."""
    nothing = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    single = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(_I32, n), [0] * n))


def _call(builder, name, result, *arguments, flags=()):
    """Call one of LLVM's functions of vectors."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments, fastmath=flags)


def _largest(builder, parts):
    """Return the largest element of some vectors of 16-bit integers."""
    kind = parts[0].type
    largest = parts[0]
    for part in parts[1:]:
        largest = _call(builder, f"llvm.smax.v{kind.count}i16", kind, largest, part)
    # turned around, because x86 has one instruction for the smallest of unsigned numbers and none for others
    flip = ir.Constant(kind, [_SIGN_FLIP] * kind.count)
    smallest = _call(builder, f"llvm.vector.reduce.umin.v{kind.count}i16", _I16, builder.xor(largest, flip))
    return builder.xor(smallest, _I16(_SIGN_FLIP))


def _first_equal(builder, parts, begins, value):
    """Return the place of the first element that has a value, in vectors that begin at some places."""
    n = parts[0].type.count
    # one bit per sample; vectors may overlap, since the bits of a sample are then the same
    bits = ir.IntType(_I64.width * -(-(begins[-1] + n) // _I64.width))
    found = bits(0)
    for part, begin in zip(parts, begins, strict=True):
        equal = builder.icmp_signed("==", part, _repeat(builder, value, n))
        mask = builder.zext(builder.bitcast(equal, ir.IntType(n)), bits)
        found = builder.or_(found, builder.shl(mask, bits(begin)))
    place = builder.cttz(found, ir.IntType(1)(1))
    return builder.trunc(place, _I64) if bits.width > _I64.width else place


@intrinsic(prefer_literal=True)
def first_largest(
    _context: BaseContext, samples: types.Array, begin: types.Integer, n_samples: types.IntegerLiteral
) -> tuple[Signature, Callable]:
    """
    Return place and value of the largest sample of a trace, of equal ones of the first, as in argmax.

    Parameters
    ----------
    samples : ndarray of int16, shape=(n,)
        C-contiguous.
    begin : int
        Where the trace begins.
    n_samples : int
        Its length, a constant of the compiled function; nothing checks that `samples` is long enough.
    """
    length = n_samples.literal_value
    n = min(length, _COMPARED)
    begins = [*range(0, length - n, n), length - n]

    def codegen(context, builder, signature, args):
        places = [builder.add(args[1], args[1].type(begin)) for begin in begins]
        parts = [_load(context, builder, signature.args[0], args[0], place, _I16, n) for place in places]
        value = _largest(builder, parts)
        found = _first_equal(builder, parts, begins, value)
        return context.make_tuple(builder, signature.return_type, [found, value])

    pair = types.Tuple((types.int64, types.int16))
    return pair(samples, types.intp, n_samples), codegen


@intrinsic(prefer_literal=True)
def window_sums(
    _context: BaseContext,
    samples: types.Array,
    begin: types.Integer,
    level: types.Float,
    inside: types.Array,
    row: types.Integer,
    n_lanes: types.IntegerLiteral,
) -> tuple[Signature, Callable]:
    """
    Return sums over some samples above a level: all, the positive ones, and those times their place.

    Parameters
    ----------
    samples : ndarray of int16, shape=(n,)
        C-contiguous.
    begin : int
        The first sample; its place is 0.
    level : float32
        Subtracted from each sample in single precision.
    inside : ndarray of int32, shape=(m,)
        For each sample -1 if it counts, 0 if not.
    row : int
        Where in `inside` those of these samples begin.
    n_lanes : int
        Number of samples, a constant of the compiled function; nothing checks the lengths of the arrays.

    Notes
    -----
    The sums are in double precision, and for any level above one count they are exact, so that the order of
    the additions does not matter: samples have 16 bits, and such a level has none below 2**-23.
    """
    n = n_lanes.literal_value

    def codegen(context, builder, signature, args):
        counts = _load(context, builder, signature.args[0], args[0], args[1], _I16, n)
        mask = _load(context, builder, signature.args[3], args[3], args[4], _I32, n)
        value = builder.fsub(builder.sitofp(counts, ir.VectorType(_F32, n)), _repeat(builder, args[2], n))
        value = builder.bitcast(builder.and_(builder.bitcast(value, mask.type), mask), value.type)
        double = ir.VectorType(_F64, n)
        value, none = builder.fpext(value, double), ir.Constant(double, [0.0] * n)
        positive = builder.select(builder.fcmp_ordered(">", value, none), value, none)
        place = ir.Constant(double, [float(k) for k in range(n)])
        sums = [
            _call(
                builder, f"llvm.vector.reduce.fadd.v{n}f64", _F64, _F64(0.0), part, flags=["reassoc", "nsz"]
            )
            for part in (value, positive, builder.fmul(positive, place))
        ]
        return context.make_tuple(builder, signature.return_type, sums)

    triple = types.UniTuple(types.float64, 3)
    return triple(samples, types.intp, types.float32, inside, types.intp, n_lanes), codegen
