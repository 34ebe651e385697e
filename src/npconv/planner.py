"""Which algorithm, and cut how: asked once per problem, answered from shapes alone.

Every algorithm says what it cannot do and what the rest costs; the cheapest able one
serves. Nothing here looks at data, at the clock, at the batch size or at threads, so a
choice is the same every time and for every batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, cast

from npconv.algorithms import REGISTRY
from npconv.algorithms.protocol import Algorithm, DType, Transforming
from npconv.compiled.registers import vector_bytes
from npconv.cost import Cost, Packing, repeated, seconds
from npconv.cutting import find_cut
from npconv.errors import UnsupportedError, show
from npconv.numbers import Numbers
from npconv.padding import most_repeats, padded_problem
from npconv.problem import ConvProblem, Direction
from npconv.rates import VECTOR_BYTES
from npconv.settings import Settings
from npconv.strays import Strays, check_bytes
from npconv.tiling import Cut, number_of_tiles, parts, tiles
from npconv.whole import THREADED_PRODUCTS_COMPILED, Runs, find_runs, is_native

# Beyond this many products the loops of `naive` are no answer any more, only a hang.
NAIVE_PRODUCTS = 1_000_000
# Below this many, some hundred microseconds of matrix products, threads only cost; of what
# cuts to the cache by itself, and has other products as well, the time is estimated.
THREADED_PRODUCTS, THREADED_SECONDS = 4_000_000, 3e-4
# Nor do they gain anything where each call into NumPy takes less: one thread after the other has
# the interpreter, and it takes longer than that to wake the next.
THREADED_CALL = 2e-5
# Seconds that a number takes which is cast to the dtype of the sums, or back.
CAST_SECONDS = 2e-9
# Seconds it takes to bring a kernel into a form of the compiled engine for one call, beside what
# its numbers take.
PACKING_SECONDS = 2e-5
# Where both engines serve, NumPy's has to be so many times as fast by these estimates: with direct
# summation, and with transforms. Of problems drawn at random where it was chosen without this,
# machine code took 0.8 to 1 of the time on one thread, 0.6 to 0.7 on two, up to these factors.
HESITATION = {True: 3.0, False: 1.5}
# Beyond this many tiles, what they take together is not looked at more closely.
MOST_TILES = 4096
# Where an image is little work it is seldom alone: algorithms are compared by as many as make so
# many products, and these at most. A single one would tell what a call takes, and a packing.
FEW_PRODUCTS, FEW_IMAGES = 2**24, 4


class Candidate(NamedTuple):
    """One algorithm's answer: its cost and cut, or why not.

    The tiles of an image take ``image`` in all. ``time`` is what it takes out of a few, which
    take ``compared``.
    ``too_large`` says that a larger workspace limit would make it able.
    """

    algorithm: Algorithm
    cost: Cost
    image: Cost
    compared: Cost
    time: float
    cut: Cut | None
    workspace: int
    refusal: str | None
    too_large: bool

    @property
    def name(self) -> str:
        """The algorithm's name."""
        return self.algorithm.name


class _Fields(NamedTuple):
    problem: ConvProblem
    direction: Direction
    numbers: Numbers
    settings: Settings
    packed: bool
    best: Candidate
    direct: Choice | None = None
    strays: Strays | None = None
    runs: Runs | None = None


