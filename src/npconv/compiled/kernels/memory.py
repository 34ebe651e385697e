"""Memory as kernels see it: numbers at addresses, and operations that threads share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

# To mypy these are functions of what `codegen` takes, and not of what kernels call them with.
intrinsic: Any = numba_intrinsic

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
KINDS: dict[str, tuple[Any, Any]] = {
    "float32": (types.float32, FLOAT),
    "float64": (types.float64, DOUBLE),
    "int64": (types.int64, I64),
    "int8": (types.int8, I8),
}


def at(builder: Any, kind: Any, address: Any, index: Any = None) -> Any:
    """Point to element ``index`` of numbers that begin at an address."""
    pointer = builder.inttoptr(address, kind.as_pointer())
    return pointer if index is None else builder.gep(pointer, [index])


def getter(dtype: str) -> Any:
    """Make the function ``(address, index)`` that reads an element."""
    numba_type, kind = KINDS[dtype]

    @intrinsic
    def get(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(at(builder, kind, *args))

        return numba_type(types.int64, types.int64), codegen

    return get


def setter(dtype: str) -> Any:
    """Make the function ``(address, index, value)`` that writes an element."""
    numba_type, kind = KINDS[dtype]

    @intrinsic
    def put(typingctx: Any, address: Any, index: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[2], at(builder, kind, args[0], args[1]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, numba_type), codegen

    return put


get_int, put_int = getter("int64"), setter("int64")


@intrinsic
def load_shared(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
    """Read an integer that another thread may write, and all that it wrote before it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(at(builder, I64, *args), "seq_cst", 8)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def store_shared(
    typingctx: Any, address: Any, index: Any, value: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write an integer for other threads, after all that was written before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], at(builder, I64, args[0], args[1]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def add_shared(
    typingctx: Any, address: Any, index: Any, value: Any
) -> tuple[Any, Callable[..., Any]]:
    """Add to an integer that threads share; give what it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = at(builder, I64, args[0], args[1])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def swap_shared(
    typingctx: Any, address: Any, index: Any, expected: Any, value: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write an integer if it still is what was expected; say whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = at(builder, I64, args[0], args[1])
        done = builder.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(done, 1)

    return types.boolean(*(types.int64,) * 4), codegen


@intrinsic
def pause(typingctx: Any) -> tuple[Any, Callable[..., Any]]:
    """Let the processor rest a moment in a loop that waits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from llvmlite import binding

        if binding.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686"):
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])  # type: ignore[no-untyped-call] # as Numba is
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call_kernel(
    typingctx: Any, address: Any, args: Any, part: Any, worker: Any
) -> tuple[Any, Callable[..., Any]]:
    """Call the kernel at an address; see `npconv.compiled.machine_code.address_of`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ignored = [cgutils.alloca_once(builder, I64) for _ in range(2)]  # type: ignore[no-untyped-call] # as Numba is
        kind = ir.FunctionType(I32, [I64.as_pointer()] * 2 + [I64] * 3)
        kernel = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(kernel, [*ignored, *args[1:]])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), codegen


def stack_words(count: int) -> Any:
    """Make the function ``()`` that gives the address of so many integers on the stack."""

    @intrinsic
    def words(typingctx: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = cgutils.alloca_once(builder, I64, size=I64(count))  # type: ignore[no-untyped-call] # as Numba is
            return builder.ptrtoint(place, I64)

        return types.int64(), codegen

    return words
