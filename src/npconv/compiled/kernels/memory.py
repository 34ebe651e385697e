"""Memory as kernels see it: numbers at addresses, and operations that threads share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from npconv.compiled.front_end import helper
from npconv.compiled.registers import CACHE_LINE

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
KINDS: dict[str, tuple[Any, Any]] = {
    "float32": (types.float32, FLOAT),
    "float64": (types.float64, DOUBLE),
    "int64": (types.int64, I64),
    "int8": (types.int8, I8),
}


def emitted(emit: Callable[..., Any], arguments: int | Sequence[Any], result: Any = None) -> Any:
    """Make a function of kernels whose LLVM instructions ``emit(builder, ...)`` writes.

    ``arguments`` gives their Numba types, or the number of 64-bit integers; ``result`` the
    type of what `emit` returns.
    """
    if isinstance(arguments, int):
        arguments = (types.int64,) * arguments

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = emit(builder, *args)
        return context.get_dummy_value() if result is None else value

    def define(typingctx: Any, *given: Any) -> tuple[Any, Callable[..., Any]]:
        return (types.void if result is None else result)(*arguments), codegen

    # Numba counts the arguments by the signature.
    names = ["typingctx", *(f"a{i}" for i in range(len(arguments)))]
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    vars(define)["__signature__"] = Signature(parameters)
    define.__name__ = getattr(emit, "__name__", "emitted").strip("_<>")
    make: Any = intrinsic
    return make(define)


def at(builder: Any, kind: Any, address: Any, index: Any = None) -> Any:
    """Point to element ``index`` of numbers that begin at an address."""
    pointer = builder.inttoptr(address, kind.as_pointer())
    return pointer if index is None else builder.gep(pointer, [index])


def declared(builder: Any, kind: Any, name: str) -> Any:
    """Declare one of LLVM's own functions."""
    get: Any = cgutils.get_or_insert_function
    return get(builder.module, kind, name)


def getter(dtype: str) -> Any:
    """Make the function ``(address, index)`` that reads an element."""
    numba_type, kind = KINDS[dtype]

    def get(builder: Any, address: Any, index: Any) -> Any:
        return builder.load(at(builder, kind, address, index))

    return emitted(get, 2, numba_type)


def setter(dtype: str) -> Any:
    """Make the function ``(address, index, value)`` that writes an element."""
    numba_type, kind = KINDS[dtype]

    def put(builder: Any, address: Any, index: Any, value: Any) -> None:
        builder.store(value, at(builder, kind, address, index))

    return emitted(put, (types.int64, types.int64, numba_type))


get_int, put_int = getter("int64"), setter("int64")


def _load(builder: Any, address: Any, index: Any) -> Any:
    return builder.load_atomic(at(builder, I64, address, index), "seq_cst", 8)


def _store(builder: Any, address: Any, index: Any, value: Any) -> None:
    builder.store_atomic(value, at(builder, I64, address, index), "seq_cst", 8)


def _add(builder: Any, address: Any, index: Any, value: Any) -> Any:
    return builder.atomic_rmw("add", at(builder, I64, address, index), value, "seq_cst")


def _swap(builder: Any, address: Any, index: Any, expected: Any, value: Any) -> Any:
    place = at(builder, I64, address, index)
    return builder.extract_value(builder.cmpxchg(place, expected, value, "seq_cst", "seq_cst"), 1)


# Integers that threads share, as (address, index, ...). `swap_shared` writes a value if the
# integer still is what was expected, and says whether it was; `add_shared` gives what it was.
load_shared = emitted(_load, 2, types.int64)
store_shared = emitted(_store, 3)
add_shared = emitted(_add, 3, types.int64)
swap_shared = emitted(_swap, 4, types.boolean)


def prefetch(builder: Any, pointer: Any, *, writes: bool = False, near: bool = True) -> None:
    """Call a line into the cache, to be read or written; where there is no memory, do nothing.

    Not ``near``: into the second cache, as it is not read soon.
    """
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    call = declared(builder, kind, "llvm.prefetch.p0i8")
    builder.call(call, [pointer, I32(int(writes)), I32(3 if near else 2), I32(1)])


def _fetch(builder: Any, address: Any) -> None:
    prefetch(builder, at(builder, I8, address))


def _fetch_early(builder: Any, address: Any) -> None:
    prefetch(builder, at(builder, I8, address), near=False)


def _fetch_to_write(builder: Any, address: Any) -> None:
    prefetch(builder, at(builder, I8, address), writes=True)


# (address)
fetch, fetch_early, fetch_to_write = (
    emitted(emit, 1) for emit in (_fetch, _fetch_early, _fetch_to_write)
)


@helper
def call_lines(address: int, nbytes: int) -> Any:
    """Call the lines of so many bytes into the second cache."""
    for line in range(address // CACHE_LINE, (address + nbytes - 1) // CACHE_LINE + 1):
        fetch_early(line * CACHE_LINE)


def _pause(builder: Any) -> None:
    if binding.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686"):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(declared(builder, kind, "llvm.x86.sse2.pause"), [])
    else:
        builder.fence("seq_cst")


pause = emitted(_pause, 0)  # a moment's rest for the processor, in a loop that waits


def _give_way(builder: Any) -> None:
    if sys.platform != "win32":
        kind: Any = ir.FunctionType(ir.IntType(32), [])
        builder.call(declared(builder, kind, "sched_yield"), [])


give_way = emitted(_give_way, 0)  # lets another thread have the processor, where POSIX is


def _call(builder: Any, kernel: Any, *args: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
    builder.call(builder.inttoptr(kernel, kind.as_pointer()), args)


# (kernel, block, part, worker); see `npconv.compiled.machine_code.address_of`.
call_kernel = emitted(_call, 4)


def on_stack(builder: Any, count: int) -> Any:
    """Give the address of so many integers on the stack."""
    once: Any = cgutils.alloca_once
    return builder.ptrtoint(once(builder, I64, size=I64(count)), I64)


def stack_words(count: int) -> Any:
    """Make the function ``()`` that gives the address of so many integers on the stack."""
    return emitted(lambda builder: on_stack(builder, count), 0, types.int64)
