"""Distinction of Ctrl-C from a callback that ends the training."""

import signal
import threading


class InterruptWatch:
    """Record whether an interrupt signal arrived inside this context.

    A callback of skorch ends the training by raising KeyboardInterrupt, as a Ctrl-C
    does; only the signal distinguishes them. The previous handler is called in
    any case, and put back at the end. Signals reach the main thread only.

    Attributes
    ----------
    came : bool
        Whether the signal came.
    """

    def __enter__(self):
        self.came = False
        self._handler = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._is_watching = in_main_thread and callable(self._handler)
        if self._is_watching:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_):
        if self._is_watching:
            signal.signal(signal.SIGINT, self._handler)

    def _note(self, number, frame):
        self.came = True
        return self._handler(number, frame)
