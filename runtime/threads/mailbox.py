"""The newest news of one request, for any number of readers.

One thread writes, the loop; it never waits for a reader. News is state rather than a queue: a later
event of the same kind and picture replaces the earlier one, and every reader keeps the serial
number of what it saw last. So nothing grows, and a reader that comes late or reads slowly costs
nothing.
"""

from __future__ import annotations

from denoisert.runtime.events import Admitted, Preview, Stepped
from denoisert.runtime.threads.bell import Bell

News = Admitted | Stepped | Preview


class Mailbox:
    """News of one request.

    Attributes:
        bell: rings at every news and when the request ends.
        rows: stages done over all pictures, counted while someone watches.
        is_watched: whether the loop should report steps at all.

    Args:
        bell: shared with other requests that one reader follows, or None for one of its own.
    """

    __slots__ = ("_news", "_serial", "bell", "is_watched", "rows")

    def __init__(self, bell: Bell | None = None) -> None:
        self.bell = bell or Bell()
        self.rows = 0
        self.is_watched = False
        self._serial = 0
        self._news: dict[tuple[type[News], int], tuple[int, News]] = {}

    def put(self, news: News) -> None:
        """Replace what is known by something newer; only the loop calls this."""
        key = (type(news), 0 if isinstance(news, Admitted) else news.image)
        self._serial += 1
        self._news.pop(key, None)  # the new entry goes to the end: values stay ordered by serial
        self._news[key] = (self._serial, news)

    def after(self, serial: int) -> tuple[int, News] | None:
        """The oldest news that a reader has not seen.

        Args:
            serial: number of what the reader saw last, 0 at first.

        Returns:
            Its number and the news, or None.
        """
        entries = list(self._news.values())  # one step for the interpreter: no lock is needed
        return next((entry for entry in entries if entry[0] > serial), None)
