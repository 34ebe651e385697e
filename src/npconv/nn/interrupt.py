"""Ctrl-C, held back until it does no harm."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class HoldInterrupt:
    """Within this context the first Ctrl-C is only noted, in `wanted`.

    Whoever uses it looks at `wanted` where stopping is safe, and raises KeyboardInterrupt
    there. The second Ctrl-C interrupts at once, as ever. Signal handlers belong to the
    main thread; in any other this does nothing.

    Examples
    --------
    >>> import signal
    >>> from npconv.nn.interrupt import HoldInterrupt
    >>> with HoldInterrupt() as interrupt:
    ...     signal.raise_signal(signal.SIGINT)
    >>> interrupt.wanted
    True
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: Any = None
        self._held = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted and callable(self._before):
            self._before(number, frame)
        self.wanted = True

    def __enter__(self) -> Self:
        """Begin to hold back."""
        # None: a handler that is not Python's, which could not be put back.
        self._before = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        self._held = in_main and callable(self._before)
        if self._held:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the handler that was there before back."""
        if self._held:
            signal.signal(signal.SIGINT, self._before)
