"""What handlers do with other processes, and what a child does that comes out of its handler."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gevent
import gevent.event

import actorrpc
from tests.apps.shapes_pb2 import Item


def square(number: int) -> int:
    return number * number


def send(connection: Any) -> None:
    connection.send(connection.recv() * 2)


def put(queue: Any) -> None:
    queue.put("put")


def take(lock: Any, connection: Any) -> None:
    """Have it until somebody has tried in vain."""
    with lock:
        connection.send("has it")
        connection.recv()


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def process(actor: Any, call: Any, method: str) -> object:
    child = multiprocessing.get_context(method).Process(target=sys.exit, args=(3,))  # type: ignore[attr-defined]
    child.start()
    child.join()
    return child.exitcode


def pipe(actor: Any, call: Any, method: str) -> object:
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=send, args=(theirs,))
    child.start()
    ours.send("large" * 100_000)
    answer = ours.recv()
    child.join()
    return len(answer)


def queue(actor: Any, call: Any, method: str) -> object:
    context: Any = multiprocessing.get_context(method)
    results = context.Queue()
    child = context.Process(target=put, args=(results,))
    child.start()
    result = results.get()
    child.join()
    return result


def lock(actor: Any, call: Any, method: str) -> object:
    context: Any = multiprocessing.get_context(method)
    lock, (ours, theirs) = context.Lock(), context.Pipe()
    child = context.Process(target=take, args=(lock, theirs))
    child.start()
    ours.recv()
    early = lock.acquire(timeout=0.05)
    ours.send("go on")
    with lock:
        child.join()
    return early, lock.acquire(), lock.acquire(False)


def pool(actor: Any, call: Any, method: str) -> object:
    with multiprocessing.get_context(method).Pool(2) as workers:
        return workers.map(square, range(5))


def manager(actor: Any, call: Any, method: str) -> object:
    with multiprocessing.get_context(method).Manager() as shared:
        table = shared.dict()
        table["one"] = 1
        return dict(table)


def executor(actor: Any, call: Any, method: str) -> object:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        return list(workers.map(square, range(5)))


def run(actor: Any, call: Any, text: str) -> object:
    data = text.encode() * 100_000
    return subprocess.run(["cat"], input=data, capture_output=True, check=True).stdout == data


def run_preexec(actor: Any, call: Any, text: str) -> object:
    done = subprocess.run(
        ["cat"], input=text.encode(), capture_output=True, preexec_fn=lambda: time.sleep(0.05)
    )
    return done.stdout.decode()


def returns(actor: Any, call: Any, text: str) -> object:
    """The child comes out of the handler."""
    pid = os.fork()
    return status_of(pid) if pid else "from the child"


def shares(actor: Any, call: Any, text: str) -> object:
    """What its hub's actors share is not the child's: it has one of its own."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, b"its own" if actor.value == os.getpid() == actor.value else b"its parent's")
        return None
    result = status_of(pid), os.read(ours, 100), actor.value == os.getpid()
    os.close(ours)
    os.close(theirs)
    return result


def raises(actor: Any, call: Any, text: str) -> object:
    pid = os.fork()
    if pid == 0:
        raise ZeroDivisionError("in the child")
    return status_of(pid)


def exits(actor: Any, call: Any, text: str) -> object:
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    return status_of(pid)


def exits_with_message(actor: Any, call: Any, text: str) -> object:
    pid = os.fork()
    if pid == 0:
        sys.exit("the child's last words")
    return status_of(pid)


def offloaded(actor: Any, call: Any, text: str) -> object:
    """The child comes out of what was to run on a thread."""
    from gevent.monkey import get_original

    pid = actor.offload(get_original("os", "fork"))
    return get_original("os", "waitpid")(pid, 0)[1]


def greenlet_returns(actor: Any, call: Any, text: str) -> object:
    statuses: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid:
            statuses.append(status_of(pid))

    gevent.spawn(fork).join()
    return statuses


def greenlet_exits(actor: Any, call: Any, text: str) -> object:
    statuses: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            sys.exit(7)
        statuses.append(status_of(pid))

    gevent.spawn(fork).join()
    return statuses


def greenlet_leaves_work(actor: Any, call: Any, text: str) -> object:
    """What the child has begun goes on when the greenlet that has forked has ended."""
    statuses: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid:
            statuses.append(status_of(pid))
        else:
            gevent.spawn_later(0.05, os._exit, 9)

    gevent.spawn(fork).join()
    return statuses


