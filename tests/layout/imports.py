"""Arrows between the rooms, and the files that may import a heavy library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.layout.source import ROOMS, Source, Violation

OUTSIDE = {"tests", "bench"}
FORBIDDEN = {
    "kernels": {"denoisert.runtime", "denoisert.export", *ROOMS, *OUTSIDE},
    "runtime": {"denoisert.export", *ROOMS, *OUTSIDE},
    "export": {*ROOMS, *OUTSIDE},
    "tests": set(ROOMS),
    "bench": {*ROOMS, "tests"},
}
HEAVY = {
    "cuda",
    "diffusers",
    "nvtx",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "safetensors",
    "sklearn",
    "tensorrt",
    "tensorrt_rtx",
    "torch",
    "torchvision",
    "transformers",
    "triton",
}
# Which file imports which heavy library, at module level or inside a function alike.
ALLOWED = {
    "kernels/*/kernel.py": {"triton"},
    "kernels/step/columns.py": {"triton"},
    "kernels/step/operations.py": {"triton"},
    "kernels/step/outputs.py": {"triton"},
    "kernels/step/variants.py": {"torch", "triton"},
    "kernels/*/launch.py": {"torch", "triton"},
    "runtime/devices/torch/*": {"torch"},
    "runtime/engines/openvino/*": {"openvino"},
    "runtime/engines/ort.py": {"onnxruntime"},
    "runtime/engines/ort_cuda.py": {"onnxruntime", "torch"},
    "runtime/engines/tensorrt/*": {"tensorrt", "tensorrt_rtx", "torch"},
    "runtime/engines/torch/*": {"onnx", "torch"},
    "runtime/loop/graphs.py": {"torch"},
    "runtime/measure/nvtx.py": {"nvtx"},
    "export/*": HEAVY,
}


def package(source: Source) -> list[str]:
    """The installed package that holds the file, as parts of its dotted name."""
    folders = source.path.split("/")[:-1]
    return ["denoisert", *folders] if source.room in ROOMS else folders


def base(source: Source, node: ast.ImportFrom) -> str:
    """The absolute module of a `from` import."""
    if not node.level:
        return node.module or ""
    parents = package(source)
    kept = parents[: len(parents) - node.level + 1]
    return ".".join([*kept, *filter(None, [node.module])])


def by_name(node: ast.Call) -> list[str]:
    """The module of `import_module("...")` or `__import__("...")`."""
    function = ast.unparse(node.func).rsplit(".", maxsplit=1)[-1]
    if function not in ("import_module", "__import__") or not node.args:
        return []
    first = node.args[0]
    return [str(first.value)] if isinstance(first, ast.Constant) else []


def imported(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the line and absolute dotted name of everything imported anywhere in the file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = base(source, node)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in by_name(node))


def is_within(name: str, modules: set[str]) -> bool:
    """Whether a dotted name is one of the modules or lies inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def arrows(source: Source) -> Iterator[Violation]:
    """Arrows point down: kernels <- runtime <- export; nothing imports tests or bench."""
    for line, name in imported(source):
        if is_within(name, FORBIDDEN.get(source.room, set())):
            yield Violation(line, "", f"{source.room} may not import {name}.")


def heavy_imports(source: Source) -> Iterator[Violation]:
    """`import denoisert.runtime` needs NumPy only; each heavy library has its listed files."""
    if source.room not in ROOMS:
        return
    for line, name in imported(source):
        library = name.split(".", maxsplit=1)[0]
        allowed = (modules for path, modules in ALLOWED.items() if fnmatch(source.path, path))
        if library in HEAVY and library not in set().union(*allowed):
            message = f"imports {library}; only the files in ALLOWED may, tests/layout/imports.py."
            yield Violation(line, "", message)
