"""From a request to a job: planned, numbered, with everything that is known before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from time import perf_counter_ns

from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.planners import Planners
from denoisert.runtime.request import Request
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.text.tokenizer import Prompt, Tokenizer
from denoisert.runtime.threads.job import Job
from denoisert.runtime.threads.mailbox import Mailbox


class Intake:
    """Makes jobs in the caller's thread; several threads may use it.

    Args:
        planner: validates and plans.
        tokenizers: by the name of the text encoder.
        prompts: those that have been encoded.
    """

    def __init__(
        self, planner: Planners, tokenizers: Mapping[str, Tokenizer], prompts: PromptCache
    ) -> None:
        self.planner = planner
        self.prompts = prompts
        self._tokenizers = tokenizers
        self._numbers = count(1)

    def job(
        self, request: Request, previews: int, mailbox: Mailbox, traces: tuple[Trace, ...]
    ) -> Job:
        """Plan a request.

        Args:
            request: what is asked.
            previews: tell a clean estimate every so many steps, 0 never.
            mailbox: where its news goes.
            traces: collect its spans.

        Returns:
            The job; its time and its deadline count from the beginning of this call.

        Raises:
            DenoiseRTError: see `Planners.plan`.
        """
        start = perf_counter_ns()
        planned = self.planner.plan(request, previews)
        job = Job(next(self._numbers), request, planned, mailbox, self.planner.card, traces)
        known = self.prompts.find(planned.conditions.prompts)
        conditions = planned.conditions
        waits = conditions.needs_picture or conditions.conditioned_bytes
        if known is not None and not waits:  # no way through the codec, which may be busy
            job.conditions = conditions.fill(known.__getitem__)
        job.begin(start)
        return job

    def nulls(self) -> list[Prompt]:
        """Of every text encoder one prompt: that of the uncond branch."""
        texts = self.planner.card.texts
        return [self._tokenizers[text.name].encode(text.null or "") for text in texts]
