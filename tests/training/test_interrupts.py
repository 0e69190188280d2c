"""Signals are noted, and the handlers that were there come back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fitwell.training.interrupts import Interrupts, noted


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def handlers() -> tuple[object, object]:
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_nothing_breaks_off(number: int, handlers: tuple[object, object]) -> None:
    with noted() as interrupts:
        assert interrupts.received == 0
        send(number)
        assert interrupts.received == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_second_ctrl_c_interrupts_at_once(handlers: tuple[object, object]) -> None:
    def impatient() -> None:
        with noted():
            send(signal.SIGINT)
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        impatient()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_second_sigterm_is_patient() -> None:
    with noted() as interrupts:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM


def test_in_another_thread_nothing_is_changed(handlers: tuple[object, object]) -> None:
    seen: list[object] = []

    def work() -> None:
        with noted() as interrupts:
            seen.append((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
            seen.append(interrupts)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers, Interrupts(0)]
