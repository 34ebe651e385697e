"""Numba as a front end: kernels become LLVM's representation, not yet optimised.

A kernel is made of many small functions. Numba's own ``njit`` would optimise each of them
with all that it calls, make machine code of it and two wrappers for Python; then they would
be linked, and optimised once more. For a target of our own (Numba's target extensions) it
does none of that: all is optimised once, when it is together, in half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

from llvmlite import binding, ir
from numba.core import codegen, cpu, dispatcher, types
from numba.core.registry import CPUTarget
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_registry

TARGET = "npconv"
# Nobody is there to catch an exception, and nothing is allocated.
OPTIONS = {"nopython": True, "error_model": "numpy", "_nrt": False}


def helper(function: Callable[..., Any]) -> Any:
    """Make a function that kernels, and other helpers, may call."""
    return _Helper(function, targetoptions=OPTIONS)


def lowered(kernel: Callable[..., None], name: str) -> Any:
    """Lower a function of 64-bit integers and all that it calls: a module of LLVM's.

    Its one function that is visible from outside is called ``name``, a plain one of C's.
    """
    arguments = (types.int64,) * kernel.__code__.co_argcount
    entry = helper(kernel)
    entry.compile(arguments)
    result = entry.overloads[arguments]
    module = _linked(result.library)
    module.link_in(binding.parse_assembly(_plain(name, result.fndesc, entry)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != name:
            value.linkage = "internal"  # or it would meet the same name in another file
    return module


def _plain(name: str, function: Any, entry: Any) -> str:
    """Write a function that leaves out what Numba returns and raises: a kernel does neither."""
    module = ir.Module()
    convention = entry.targetdescr.target_context.call_conv
    kind = convention.get_function_type(function.restype, function.argtypes)
    called = ir.Function(module, kind, function.llvm_func_name)
    integers = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(function.argtypes))
    plain = ir.Function(module, integers, name)
    builder = ir.IRBuilder(plain.append_basic_block())
    ignored = [builder.alloca(pointer.pointee) for pointer in kind.args[:2]]
    # Inlined, a kernel would be optimised twice.
    builder.call(called, [*ignored, *plain.args], attrs=("noinline",))
    builder.ret_void()
    return str(module)


def _linked(library: Any) -> Any:
    """Put a kernel and the functions it calls into one module."""
    module = binding.parse_assembly(library.get_llvm_str())
    # Specialisations of one function are libraries of one name.
    waiting, seen = [library], {id(library)}
    while waiting:
        for called in waiting.pop()._linking_libraries:
            if id(called) not in seen:
                seen.add(id(called))
                waiting.append(called)
                module.link_in(binding.parse_bitcode(called.serialize_using_bitcode()[2]))
    return module


class _Library(codegen.CPUCodeLibrary):
    """A function's instructions, as Numba wrote them."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._finalized = True  # neither linked, which `_linked` does, nor made machine code


class _Codegen(codegen.JITCPUCodegen):
    _library_class: Any = _Library


class _Context(cpu.CPUContext):
    """Numba's context of this processor, for functions that Python never calls."""

    def init(self) -> None:
        super().init()
        self._internal_codegen = cast(Any, _Codegen)(TARGET)

    def create_cpython_wrapper(self, *arguments: Any, **options: Any) -> None:
        pass

    def create_cfunc_wrapper(self, *arguments: Any, **options: Any) -> None:
        pass

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        return [].append  # a dispatcher tells its functions apart by what Python would call


class _Target(CPUTarget):
    """The processor, with a context that lasts as long as the functions compiled for it."""

    @cached_property
    def target_context(self) -> Any:
        return cast(Any, _Context)(self.typing_context, TARGET)


class _Helper(dispatcher.Dispatcher):
    targetdescr: Any = cast(Any, _Target)(TARGET)


class _Kind(CPU):
    """Our target, among Numba's."""


def _jit(function: Any = None, **_options: Any) -> Any:
    """Make helpers of Numba's own functions in Python, such as those of tuples."""
    return helper if function is None else helper(function)


target_registry[TARGET] = _Kind
dispatcher_registry[_Kind] = _Helper
jit_registry[_Kind] = _jit
