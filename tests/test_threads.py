"""Threads are left in order wherever an interrupt comes."""

import itertools
import sys
import threading
import time

import pytest
from threadpoolctl import threadpool_info

from skae import _threads
from skae._threads import Task, one_thread


def task():
    with Task(threading.get_ident) as running:
        assert running.result() != threading.get_ident()


def limit():
    with one_thread():
        assert _threads._limit is not None


def interrupted(function, at):
    """Call a function with an interrupt, and return whether there was a place for it.

    Signals interrupt where a function of Python begins and where one of C returns. `at` counts
    these places, and those within the standard library count too.
    """
    places, ignored = itertools.count(), []

    def profile(frame, event, _):
        if event in ("call", "c_return") and next(places) == at:
            sys.setprofile(None)
            raise KeyboardInterrupt

    before, hook = sys.getprofile(), sys.unraisablehook
    sys.unraisablehook = ignored.append  # Python ignores it in callbacks of weak references
    caught = False
    try:
        sys.setprofile(profile)
        function()
    except KeyboardInterrupt:
        caught = True
    finally:
        sys.setprofile(before)
        sys.unraisablehook = hook
    there = next(places) > at
    assert caught + len(ignored) == there
    return there


@pytest.mark.parametrize("function", [task, limit])
def test_an_interrupt_anywhere_is_not_lost_and_leaves_no_lock_taken(function):
    threads = [library["num_threads"] for library in threadpool_info()]
    n_calls = 0

    def interrupt_everywhere():
        nonlocal n_calls
        for at in itertools.count():
            if not interrupted(function, at):
                break
            function()
            n_calls += 1

    # If it hangs, the test fails and the tests go on.
    thread = threading.Thread(target=interrupt_everywhere, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert n_calls > 30
    assert _threads._limit is None
    assert not _threads._lock.locked()
    assert [library["num_threads"] for library in threadpool_info()] == threads


def test_a_task_passes_on_what_its_function_raises():
    with pytest.raises(ZeroDivisionError), Task(lambda: 1 / 0) as running:
        running.result()


def test_a_task_that_was_ended_does_not_begin():
    begun = []
    late = Task(lambda: begun.append(True))
    late.end()
    late.start()
    late._thread.join()
    assert not begun


def test_a_block_that_is_interrupted_waits_for_its_task():
    done = []

    def slowly():
        time.sleep(0.2)
        done.append(True)

    with pytest.raises(KeyboardInterrupt), Task(slowly):
        raise KeyboardInterrupt
    assert done == [True]
