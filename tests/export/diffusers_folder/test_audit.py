"""Reading a folder runs nothing of it, imports nothing and writes nothing."""

import json
import subprocess
import sys

from tests.export.diffusers_folder.folders import write, write_folder

PROBE = """
import json, sys
from pathlib import Path
from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.runtime.errors import ExportError

seen, active = [], []
QUIET = {"open", "os.listdir", "os.scandir"}

def hook(event, args):
    if not active or event.startswith(("object.", "code.", "sys.", "gc.")):
        return
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append(f"write {args[0]}")
    elif event not in QUIET:
        seen.append(f"{event} {args!r}"[:200])

roots = [Path(text) for text in sys.argv[1:]]
def visit(root):
    try:
        read_folder(root)
    except ExportError as error:
        str(error)
        return True
    return False

visit(roots[0])
sys.addaudithook(hook)
active.append(True)
refused = [visit(root) for root in roots]
modules = sorted(set(sys.modules) & {"torch", "transformers", "diffusers"})
found = list(seen)
import colorsys
open(sys.argv[-1] + "-control", "w").close()
active.clear()
print(json.dumps([refused, found, modules, seen]))
"""


def test_nothing_is_executed_imported_or_written(tmp_path):
    """An audit hook sees every import, process, socket and opened file of the interpreter."""
    roots = [
        write_folder(tmp_path / "good"),
        write_folder(tmp_path / "os", {"unet": ["os", "system"]}),
        write_folder(tmp_path / "antigravity", {"vae": ["antigravity", "geohash"]}),
        write_folder(tmp_path / "extra", {"evil": ["subprocess", "Popen"]}),
        write_folder(tmp_path / "own", {"unet": ["unet", "Evil"]}),
        write_folder(tmp_path / "remote", configs={"unet/config.json": {"auto_map": {"a": "b.C"}}}),
        write_folder(tmp_path / "missing", {"vae": ...}),
        tmp_path / "nowhere",
    ]
    canary = tmp_path / "canary"
    write(roots[4] / "unet" / "unet.py", f"open({str(canary)!r}, 'w')")
    write(roots[4] / "pipeline.py", f"open({str(canary)!r}, 'w')")
    before = sorted(tmp_path.rglob("*"))
    command = [sys.executable, "-B", "-W", "ignore", "-c", PROBE, *map(str, roots)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=roots[4])
    refusals, seen, modules, control = json.loads(out.stdout)
    assert refusals == [False, *[True] * 7]
    assert seen == []
    assert modules == []
    assert any(event.startswith("import") for event in control)
    assert f"write {tmp_path / 'nowhere-control'}" in control
    (tmp_path / "nowhere-control").unlink()
    assert sorted(tmp_path.rglob("*")) == before
    assert not canary.exists()
