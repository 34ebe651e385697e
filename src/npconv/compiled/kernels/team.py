"""Threads that share the parts of a kernel's work, waiting for it where the wait is short.

Parts are claimed one by one, by whoever is free: which thread computes a part makes no
difference to its bits. The word WORK holds the number of the job and the parts left of it;
claiming is one exchange of that word, which fails if either has changed. The leader returns
when all parts are done, so what it lends (its block of arguments lies on its stack) lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import CALL_WORDS, MOST_WORDS, data_offset, items_offset
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.memory import (
    add_shared,
    call_kernel,
    get_int,
    give_way,
    load_shared,
    pause,
    put_int,
    stack_words,
    store_shared,
    swap_shared,
)

# Words of the shared memory, each in a cache line of its own, so that nobody waits for a
# neighbour's write. From ASLEEP on there is one for each worker.
WORK, DONE, KERNEL, BLOCK, PARTS, THREADS, LOCK, STOP, ASLEEP = range(0, 72, 8)
LEFT = 0xFFFFFFFF
# What a step says once and for all: a kernel's address, the parts, the threads, and how many
# constants stand behind them.
STEP_WORDS = 4
PATIENCE = 2000  # how often the leader looks before it gives way
LOOKS = 256  # and how often a worker that has nothing to do


def make(what: str) -> Callable[..., None]:
    """Make ``lead`` or ``serve``."""
    return {"lead": _lead(), "serve": _serve()}[what]


def _claim(memory: int) -> Any:
    """Claim a part; -1 where there is none."""
    word = load_shared(memory, WORK)
    while word & LEFT:
        if swap_shared(memory, WORK, word, word - 1):
            return get_int(memory, PARTS) - (word & LEFT)
        word = load_shared(memory, WORK)
    return -1


def _lead() -> Callable[..., None]:
    block_on_stack = stack_words(MOST_WORDS)
    claim: Any = helper(_claim)
    data, items = data_offset(), items_offset()

    def lead(order: int) -> None:
        """Run all parts of a kernel, with whoever of the team is awake.

        An order is a tuple of Python's: the arrays of this memory and of a step's words, None,
        and a tuple of the arrays a call brings, or None. Where these begin stands first in the
        kernel's block of arguments, behind it the constants. Objects are read, never changed.
        """
        memory = get_int(get_int(order + items, 0) + data, 0)
        step = get_int(get_int(order + items, 1) + data, 0)
        none, brought = get_int(order + items, 2), get_int(order + items, 3) + items
        kernel, parts, threads = get_int(step, 0), get_int(step, 1), get_int(step, 2)
        block = block_on_stack()
        for i in range(CALL_WORDS):
            array = get_int(brought, i)
            put_int(block, i, 0 if array == none else get_int(array + data, 0))
        for i in range(get_int(step, 3)):
            put_int(block, CALL_WORDS + i, get_int(step, STEP_WORDS + i))
        if threads == 1 or parts == 1 or not swap_shared(memory, LOCK, 0, 1):
            # Alone, also when the team works for another caller.
            for part in range(parts):
                call_kernel(kernel, block, part, 0)
            return
        put_int(memory, KERNEL, kernel)
        put_int(memory, BLOCK, block)
        put_int(memory, PARTS, parts)
        put_int(memory, THREADS, threads)
        put_int(memory, DONE, 0)
        job = ((load_shared(memory, WORK) >> 32) + 1) & 0x7FFFFFFF
        store_shared(memory, WORK, job << 32 | parts)
        part = claim(memory)
        while part >= 0:
            call_kernel(kernel, block, part, 0)
            add_shared(memory, DONE, 1)
            part = claim(memory)
        waited = 0
        while load_shared(memory, DONE) < parts:
            pause()
            waited += 1
            if waited % PATIENCE == 0:  # who has a part may be waiting for this processor
                give_way()
        store_shared(memory, LOCK, 0)

    return lead


def _serve() -> Callable[..., None]:
    def serve(memory: int, worker: int, patience: int) -> None:
        """Work until there has been nothing to do for a while, then fall asleep."""
        idle = 0
        while not load_shared(memory, STOP):
            word = load_shared(memory, WORK)
            # The job's number in `word` is older than what is read here, or the exchange fails.
            if word & LEFT and worker < load_shared(memory, THREADS):
                if swap_shared(memory, WORK, word, word - 1):
                    part = get_int(memory, PARTS) - (word & LEFT)
                    call_kernel(get_int(memory, KERNEL), get_int(memory, BLOCK), part, worker)
                    add_shared(memory, DONE, 1)
                idle = 0
            elif idle < patience:
                pause()
                idle += 1
                if idle % LOOKS == 0:  # a library's thread may be waiting for this processor
                    give_way()
            else:
                store_shared(memory, ASLEEP + 8 * worker, 1)
                return

    return serve