def gevent_works(actor: Any, call: Any, text: str) -> object:
    """In the child all of gevent can be used."""
    pid = os.fork()
    if pid == 0:
        gevent.joinall([gevent.spawn(gevent.sleep, 0.01) for _ in range(3)], raise_error=True)
        event = gevent.event.Event()
        gevent.spawn_later(0.01, event.set)
        event.wait()
        length = gevent.get_hub().threadpool.apply(len, ("four",))
        output = subprocess.run(["echo", "five"], capture_output=True, check=True).stdout
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(0.01)
            os._exit(6)
        os._exit(length + len(output.strip()) + status_of(grandchild))
    return status_of(pid)


def kills_a_greenlet(actor: Any, call: Any, text: str) -> object:
    """Of its parent, as the `finally` around what the child comes out of may."""
    greenlet = gevent.spawn(gevent.sleep, 3600)
    gevent.sleep(0)
    pid = os.fork()
    try:
        if pid == 0:
            return None
    finally:
        greenlet.kill()
    return status_of(pid), greenlet.dead


def goes_on_without_a_greenlet(actor: Any, call: Any, text: str) -> object:
    """The child kills one of its parent, which has last words."""
    left = Path(text)

    def wait() -> None:
        try:
            gevent.sleep(3600)
        finally:
            with left.open("a") as file:
                file.write(f"{os.getpid()}\n")

    greenlet = gevent.spawn(wait)
    gevent.sleep(0)
    pid = os.fork()
    greenlet.kill()
    if pid == 0:
        gevent.sleep(0.01)
        os._exit(8)
    return status_of(pid), sorted(left.read_text().split()) == sorted(map(str, (pid, os.getpid())))


def grow(actor: Any, call: Any, size: str) -> object:
    """More than a message between hubs holds."""
    return actor.state.notes.append("x" * int(size))


def deadlocks(actor: Any, call: Any, text: str) -> object:
    """The child waits for what only a greenlet of its parent could do."""
    event = gevent.event.Event()
    greenlet = gevent.spawn_later(0.05, event.set)
    pid = os.fork()
    if pid == 0:
        event.wait()
        os._exit(0)
    greenlet.join()
    return status_of(pid)


def wakes_nobody(actor: Any, call: Any, text: str) -> object:
    """The child does what a greenlet of its parent waits for."""
    event, woken = gevent.event.Event(), Path(text)

    def wait() -> None:
        event.wait()
        with woken.open("a") as file:
            file.write(f"{os.getpid()}\n")

    greenlet = gevent.spawn(wait)
    gevent.sleep(0)
    pid = os.fork()
    if pid == 0:
        event.set()
        gevent.sleep(0.05)
        os._exit(0)
    status = status_of(pid)
    event.set()
    greenlet.join()
    return status, woken.read_text().split() == [str(os.getpid())]


def uses_the_call(actor: Any, call: actorrpc.Call[Item], text: str) -> object:
    """What the child tries with what is the hub's, as it puts it in a file."""
    pid = os.fork()
    if pid == 0:
        said = []
        attempts: list[Callable[[], object]] = [
            lambda: call.send_initial_metadata({"from": "the child"}),
            lambda: call.finish(actorrpc.StatusCode.ABORTED),
            lambda: actor.publish("topic", Item()),
            lambda: actor.unsubscribe("topic"),
        ]
        for attempt in attempts:
            try:
                attempt()
            except RuntimeError as error:
                said.append(str(error))
        Path(text).write_text("\n".join(said))
        os._exit(0)
    status_of(pid)
    return Path(text).read_text().split("\n")


def serves(actor: Any, call: Any, folder: str) -> object:
    """The child serves, until a file says that it may end."""
    pid = os.fork()
    if pid == 0:
        from tests.forks.app import app

        with actorrpc.Server(app) as server:
            Path(folder, "writing").write_text(server.address)
            Path(folder, "writing").rename(Path(folder, "address"))
            while not Path(folder, "stop").exists():
                time.sleep(0.01)
        os._exit(5)
    return status_of(pid)


def terminated(actor: Any, call: Any, text: str) -> object:
    """SIGTERM, which the hub takes for a wish, ends a child."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(20)
    return child.exitcode


TASKS: dict[str, Callable[[Any, Any, str], object]] = {
    task.__name__: task
    for task in (
        process, pipe, queue, lock, pool, manager, executor, run, run_preexec, returns, shares, raises,
        exits, exits_with_message, offloaded, greenlet_returns, greenlet_exits, greenlet_leaves_work,
        gevent_works, kills_a_greenlet, goes_on_without_a_greenlet, grow, deadlocks, wakes_nobody,
        uses_the_call, serves, terminated,
    )
}  # fmt: skip
