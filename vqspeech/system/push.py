"""Push interface of functions that take an iterable and give an iterator."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class PushAdapter:
    """Push interface of a function from an iterable to an iterator.

    The function runs in a thread that waits for the next push whenever it asks for its next input.
    """

    def __init__(self, function: Callable[[Iterable], Iterator]) -> None:
        self._in: queue.Queue = queue.Queue()
        self._out: queue.Queue = queue.Queue()

        def inputs() -> Iterator:
            while True:
                self._out.put(("wants", None))
                item = self._in.get()
                if item is None:
                    return
                yield item

        def work() -> None:
            try:
                for result in function(inputs()):
                    self._out.put(("has", result))
                self._out.put(("ends", None))
            except BaseException as fault:  # for whoever pushes next
                self._out.put(("fails", fault))

        threading.Thread(target=work, daemon=True).start()
        self._early = self._collect()

    def push(self, item: Any) -> list:
        """The results that are complete after this input; a fault of the function is raised here."""
        self._in.put(item)
        early, self._early = self._early, []
        return early + self._collect()

    def finish(self) -> list:
        """The rest of the results."""
        return self.push(None)

    def _collect(self) -> list:
        results = []
        while True:
            event, value = self._out.get()
            if event == "fails":
                raise value
            if event != "has":
                return results
            results.append(value)
