"""An event loop whose clock jumps: hours of load in milliseconds, exactly repeatable."""

import asyncio
import selectors


class _Selector(selectors.SelectSelector):
    """Never waits; the loop's clock moves on instead."""

    def __init__(self):
        super().__init__()
        self.time = 0.0

    def select(self, timeout=None):
        self.time += timeout or 0.0
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self):
        return self.selector.time


def run(coroutine):
    """The coroutine's result, on a loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


class Answer:
    def __init__(self, phases):
        self.phases = phases


class Server:
    """Serves first come, first served, with a service time per request number.

    workers: how many at once. queue: how many may wait, None for any number. stalls: seconds that
    nothing is served, as (start, end).
    """

    def __init__(self, service, *, workers=1, queue=None, stall=(0.0, 0.0)):
        self.service, self.queue, self.stall = service, queue, stall
        self.free = asyncio.Semaphore(workers)
        self.waiting = 0
        self.seen = []

    def submit(self, request):
        from denoisert.runtime.errors import Overloaded

        if self.queue is not None and self.waiting >= self.queue and self.free.locked():
            raise Overloaded("full")
        self.seen.append(request)
        return self._serve(request)

    async def _serve(self, request):
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        self.waiting += 1
        async with self.free:
            self.waiting -= 1
            start, end = self.stall
            if start <= loop.time() < end:
                await asyncio.sleep(end - loop.time())
            began = loop.time()
            await asyncio.sleep(self.service(request.seed))
        queue, ticks = 1e3 * (began - arrived), 1e3 * (loop.time() - began)
        return Answer({"queue": queue, "ticks": ticks, "engine": 0.9 * ticks})
