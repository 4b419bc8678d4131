"""Conduct: errors are raised, values are frozen, behaviour is passed as objects."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.layout.source import ROOMS, Source, Violation, functions

ENTRY_POINTS = ("runtime/cli/", "export/cli.py")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
BROAD = {"Exception", "BaseException"}
EMPTY = {"dict", "list", "set", "defaultdict", "OrderedDict", "deque"}
MUTATORS = {
    "add",
    "append",
    "appendleft",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "setdefault",
    "update",
}


def asserts(source: Source) -> Iterator[Violation]:
    """Input is checked by an error of our tree; `assert` vanishes under -O."""
    if source.room not in ROOMS:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert):
            yield Violation(node.lineno, "", "assert; raise one of runtime/errors.py instead.")


def broad_except(source: Source) -> Iterator[Violation]:
    """An `except` names what it expects."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {"" if kind is None else ast.unparse(kind) for kind in kinds}
        if names & {"", *BROAD}:
            yield Violation(node.lineno, "", "broad except; name the errors that can happen.")


def environment(source: Source) -> Iterator[Violation]:
    """Only entry points read the environment; everything below gets arguments."""
    if source.room not in ROOMS or source.path.startswith(ENTRY_POINTS):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            is_read = ast.unparse(node) in ENVIRONMENT
        elif isinstance(node, ast.ImportFrom):
            is_read = any(f"{node.module}.{alias.name}" in ENVIRONMENT for alias in node.names)
        else:
            continue
        if is_read:
            yield Violation(node.lineno, "", "reads the environment; take an argument.")


def is_boolean(annotation: ast.expr | None) -> bool:
    """Whether an annotation is bool or a union with it."""
    if isinstance(annotation, ast.BinOp):
        return is_boolean(annotation.left) or is_boolean(annotation.right)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return "bool" in annotation.value.replace(" ", "").split("|")
    return isinstance(annotation, ast.Name) and annotation.id == "bool"


def boolean_parameters(source: Source) -> Iterator[Violation]:
    """A public signature takes objects or two functions, no True or False."""
    if source.room not in ROOMS:
        return
    for definition, node in functions(source):
        args = node.args
        parameters = (*args.posonlyargs, *args.args, *args.kwonlyargs)
        flags = {item.arg for item in parameters if is_boolean(item.annotation)}
        positional = (*args.posonlyargs, *args.args)
        paired = zip(reversed(positional), reversed(args.defaults), strict=False)
        for item, default in (*paired, *zip(args.kwonlyargs, args.kw_defaults, strict=True)):
            if isinstance(default, ast.Constant) and isinstance(default.value, bool):
                flags.add(item.arg)
        if flags and definition.is_public:
            message = f"boolean parameters {sorted(flags)}; pass an object or split the function."
            yield Violation(node.lineno, definition.symbol, message)


def containers(source: Source) -> Iterator[tuple[int, str, bool]]:
    """Yield line and name of the module's variables, and whether each starts as an empty one."""
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = node.value
        is_literal = isinstance(value, ast.Dict | ast.List) and ast.unparse(value) in ("{}", "[]")
        is_call = isinstance(value, ast.Call) and (
            ast.unparse(value.func).rsplit(".", maxsplit=1)[-1] in EMPTY and not value.args
        )
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name):
                yield node.lineno, target.id, is_literal or is_call


def mutated(tree: ast.Module) -> set[str]:
    """Names on which an item is set or deleted or a mutating method is called."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(ast.unparse(node.value))
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in MUTATORS:
            found.add(ast.unparse(called.value))
    return found


def module_state(source: Source) -> Iterator[Violation]:
    """A module holds constants: no container that fills up, no `global`."""
    if source.room not in ROOMS:
        return
    changed = mutated(source.tree)
    for line, name, is_empty in containers(source):
        if is_empty or name in changed:
            yield Violation(line, name, f"{name} is mutable module state; give it an owner.")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield Violation(node.lineno, "", "global; give the value an owner.")
