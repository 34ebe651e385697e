"""The measurement: every library in turn, round after round, each idle while others run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from npconv.bench.client import Client, WorkerError
from npconv.bench.everyday import EVERYDAY
from npconv.bench.examine import DIRECTIONS
from npconv.bench.layers import flops
from npconv.bench.libraries import ENGINES, LIBRARIES, missing
from npconv.bench.networks import TRAINING
from npconv.bench.tasks import Task, agree, layer_task
from npconv.bench.timing import Others, machine
from npconv.nn.progress import Bar

FORMAT = 1
# Layers on which the direct path is held against the machine's matrix product.
AGAINST_SGEMM = ("r50.3x3_56", "vgg.3_2", "r50.1x1b")
LARGE = 1e8  # floating-point operations from which more threads should pay

Row = dict[str, Any]


class Wanted(NamedTuple):
    """What is asked for on the command line."""

    layers: tuple[str, ...]
    libraries: tuple[str, ...]
    directions: tuple[str, ...]
    threads: tuple[int, ...]
    rounds: int = 7
    at_least: float = 0.05
    everyday: bool = False
    training: bool = False
    examine: bool = False


class Job(NamedTuple):
    """A task, and who does it; ``what`` is examined instead of timed.

    What is compared takes turns: ``tasks`` is what others do meanwhile, and ``fewer`` how many
    threads the same libraries have besides.
    """

    group: str
    task: Task
    libraries: tuple[str, ...]
    what: str = ""
    tasks: Mapping[str, Task] = {}
    fewer: int = 0


def jobs(wanted: Wanted, threads: int) -> list[Job]:
    """List what is done with so many threads."""
    present = wanted.libraries
    ours = tuple(name for name in present if name in ENGINES)
    versus = tuple(name for name in present if name in (*ENGINES, "torch"))
    found = []
    for direction in wanted.directions:
        able = tuple(n for n in present if direction == "forward" or LIBRARIES[n].backward)
        found += [Job("layers", layer_task(name, direction), able) for name in wanted.layers]
    if wanted.everyday:
        found += [Job("everyday", task, versus) for task in EVERYDAY.values()]
    if wanted.training:
        found += [Job("training", task, versus) for task in TRAINING.values()]
    if wanted.examine:
        found += _own(wanted, threads, ours)
    return found


def _own(wanted: Wanted, threads: int, ours: tuple[str, ...]) -> Iterator[Job]:
    """List what concerns npconv and the machine alone."""
    compiled = tuple(name for name in ours if name == "compiled")
    sgemm = Task("sgemm", "sgemm")
    yield from (Job("machine", task, ours[:1]) for task in (sgemm, Task("copy", "copy")))
    for name in AGAINST_SGEMM if compiled and "numpy" in ours else ():
        if name in wanted.layers:
            task = layer_task(name, algorithm="direct")
            yield Job("direct", task, (*compiled, "numpy"), tasks={"numpy": sgemm})
    if "demo.8x8" in wanted.layers:
        yield Job("held", layer_task("demo.8x8", kind="held"), ours)
    first, last = wanted.threads[0], wanted.threads[-1]
    for direction in wanted.directions if compiled and first != last == threads else ():
        for name in wanted.layers:
            if flops(name) >= LARGE:
                yield Job("scaling", layer_task(name, direction), compiled, fewer=first)
    with_kernel = DIRECTIONS[:2]
    for what, directions, when in (
        ("choice", DIRECTIONS, first), ("call", with_kernel, first), ("memory", DIRECTIONS, last)
    ):  # fmt: skip
        if when == threads:
            for name in wanted.layers:
                for direction in directions:
                    yield Job(what, layer_task(name, direction), ours, what)


def count(wanted: Wanted) -> int:
    """Count the steps of a progress bar."""
    return sum(len(jobs(wanted, threads)) for threads in wanted.threads)


def measure(wanted: Wanted, bar: Bar, tell: Callable[[str, str, str], None]) -> Row:
    """Measure everything, and give the record.

    ``tell(kind, library, text)`` hears of what could not be done.
    """
    absent = {name: missing(name) for name in wanted.libraries}
    for name, packages in absent.items():
        if packages:
            tell("missing", name, ", ".join(packages))
    wanted = wanted._replace(libraries=tuple(n for n in wanted.libraries if not absent[n]))
    session = _Session(wanted, tell)
    began, others = time.perf_counter(), Others()
    for threads in wanted.threads:
        with ExitStack() as stack:
            clients = {
                name: stack.enter_context(Client(name, threads)) for name in wanted.libraries
            }
            session.greet(clients)
            session.fewer = {
                name: stack.enter_context(Client(name, wanted.threads[0]))
                for name in ENGINES
                if name in clients
            }
            for job in jobs(wanted, threads):
                bar.set_postfix_str(f"{threads} x {job.task.name} {job.task.direction}")
                session.do(job, clients, threads)
                bar.update()
            session.watch(clients, threads)
    return {
        "command": "bench",
        "format": FORMAT,
        "machine": machine(),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "rounds": wanted.rounds,
        "threads": list(wanted.threads),
        "versions": session.versions,
        "missing": {name: packages for name, packages in absent.items() if packages},
        "troubles": session.troubles,
        "idle": session.idle,
        "others": others.share(),
        "results": session.results,
        "examined": session.examined,
    }


class _Session:
    """What has been found so far."""

    def __init__(self, wanted: Wanted, tell: Callable[[str, str, str], None]) -> None:
        self.wanted, self.tell = wanted, tell
        self.versions: dict[str, str] = {}
        self.results: list[Row] = []
        self.examined: list[Row] = []
        self.troubles: list[Row] = []
        self.idle: dict[str, float] = {}
        self.fewer: dict[str, Client] = {}  # of the fewest threads; they start when asked

    def greet(self, clients: dict[str, Client]) -> None:
        """Start everyone; who cannot start is told of, and left out."""
        replies = self._everyone(clients, "hello", "hello")
        for name in clients.keys() - replies.keys():
            del clients[name]
        self.versions |= {name: reply["version"] for name, reply in replies.items()}

    def do(self, job: Job, clients: dict[str, Client], threads: int) -> None:
        """Time or examine one job with all who can."""
        able = {name: clients[name] for name in job.libraries if name in clients}
        task = job.task
        where = {"problem": task.name, "direction": task.direction, "threads": threads}
        if job.what:
            self._examine(job, able, where)
            return
        if job.fewer:
            able |= {f"{name}, fewer threads": self.fewer[name] for name in able}
        ready = self._prepare(job, able)
        replies = self._rounds({name: able[name] for name in ready}, task.name)
        for name, rounds in replies.items():
            milliseconds = [float(f"{1e3 * reply['seconds']:.4g}") for reply in rounds]
            processors = statistics.median(reply["processors"] for reply in rounds)
            client = able[name]
            self.results.append({
                "group": job.group, **where, "threads": client.threads, "library": client.library,
                "detail": ready[name]["detail"],
                "median": statistics.median(milliseconds), "processors": round(processors, 2),
                "milliseconds": milliseconds,
            })  # fmt: skip

    def _prepare(self, job: Job, clients: dict[str, Client]) -> dict[str, Row]:
        """Get everyone ready; who does the same should come to the same."""
        ready: dict[str, Row] = {}
        for name, client in clients.items():
            task = job.tasks.get(name, job.task)
            reply = self._ask(client, "prepare", task.name, task=task._asdict())
            if reply is not None:
                ready[name] = reply
        self._compare(job.task, {name: ready[name] for name in ready if name not in job.tasks})
        return ready

    def _examine(self, job: Job, clients: dict[str, Client], where: Row) -> None:
        wanted = {"rounds": self.wanted.rounds, "at_least": self.wanted.at_least}
        request = {"task": job.task._asdict(), "what": job.what, **wanted}
        for name, reply in self._everyone(clients, "examine", job.task.name, **request).items():
            del reply["cpu"]
            self.examined.append({"what": job.what, "engine": name, **where, **reply})

    def _rounds(self, clients: dict[str, Client], task: str) -> dict[str, list[Row]]:
        """Let each be timed once a round; who fails once is out."""
        replies: dict[str, list[Row]] = {name: [] for name in clients}
        for i in range(self.wanted.rounds):
            # Who comes first may find the machine in another state than who comes last.
            order = [*replies][:: -1 if i % 2 else 1]
            turn = {name: clients[name] for name in order}
            found = self._everyone(turn, "time", task, at_least=self.wanted.at_least)
            replies = {name: [*replies[name], found[name]] for name in replies if name in found}
        return replies

    def _everyone(
        self, clients: dict[str, Client], do: str, about: str, /, **request: Any
    ) -> dict[str, Row]:
        """Ask one after the other, and give the replies of those who could."""
        replies = {
            name: self._ask(client, do, about, **request) for name, client in clients.items()
        }
        return {name: reply for name, reply in replies.items() if reply is not None}

    def _compare(self, task: Task, ready: dict[str, Row]) -> None:
        """Hold every library's result against that of the first."""
        prints = {name: reply["fingerprint"] for name, reply in ready.items()}
        for name in list(prints)[1:]:
            first = next(iter(prints))
            if not agree(prints[first], prints[name], task.dtype):
                text = f"{task.name} {task.direction}: {prints[name]} != {first} {prints[first]}"
                self._trouble("differs", name, text)

    def watch(self, clients: dict[str, Client], threads: int) -> None:
        """Note what share of a processor each took while others were timed."""
        for name, client in clients.items():
            self.idle[f"{name} {threads}"] = round(client.idle_cpu / max(client.idle, 1e-9), 4)

    def _ask(self, client: Client, do: str, about: str, /, **request: Any) -> Row | None:
        try:
            reply = client.ask(do, **request)
        except WorkerError as error:
            reply = {"failed": str(error)}
        for kind in ("refused", "failed"):
            if kind in reply:
                text = " ".join(f"{about}: {reply[kind]}".split())
                self._trouble(kind, client.library, text)
                return None
        return reply

    def _trouble(self, kind: str, library: str, text: str) -> None:
        self.troubles.append({"kind": kind, "library": library, "text": text})
        self.tell(kind, library, text)


def libraries_of(record: Mapping[str, Any]) -> Sequence[str]:
    """Name who was timed, in the order of the tables."""
    return [name for name in LIBRARIES if name in record["versions"]]
