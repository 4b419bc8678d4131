"""The measured run: every provider once a round, in turns, so that noise hits all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product

from bench.peers.measured import Measured, Reply
from bench.peers.place import Place
from bench.peers.process import Peer
from bench.peers.provider import Provider
from bench.peers.work import TASKS, prompts_used

REPEATS = {"one": 3, "mixed": 1, "equal": 1}
PAUSE_S = 0.2  # lets the threads of the peer before stop spinning


def turns(providers: Sequence[Provider], rounds: int) -> Iterator[tuple[int, Provider]]:
    """(round, provider): each round visits all, every second one backwards."""
    for number in range(rounds):
        for provider in providers[:: -1 if number % 2 else 1]:
            yield number, provider


def numbered(task: str, number: int) -> list[int]:
    """The first prompt of each repeat of a task in a round; no two of them share a prompt.

    Args:
        task: one of TASKS.
        number: of the round, 0, 1, ..; rounds 0 to 6 stay within the 256 different prompts.
    """
    used = {each: prompts_used(each) * REPEATS[each] for each in TASKS}
    before = sum(used[each] for each in TASKS[: TASKS.index(task)])
    first = number * sum(used.values()) + before
    return [first + repeat * prompts_used(task) for repeat in range(REPEATS[task])]


def measure_warm(
    providers: Sequence[Provider],
    place: Place,
    rounds: int,
    tasks: Sequence[str],
    found: Mapping[str, Measured],
) -> None:
    """Time tasks in processes that stay; round 0 is not counted and stores its pictures."""
    with ExitStack() as stack:
        peers = {each.name: stack.enter_context(_peer(each, place)) for each in providers}
        for name, peer in peers.items():
            with found[name].failing():
                peer.answer()
        for task, (number, provider) in product(tasks, turns(providers, rounds + 1)):
            with found[provider.name].failing() as mine:
                replies = _ask(peers[provider.name], place, provider, task, number)
                mine.keep(task, replies, number)
                _say(f"round {number} {task:6}{provider.name:28}{replies[0]['ms']:10.1f} ms")


def _ask(peer: Peer, place: Place, provider: Provider, task: str, number: int) -> list[Reply]:
    replies = []
    for first in numbered(task, number):
        time.sleep(PAUSE_S)
        asked = {"task": task, "first": first}
        if number == 0 and not replies:
            asked["pictures"] = str(place.pictures(provider.name, task))
        replies.append(peer.ask(asked))
    return replies


def measure_cold(
    providers: Sequence[Provider], place: Place, rounds: int, found: Mapping[str, Measured]
) -> None:
    """Time fresh processes; the first of each fills the page cache and is not counted."""
    for number, provider in turns(providers, rounds + 1):
        with found[provider.name].failing() as mine:
            with _peer(provider, place, "cold") as peer:
                reply = peer.answer()
            cold_ms = 1e3 * (reply["done"] - peer.started)
            mine.keep_cold(cold_ms, reply, number)
            _say(
                f"start {number} {provider.name:28}{cold_ms:10.0f} ms {reply['peak_mib']:8.0f} MiB"
            )


def _peer(provider: Provider, place: Place, task: str = "serve") -> Peer:
    log = place.log(provider.name)
    return Peer(place.command(provider, task), place.surroundings(), log)


def _say(line: str) -> None:
    """Print at once, as a run takes many minutes."""
    print(line, flush=True)
