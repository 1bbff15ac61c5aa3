"""A loop that several threads share, in machine code: who is free takes the next part of it.

A thread that is handed a Python call needs the GIL to begin it and to report that it has ended: 130 us a call, where
half of relu over 2^20 elements takes 150. Here the caller leaves the address of its loop and of what that works on in a
mailbox, which the others look at, and all of them draw parts until none is left. The mailbox is an aligned block of
memory; its words lie a cache line apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actbench.kernels.headers import BYTE, INT, WORD, x86
from actbench.kernels.linking import inline

LINE = 64
WORDS = 5 * LINE // 8
"""The mailbox in words of 8 bytes."""
_STATE, _LEFT, _ASLEEP, _LOOP = (k * LINE for k in range(4))
_WORK = _LOOP + 8
LOOKS, BED, BELL = (4 * LINE // 8 + k for k in range(3))
"""Words that are set once: how long to look out for work before going to sleep, and a pipe of which who sleeps reads a
byte. Waking so needs no GIL: it takes 100 to 300 us, and by then the caller may hold the GIL again, call after call."""
# The state, in bits from the lowest: parts drawn by the leader, who begins at the first one, parts drawn by others, who
# begin at the last, how many parts there are, how many threads may still join in, and a number of the job, so that what
# was read of another one is never taken for this one's. A core so finds what it had in its cache the last time: relu
# over 2^18 elements took 26 us where all drew from one end, 13 like this.
_PART_BITS, _SEAT_BITS = 12, 8
_BACK, _PARTS, _SEATS, _JOB = (_PART_BITS, 2 * _PART_BITS, 3 * _PART_BITS, 3 * _PART_BITS + _SEAT_BITS)
YIELD = 1 << 14
"""Looks, 0.2 ms, after which one that waits lets others have its core: there may be more threads than cores."""
_ADDRESS = types.int64
_LOOP_TYPE = types.int64(types.voidptr, types.int64)


def _at(builder: Any, mailbox: Any, offset: int) -> Any:
    return builder.inttoptr(builder.add(mailbox, WORD(offset)), WORD.as_pointer())


def _read(builder: Any, mailbox: Any, offset: int) -> Any:
    return builder.load_atomic(_at(builder, mailbox, offset), "acquire", 8)


def _write(builder: Any, mailbox: Any, offset: int, value: Any) -> None:
    builder.store_atomic(value, _at(builder, mailbox, offset), "release", 8)


def _bits(builder: Any, state: Any, first: int, count: int) -> Any:
    return builder.and_(builder.lshr(state, WORD(first)), WORD((1 << count) - 1))


@intrinsic  # type: ignore[untyped-decorator]
def publish(typingctx: Any, mailbox: Any, loop: Any, work: Any, parts: Any, seats: Any) -> Any:
    """Let others take parts of ``loop(work, part)``; ``work`` is a tuple, which they read where it is."""
    kind = typingctx.resolve_function_type(loop, (work, types.int64), {})

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, _, value, count, room = args
        slot = cgutils.alloca_once_value(builder, value)
        entry = _entry(context, builder, loop, kind, work)
        _write(builder, address, _LOOP, builder.ptrtoint(entry, WORD))
        _write(builder, address, _WORK, builder.ptrtoint(slot, WORD))
        _write(builder, address, _LEFT, count)
        job = builder.add(builder.lshr(_read(builder, address, _STATE), WORD(_JOB)), WORD(1))
        state = builder.or_(builder.shl(job, WORD(_JOB)), builder.shl(room, WORD(_SEATS)))
        _write(builder, address, _STATE, builder.or_(state, builder.shl(count, WORD(_PARTS))))
        return context.get_dummy_value()

    return types.none(_ADDRESS, loop, work, types.int64, types.int64), codegen


def _entry(context: Any, builder: Any, loop: Any, kind: Any, work: Any) -> Any:
    """The loop as a function of the address of its work and of a part, with the same LLVM type in all kernels."""
    module = builder.module
    shape = context.call_conv.get_function_type(_LOOP_TYPE.return_type, _LOOP_TYPE.args)
    entry = ir.Function(module, shape, module.get_unique_name("loop"))
    entry.linkage = "internal"
    set.add(entry.attributes, '"prefer-vector-width"="512"')
    inside = ir.IRBuilder(entry.append_basic_block("entry"))
    address, part = context.call_conv.get_arguments(entry)
    stored = context.get_value_type(work).as_pointer()
    code = context.get_function(loop, kind)
    context.add_linking_libs(getattr(code, "libs", ()))
    code(inside, (inside.load(inside.bitcast(address, stored)), part))
    context.call_conv.return_value(inside, WORD(0))
    return entry


@intrinsic  # type: ignore[untyped-decorator]
def own(typingctx: Any, mailbox: Any) -> Any:
    """Return the number of the job in the mailbox, by which whoever has left it there draws its parts."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.lshr(_read(builder, args[0], _STATE), WORD(_JOB))

    return types.int64(_ADDRESS), codegen


