"""Every name that is used of the two libraries, against what their real binding modules have."""

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from denoisert.export.targets.tensorrt import interface as build_time
from denoisert.runtime.engines.tensorrt import interface as run_time
from denoisert.runtime.engines.tensorrt.binding import RTX, TENSORRT
from denoisert.runtime.engines.tensorrt.opened import DTYPES

ROOT = Path(__file__).parents[4]
FOLDERS = ("runtime/engines/tensorrt", "export/targets/tensorrt")
WHEEL = "tensorrt-cu13-bindings==11.4.0.106"
STAND_INS = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
ENTRIES = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL"),
    *("createInferRuntime_INTERNAL", "createNvOnnxParserRefitter_INTERNAL"),
    *("createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry", "getNvOnnxParserVersion"),
    *("getPluginRegistry", "initLibNvInferPlugins"),
)
PLAIN = {"Member"}  # not one class of the library but what all its enumerations have
ELSEWHERE = {
    "JustInTimeContext": "IExecutionContext",
    "JustInTimeEngine": "ICudaEngine",
    "JustInTimeRuntime": "Runtime",
    "JustInTimeConfig": "IBuilderConfig",
}
"""What only the just-in-time library's classes have -> the class."""

ONLY_JUST_IN_TIME = {"IRuntimeCache", "IRuntimeConfig", *ELSEWHERE}
MEMBERS_ONLY_JUST_IN_TIME = {
    "ComputeCapability",
    "CudaGraphStrategy",
    "DynamicShapesKernelSpecializationStrategy",
    "EngineInvalidityDiagnostics",
    "EngineValidity",
}
DESCRIBE = """
import importlib.util, json, sys
name, path = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps({each: dir(getattr(module, each)) for each in dir(module)}))
"""


def protocols():
    """Class as we write it -> the names that are used of it."""
    found = {}
    for module in (run_time, build_time):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and kind.__module__ == module.__name__ and name not in PLAIN:
                own = {each for each in vars(kind) if not each.startswith("_")}
                found[name] = own | set(inspect.get_annotations(kind))
    return found


def attributes():
    """Every dotted name in our files."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).glob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        yield from (ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute))


def chains():
    """What follows `library`, as "BuilderFlag" or "CudaGraphStrategy.DISABLED"."""
    for text in attributes():
        head, _, rest = text.replace("self._library", "library").partition("library.")
        if head in ("", "self.") and rest and all(map(str.isidentifier, rest.split("."))):
            yield rest


def lacks(described, binding):
    """What a binding module has not, of all that is used of it."""
    for name, used in protocols().items():
        if name in ONLY_JUST_IN_TIME and not binding.is_just_in_time:
            continue
        have = set(described.get(ELSEWHERE.get(name, name), ()))
        yield from (f"{name}.{each}" for each in sorted(used - have))
    for chain in chains():
        first, *rest = chain.split(".")
        if first in MEMBERS_ONLY_JUST_IN_TIME and not binding.is_just_in_time:
            continue
        if not set(rest[:1]) <= set(described.get(first, ())) or first not in described:
            yield chain
    levels = {"HardwareCompatibilityLevel": binding.levels, "BuilderFlag": binding.flags}
    shorts = [f"SM{name.replace('.', '')}" for name in binding.capabilities]
    for name, members in (levels | {"ComputeCapability": shorts, "DataType": DTYPES}).items():
        yield from (f"{name}.{each}" for each in members if each not in described.get(name, ()))


def described(name, path, folder=""):
    """Names of a binding module and of its classes, told by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, name, str(path)],
        env=os.environ | {"LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_names_are_found_at_all():
    used = protocols()
    assert {"JustInTimeContext", "IBuilderConfig", "OnnxParser"} <= set(used)
    assert "execute_async_v3" in used["IExecutionContext"]
    assert {"num_inputs", "get_layer"} <= used["INetworkDefinition"]
    found = set(chains())
    assert {"ILogger", "Builder", "Runtime", "CudaGraphStrategy.DISABLED"} <= found
    assert "EngineValidity.INVALID" in found


def test_tensorrt_for_rtx_has_every_name():
    library = RTX.load()
    classes = {name: dir(getattr(library, name)) for name in dir(library)}
    assert list(lacks(classes, RTX)) == []


def test_a_name_that_is_gone_is_noticed():
    library = RTX.load()
    classes = {name: dir(getattr(library, name)) for name in dir(library)}
    classes["ICudaEngine"].remove("get_device_memory_size_for_profile_v2")
    del classes["IProgressMonitor"]
    assert list(lacks(classes, RTX)) == [
        "ICudaEngine.get_device_memory_size_for_profile_v2",
        "IProgressMonitor",
    ]


@pytest.mark.slow
def test_tensorrt_11_has_every_name(tmp_path):
    """Its real bindings, imported against libraries that are empty but for their entry points."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("wants a C compiler for the stand-in libraries")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", WHEEL]
    fetched = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    if fetched.returncode:
        pytest.skip(f"wants {WHEEL} from the package index: {fetched.stderr.splitlines()[-1:]}")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        module = archive.extract("tensorrt_bindings/tensorrt.so", tmp_path)
    source = tmp_path / "empty.c"
    source.write_text("".join(f"void {entry}(void) {{}}\n" for entry in ENTRIES))
    for name in STAND_INS:
        arguments = ["-shared", f"-Wl,-soname,{name}", "-o", str(tmp_path / name), str(source)]
        subprocess.run([compiler, *arguments], check=True)
    found = described("tensorrt", module, tmp_path)
    assert len(found) > 100
    assert list(lacks(found, TENSORRT)) == []
    assert MEMBERS_ONLY_JUST_IN_TIME.isdisjoint(found)
