"""biotrain.interrupt: the first signal asks, the second acts, and afterwards all is as before."""

from __future__ import annotations

import signal
import threading

import pytest

from biotrain.interrupt import SIGNALS, StopRequest


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with StopRequest() as stop:
        assert not stop.asked
        signal.raise_signal(number)
        assert stop.asked
        assert [signal.getsignal(n) for n in SIGNALS] == before
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_the_second_ctrl_c_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_in_another_thread_nothing_changes() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        with StopRequest() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.asked))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