@intrinsic  # type: ignore[untyped-decorator]
def draw(typingctx: Any, mailbox: Any, known: Any, leads: Any) -> Any:
    """Return a part that nobody else has, or -1, and the number of the job; another one than ``known`` takes a seat."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, known, leads = args
        part = cgutils.alloca_once_value(builder, WORD(-1))
        job = cgutils.alloca_once_value(builder, known)
        look, take, again, end = (
            builder.append_basic_block(name) for name in ("look", "take", "again", "drawn")
        )
        builder.branch(look)
        builder.position_at_end(look)
        state = _read(builder, address, _STATE)
        number, seats = builder.lshr(state, WORD(_JOB)), _bits(builder, state, _SEATS, _SEAT_BITS)
        front, back, count = (_bits(builder, state, first, _PART_BITS) for first in (0, _BACK, _PARTS))
        joined = builder.icmp_unsigned("==", number, known)
        allowed = builder.or_(joined, builder.icmp_unsigned(">", seats, WORD(0)))
        left = builder.icmp_unsigned("<", builder.add(front, back), count)
        builder.cbranch(builder.and_(allowed, left), take, end)
        builder.position_at_end(take)
        seated = builder.select(joined, WORD(0), WORD(1 << _SEATS))
        drawn = builder.select(leads, WORD(1), WORD(1 << _BACK))
        changed = builder.add(builder.sub(state, seated), drawn)
        found = builder.cmpxchg(_at(builder, address, _STATE), state, changed, "acq_rel", "acquire")
        last = builder.sub(builder.sub(count, back), WORD(1))
        builder.store(builder.select(leads, front, last), part)
        builder.store(number, job)
        builder.cbranch(builder.extract_value(found, 1), end, again)
        builder.position_at_end(again)
        builder.store(WORD(-1), part)
        builder.store(known, job)
        builder.branch(look)
        builder.position_at_end(end)
        return context.make_tuple(builder, sig.return_type, (builder.load(part), builder.load(job)))

    return types.UniTuple(types.int64, 2)(_ADDRESS, types.int64, types.boolean), codegen


@intrinsic  # type: ignore[untyped-decorator]
def make(typingctx: Any, mailbox: Any, part: Any) -> Any:
    """Run a part that was drawn of the loop in the mailbox."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, part = args
        shape = context.call_conv.get_function_type(_LOOP_TYPE.return_type, _LOOP_TYPE.args)
        loop = builder.inttoptr(_read(builder, address, _LOOP), shape.as_pointer())
        work = builder.inttoptr(_read(builder, address, _WORK), cgutils.voidptr_t)
        returned, error = (cgutils.alloca_once(builder, kind.pointee) for kind in shape.args[:2])
        builder.call(loop, (returned, error, work, part))
        return context.get_dummy_value()

    return types.none(_ADDRESS, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def end(typingctx: Any, mailbox: Any) -> Any:
    """A part that was drawn has ended."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.atomic_rmw("sub", _at(builder, args[0], _LEFT), WORD(1), "acq_rel")
        return context.get_dummy_value()

    return types.none(_ADDRESS), codegen


@intrinsic  # type: ignore[untyped-decorator]
def left(typingctx: Any, mailbox: Any) -> Any:
    """Return how many parts have not ended."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _read(builder, args[0], _LEFT)

    return types.int64(_ADDRESS), codegen


@intrinsic  # type: ignore[untyped-decorator]
def pause(typingctx: Any) -> Any:
    """Leave the core to its other thread for a moment."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x86(builder, "sse2.pause")
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def give_way(typingctx: Any) -> Any:
    """Let another thread have this core."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(INT, [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def count_asleep(typingctx: Any, mailbox: Any, change: Any) -> Any:
    """Change the number of threads that sleep, or are about to."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.atomic_rmw("add", _at(builder, args[0], _ASLEEP), args[1], "seq_cst")
        return context.get_dummy_value()

    return types.none(_ADDRESS, types.int64), codegen


def _pipe(builder: Any, call: str, mailbox: Any, word: int, count: Any) -> Any:
    """POSIX's read or write of so many bytes of a buffer that nobody looks at."""
    kind = ir.FunctionType(WORD, [INT, cgutils.voidptr_t, WORD])
    buffer = cgutils.alloca_once(builder, ir.ArrayType(BYTE, 1 << _SEAT_BITS))
    handle = builder.trunc(builder.load(_at(builder, mailbox, 8 * word)), INT)
    function = cgutils.get_or_insert_function(builder.module, kind, call)
    return builder.call(function, [handle, builder.bitcast(buffer, cgutils.voidptr_t), count])


@intrinsic  # type: ignore[untyped-decorator]
def sleep(typingctx: Any, mailbox: Any) -> Any:
    """Wait for a byte in the pipe."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _pipe(builder, "read", args[0], BED, WORD(1))

    return types.int64(_ADDRESS), codegen


@intrinsic  # type: ignore[untyped-decorator]
def wake(typingctx: Any, mailbox: Any, seats: Any) -> Any:
    """Wake as many of those who sleep as there are seats."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, seats = args
        builder.fence("seq_cst")  # what was published, and only then who sleeps
        asleep = _read(builder, address, _ASLEEP)
        with builder.if_then(builder.icmp_signed(">", asleep, WORD(0)), likely=False):
            fewer = builder.icmp_signed("<", asleep, seats)
            _pipe(builder, "write", address, BELL, builder.select(fewer, asleep, seats))
        return context.get_dummy_value()

    return types.none(_ADDRESS, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def patience(typingctx: Any, mailbox: Any) -> Any:
    """Return how many looks to take before going to sleep."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _read(builder, args[0], 8 * LOOKS)

    return types.int64(_ADDRESS), codegen


def attend() -> Callable[..., Any]:
    """Take parts of what is in the mailbox; sleep where many looks in a row have found none. It does not return."""

    def kernel(mailbox: int) -> int:
        job, idle = -1, 0
        while True:
            part, job = draw(mailbox, job, False)
            if part < 0:
                pause()
                idle += 1
                if idle <= patience(mailbox):
                    continue
                count_asleep(mailbox, 1)
                part, job = draw(mailbox, job, False)  # it may have been published just before
                if part < 0:
                    sleep(mailbox)
                count_asleep(mailbox, -1)
            if part >= 0:
                make(mailbox, part)
                end(mailbox)
            idle = 0
        return 0

    return kernel


@inline
def lead(mailbox: Any, loop: Any, work: Any, parts: Any, seats: Any) -> Any:
    """Run ``loop(work, part)`` for all parts, with as many others as there are seats, until all have ended."""
    if seats == 0:
        for k in range(parts):
            loop(work, k)
        return
    publish(mailbox, loop, work, parts, seats)
    wake(mailbox, seats)
    part, job = draw(mailbox, own(mailbox), True)
    while part >= 0:
        loop(work, part)
        end(mailbox)
        part, job = draw(mailbox, job, True)
    looks = 0
    while left(mailbox) > 0:
        looks += 1
        pause()
        if looks > YIELD:
            give_way()
