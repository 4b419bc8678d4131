"""python -m bench.export.child FOLDER OUT SIZE: compile in a fresh process, print what it took."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time, sleep

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.options import Progress
from denoisert.runtime.bundle.open import Bundle

STATUS = Path("/proc/self/status")
PARTS = {"VmHWM": "peak_bytes", "RssAnon": "anonymous_bytes"}
PAUSE_S = 0.02
DENOISER = "denoiser"
TILE = (8, 8)  # of the autoencoder, which is not what is measured


class Watch:
    """The largest figures of this process so far, as the kernel counts them.

    Attributes:
        most: name -> bytes: resident, pages of files included, and without them.
        times: the clock when each phase began, and the seconds of all cores until then.
    """

    def __init__(self) -> None:
        self.most = dict.fromkeys(PARTS.values(), 0)
        self.times: list[tuple[str, float, float]] = []
        self._look()
        threading.Thread(target=self._watch, daemon=True).start()

    def note(self, progress: Progress) -> None:
        """A phase begins."""
        self.times.append((progress.phase, perf_counter(), process_time()))

    def seconds(self, end: float) -> dict[str, float]:
        """Phase of the denoiser, which is the first part -> seconds."""
        return _first_part([(phase, start) for phase, start, _ in self.times], end)

    def cpu_seconds(self, end: float) -> dict[str, float]:
        """The same in seconds of all cores, which other processes hardly change."""
        return _first_part([(phase, start) for phase, _, start in self.times], end)

    def _watch(self) -> None:
        while True:
            sleep(PAUSE_S)
            self._look()

    def _look(self) -> None:
        for line in STATUS.read_text().splitlines():
            key, _, value = line.partition(":")
            if key in PARTS:
                name = PARTS[key]
                self.most[name] = max(self.most[name], 1024 * int(value.split()[0]))


def _first_part(starts: list[tuple[str, float]], end: float) -> dict[str, float]:
    ends = [*(time for _, time in starts[1:]), end]
    found: dict[str, float] = {}
    for (phase, start), stop in zip(starts, ends, strict=True):
        if phase in found:
            break  # the next part
        found[phase] = stop - start
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Compile one folder."""
    parser = argparse.ArgumentParser(prog="python -m bench.export.child", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args(argv)
    size = (options.size, options.size)
    watch, chosen = Watch(), CompileOptions(sizes=(size,), tile=TILE)
    made = compile_bundle(options.folder, options.out, options=chosen, progress=watch.note)
    seconds = watch.seconds(perf_counter())
    told = {"seconds": seconds, "cpu_seconds": watch.cpu_seconds(process_time())}
    print(json.dumps(_figures(options.out) | watch.most | told | _parity(made)))


def _figures(out: Path) -> dict[str, object]:
    import onnx

    manifest = Bundle.open(out).manifest
    entry = manifest.graphs[DENOISER]
    graph = onnx.load(out / entry.path, load_external_data=False).graph
    sizes = [manifest.files[path].size for path in (entry.path, *entry.weights)]
    return {"nodes": len(graph.node), "graph_bytes": sizes[0], "weight_bytes": sum(sizes[1:])}


def _parity(made: object) -> dict[str, object]:
    found = [each for each in made.parity if each.component == DENOISER]
    return {"parity": max(each.relative_error for each in found), "notes": made.notes}


if __name__ == "__main__":
    main()