class Choice(_Fields):
    """What will run, and what else there was.

    ``direct`` is the choice that computes again what `npconv.trust` does not trust, one
    image or the whole kernel gradient, because of ``strays``. Direct summation has none.
    ``runs`` is there where the compiled engine computes the problem whole.
    """

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """All algorithms' answers: who names one has the others asked only to be told of them."""
        what = self.problem, self.direction, self.numbers, self.settings
        return _ask_all(*what, packed=self.packed)

    @property
    def error_growth(self) -> float:
        """``g`` for the result, in round-offs of its dtype."""
        return self.growth_of(self.best)

    def growth_of(self, candidate: Candidate) -> float:
        """``g`` for the result that a candidate would give."""
        growth, mode = candidate.cost.error_growth, self.problem.padding_mode
        if self.direction is Direction.INPUT_GRAD and mode != "zeros":
            # What repeated an input element is added up where it came from.
            growth += math.prod(most_repeats(axis, mode) for axis in self.problem.axes)
        return self.numbers.growth(growth)

    @cached_property
    def threads(self) -> int:
        """How many tiles are computed at once: what threads and workspace allow.

        One where a thread would hardly have started before the work is done.
        """
        slow = self.best.algorithm.bands and self.best.time * self.problem.N > THREADED_SECONDS
        compiled = self.best.algorithm.engine == "compiled"
        fewest = THREADED_PRODUCTS_COMPILED if compiled else THREADED_PRODUCTS
        if self.problem.products < fewest and not slow:
            return 1
        if not compiled and self._seconds_a_call < THREADED_CALL:
            return 1
        room = self.settings.workspace_limit - self.best.workspace
        return max(1, min(self.settings.threads, 1 + room // max(self._bytes_a_tile, 1)))

    @property
    def _bytes_a_tile(self) -> int:
        """Bytes that each further tile takes: all share a kernel that is brought into a form once.

        Where channels are cut, the next block's is made while the last tiles of another one run.
        The compiled engine may bring a kernel into its form piece by piece, never all of it.
        """
        cut, problem, shared = self.cut, self.problem, 0
        whole = (cut.groups, cut.K, cut.C) == (problem.G, problem.K, problem.C)
        if whole and not is_native(self.best.algorithm):
            item = self.numbers.accumulator.itemsize
            shared = self.best.image.packing.numbers * item
        return self.best.workspace - shared

    @property
    def _seconds_a_call(self) -> float:
        """How long NumPy's calls take on average, between which threads wait for each other."""
        cost, dtype = self.best.cost, self.numbers.accumulator
        return seconds(self.best.name, self.direction.value, cost, dtype) / cost.calls

    @cached_property
    def workspace(self) -> int:
        """Bytes of working arrays, over all threads."""
        needed = self.best.workspace + (self.threads - 1) * self._bytes_a_tile
        if self.runs:
            needed = max(needed, self.runs.workspace)
        return max(needed, self.direct.workspace) if self.direct else needed

    @property
    def cut(self) -> Cut:
        """The chosen candidate's cut."""
        if self.best.cut is None:
            raise AssertionError("a chosen candidate has a cut")
        return self.best.cut


def check_algorithm(name: Any) -> str:
    """Refuse what is no algorithm's name, before a cache is asked for what it cannot hold."""
    if not isinstance(name, str) or (name != "auto" and name not in REGISTRY):
        names = ", ".join(map(repr, ("auto", *REGISTRY)))
        raise UnsupportedError(f"algorithm must be one of {names}, but algorithm={show(name)}")
    return name


@lru_cache(maxsize=1024)
def choose(
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    settings: Settings,
    name: str = "auto",
    *,
    packed: bool = False,
) -> Choice:
    """Pick an algorithm for a problem, or raise UnsupportedError with every reason.

    A forced ``name`` either serves or raises with its reason. ``packed`` says that the
    kernel will come in the algorithm's own form: what making it takes is not counted.
    """
    if name != "auto":  # who asks for an algorithm asks for its engine
        settings = settings._replace(engine=REGISTRY[name].engine)
    what = problem, direction, numbers, settings
    if name != "auto":
        best = _ask(name, *what, packed=packed)
        if best.refusal:
            raise UnsupportedError(f"algorithm={name!r} cannot serve here: {best.refusal}")
    else:
        serving = [each for each in REGISTRY if not _refusal(each, *what)]
        candidates = [_ask(each, *what, packed=packed) for each in serving]
        able = [candidate for candidate in candidates if not candidate.refusal]
        if not able:
            raise UnsupportedError(_nobody(_ask_all(*what, packed=packed), problem))
        best = min(able, key=lambda candidate: _hesitant(candidate, able))
        _refuse_endless_loops(best, candidates, problem)
    made = Choice(*what, packed, best)
    if is_native(best.algorithm):
        made = made._replace(runs=find_runs(best.algorithm, *what))
    if best.algorithm.direct:
        return made
    return made._replace(
        direct=_direct(problem, direction, numbers, settings),
        strays=_strays(best.algorithm, padded_problem(problem), direction),
    )


def _hesitant(candidate: Candidate, able: Sequence[Candidate]) -> float:
    """Say how long a candidate takes to compare by, beside the others."""
    natives = any(is_native(other.algorithm) for other in able)
    if not natives or is_native(candidate.algorithm):
        return candidate.time
    return candidate.time * HESITATION[candidate.algorithm.direct]


def _strays(algorithm: Algorithm, inner: ConvProblem, direction: Direction) -> Strays | None:
    if direction is Direction.KERNEL_GRAD:
        return None
    return cast(Transforming, algorithm).strays(inner, direction)


def _direct(
    problem: ConvProblem, direction: Direction, numbers: Numbers, settings: Settings
) -> Choice:
    """Choose among direct summations, for one image where images are independent."""
    part = problem if direction is Direction.KERNEL_GRAD else problem.one_image
    return choose(part, direction, numbers, settings._replace(accuracy="strict"))


def _ask_all(
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    settings: Settings,
    *,
    packed: bool,
) -> tuple[Candidate, ...]:
    what = problem, direction, numbers, settings
    return tuple(_ask(each, *what, packed=packed) for each in REGISTRY)


def _refusal(
    name: str,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    settings: Settings,
) -> str | None:
    """Say why an algorithm does not serve, however much workspace there is."""
    algorithm = REGISTRY[name]
    refusal = algorithm.why_not(padded_problem(problem), direction, numbers.accumulator)
    if not refusal and algorithm.engine == "compiled" != settings.engine:
        refusal = f"it is of the compiled engine, and engine={settings.engine!r} is in force"
    if not refusal and settings.accuracy == "strict" and not algorithm.direct:
        refusal = "accuracy='strict' admits direct summation only"
    return refusal


@lru_cache(maxsize=4096)  # a forced name and each of its rivals ask the same
def _ask(
    name: str,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    settings: Settings,
    *,
    packed: bool,
) -> Candidate:
    algorithm, dtype = REGISTRY[name], numbers.accumulator
    inner = padded_problem(problem)  # padding modes are execute's
    cost = algorithm.cost(inner, direction, dtype)
    refusal = _refusal(name, problem, direction, numbers, settings)
    cut, workspace, too_large = None, cost.workspace, False
    if not refusal:
        cut, workspace = find_cut(algorithm, problem, direction, numbers, settings.workspace_limit)
        too_large = cut is None
        if too_large:
            refusal = (
                f"its smallest tile needs {workspace:,} bytes of workspace, but "
                f"workspace_limit={settings.workspace_limit:,}"
            )
        elif not algorithm.direct:
            checking = check_bytes(problem, direction, _strays(algorithm, inner, direction))
            instead = _direct(problem, direction, numbers, settings).best.workspace
            workspace = max(workspace, checking, instead)
            too_large = checking > settings.workspace_limit
            if too_large:
                refusal = (
                    f"checking its result needs {checking:,} bytes of workspace, but "
                    f"workspace_limit={settings.workspace_limit:,}"
                )
    image = _of_an_image(algorithm, problem, direction, dtype, cut)
    images = _images_compared(problem, direction)
    compared = _of_images(algorithm, inner, direction, dtype, image, images)
    # NumPy's engine chooses the same everywhere: how wide vectors are is not for it to know.
    vectors = vector_bytes() if settings.engine == "compiled" else VECTOR_BYTES
    time = seconds(
        name, direction.value, compared, dtype, packed=packed, vector_bytes=vectors
    ) / images  # fmt: skip
    if is_native(algorithm) and compared.packing.numbers and not packed:
        time += PACKING_SECONDS / images
    if numbers.result != dtype and not (is_native(algorithm) and algorithm.takes(*numbers)):
        time += CAST_SECONDS * _numbers_of(inner.one_image)
    return Candidate(algorithm, cost, image, compared, time, cut, workspace, refusal, too_large)


def _images_compared(problem: ConvProblem, direction: Direction) -> int:
    """Say by how many images candidates are compared.

    What one image gives must not depend on how many there are: so they are a few, always. A
    kernel's gradient is one sum over all.
    """
    if direction is Direction.KERNEL_GRAD:
        return max(problem.N, 1)
    return max(1, min(FEW_PRODUCTS // max(problem.one_image.products, 1), FEW_IMAGES))


def _of_images(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    dtype: DType,
    image: Cost,
    images: int,
) -> Cost:
    """Count for so many images. The compiled engine's kernels see all of them at once."""
    if is_native(algorithm):
        return algorithm.cost(problem._replace(N=images), direction, dtype)
    return repeated(image, images)


def _of_an_image(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    dtype: DType,
    cut: Cut | None,
) -> Cost:
    """Count what an image takes. Where channels are cut, blocks share nothing of their work."""
    one = padded_problem(problem).one_image
    if cut is None or (cut.K >= one.K and cut.C >= one.C):
        return algorithm.cost(one, direction, dtype)
    blocks = math.prod(
        -(-whole // max(piece, 1))
        for whole, piece in ((one.G, cut.groups), (one.K, cut.K), (one.C, cut.C))
    )
    times = blocks * number_of_tiles(one, direction, cut)
    if not 0 < times <= MOST_TILES:
        return algorithm.cost(one, direction, dtype)
    _, part = next(iter(parts(one, cut)))
    first = next(iter(tiles(part, direction, cut)))
    cost = algorithm.cost(first.problem, direction, dtype, part)
    products, numbers = cost.packing  # a block's, for all its tiles
    return cost._replace(
        multiplications=times * (cost.multiplications - products) + blocks * products,
        bytes_moved=times * cost.bytes_moved,
        calls=times * cost.calls,
        packing=Packing(blocks * products, blocks * numbers),
    )


def _numbers_of(problem: ConvProblem) -> int:
    """Count the numbers of input, kernel and output."""
    shapes = problem.input_shape, problem.kernel_shape, problem.output_shape
    return sum(math.prod(shape) for shape in shapes)


def _refuse_endless_loops(
    best: Candidate, candidates: Sequence[Candidate], problem: ConvProblem
) -> None:
    others = [c.workspace for c in candidates if c.too_large]
    if best.name == "naive" and problem.products > NAIVE_PRODUCTS and others:
        raise UnsupportedError(
            f"only 'naive' fits the workspace limit, and its loops would form "
            f"{problem.products:,} products; {_limit_advice(others)}, or ask for "
            "algorithm='naive'"
        )


def _nobody(candidates: tuple[Candidate, ...], problem: ConvProblem) -> str:
    reasons = "; ".join(f"{c.name}: {c.refusal}" for c in candidates)
    short = [c.workspace for c in candidates if c.too_large and c.name != "naive"]
    if not short or problem.products <= NAIVE_PRODUCTS:
        short = [c.workspace for c in candidates if c.too_large]
    advice = f"; {_limit_advice(short)}" if short else ""
    return f"no algorithm can serve this problem ({reasons}){advice}"


def _limit_advice(workspaces: list[int]) -> str:
    return f"the smallest workspace_limit that works is {min(workspaces):,} bytes"
