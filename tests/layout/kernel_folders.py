"""The shape of a kernel folder: a specification, its forms, and mirrors in tests and bench."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.layout.imports import imported
from tests.layout.source import ROOT, Function, Source, functions, is_device_code

FORMS = {"__init__.py", "reference.py", "cpu.py", "kernel.py", "launch.py"}
# The ops that the CPU loop calls; only they have a cpu.py.
LOOP_OPS = {"gram", "lanes", "philox", "quantile", "rule", "step"}
DEVICE_CODE = {"kernel.py", "columns.py", "operations.py", "outputs.py"}
# What the ops share; no op itself.
SHARED = {"variant"}
# Further files of a folder: "*" where each file is one rule, else the nouns by name.
EXTRA = {
    "rule": {"*"},  # one file a rule
    # The column space and one row's layout, shared by both forms; the device's row, its memory and
    # specialisations; three more files of device code.
    "step": {
        *("form.py", "row.py"),
        *("record.py", "encode.py", "space.py", "variants.py"),
        *("columns.py", "operations.py", "outputs.py"),
    },
}


def kernel_folders(root: Path = ROOT) -> list[str]:
    """Names of the folders below kernels/ that hold Python files."""
    return sorted({path.parent.name for path in (root / "kernels").glob("*/*.py")} - SHARED)


def file_problems(op: str, names: set[str]) -> Iterator[str]:
    """Yield what is missing from or too much in a folder, by file names."""
    yield from (f"lacks {name}" for name in sorted({"__init__.py", "reference.py"} - names))
    extra = EXTRA.get(op, set())
    if "*" not in extra:
        yield from (f"has {name}, no form of an op" for name in sorted(names - FORMS - extra))
    if ("cpu.py" in names) != (op in LOOP_OPS):
        yield "has a cpu.py exactly if the CPU loop calls it (LOOP_OPS)"
    if ("kernel.py" in names) != ("launch.py" in names):
        yield "has kernel.py and launch.py together or not at all"


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module without its docstring and imports."""
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def assigned(tree: ast.Module) -> set[str]:
    """Names that a module binds by assignment."""
    return {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }


def device_problems(source: Source) -> Iterator[str]:
    """Yield statements of a file of device code that are neither that nor constants."""
    for node in top_level(source.tree):
        is_kernel = isinstance(node, Function) and is_device_code(node)
        if not is_kernel and not isinstance(node, ast.Assign | ast.AnnAssign):
            name = source.path.rsplit("/", maxsplit=1)[-1]
            yield f"{name}:{node.lineno} is neither @triton.jit nor a constant"


def face_problems(op: str, source: Source) -> Iterator[str]:
    """Yield what is wrong with the folder's `__init__.py`."""
    if "__all__" not in assigned(source.tree):
        yield "__init__.py lacks __all__"
    foreign = [name for _, name in imported(source) if f"denoisert.kernels.{op}" not in name]
    yield from (f"__init__.py imports {name} from outside its folder" for name in foreign)


def out_problems(reference: Source, cpu: Source) -> Iterator[str]:
    """Yield functions of the reference whose CPU form has no buffer to write into."""
    public = {node.name for at, node in functions(reference) if at.is_public and not at.parents}
    for definition, node in functions(cpu):
        parameters = {item.arg for item in (*node.args.args, *node.args.kwonlyargs)}
        if definition.symbol in public and not parameters & {"out", "workspace"}:
            yield f"cpu.py:{node.lineno} {node.name} has neither `out` nor `workspace`"


def folder_problems(op: str, texts: Mapping[str, str]) -> list[str]:
    """What is wrong with one kernel folder, given its files' texts."""
    found = list(file_problems(op, set(texts)))
    sources = {name: Source.parse(f"kernels/{op}/{name}", text) for name, text in texts.items()}
    if "__init__.py" in sources:
        found += face_problems(op, sources["__init__.py"])
    for name in sorted(DEVICE_CODE & set(sources)):
        found += device_problems(sources[name])
    if "launch.py" in sources and "VARIANTS" not in assigned(sources["launch.py"].tree):
        found.append("launch.py lacks VARIANTS, the finite list of specialisations")
    if {"reference.py", "cpu.py"} <= set(sources):
        found += out_problems(sources["reference.py"], sources["cpu.py"])
    return found


def missing_mirrors(op: str, root: Path = ROOT) -> list[str]:
    """The test and benchmark files that an op lacks."""
    mirrors = (f"tests/kernels/test_{op}.py", f"bench/kernels/bench_{op}.py")
    return [path for path in mirrors if not (root / path).is_file()]
