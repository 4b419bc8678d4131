"""The layout rules themselves: each catches a planted violation and passes its harmless twin."""

from pathlib import Path

import pytest

from tests.layout import kernel_folders
from tests.layout.rules import RULES, report
from tests.layout.source import Source, python_files, read


def branches(levels: int) -> str:
    nested = [f"{'    ' * (level + 1)}if a[{level}]:" for level in range(levels)]
    return "\n".join(["def f(a):", *nested, "    " * (levels + 1) + "return 1\n"])


def fields(count: int) -> str:
    rows = "".join(f"    f{i}: int\n" for i in range(count))
    return f"@dataclass(frozen=True)\nclass A:\n    order: ClassVar[int] = 1\n{rows}"


def body(lines: int, head: str = "def f():") -> str:
    return head + "\n" + "    x = 1\n" * (lines - 1)


def ladder(count: int) -> str:
    rungs = "".join(f"    elif x == {i}:\n        pass\n" for i in range(count))
    return f"def f(x):\n    if x < 0:\n        pass\n{rungs}"


JIT = "@triton.jit\ndef f(a, b, c, d, e, f, g):"
DEEP_ELSE = """
def f(a):
    if a:
        return
    else:
        with a:
            for b in a:
                try:
                    return
                finally:
                    b()
"""
DEEP_CASE = """
def f(a):
    match a:
        case 1:
            while a:
                for b in a:
                    if b:
                        return
"""
CLEANUP = "try:\n    x = 1\nexcept"

# rule, path, text that breaks it, text that does not
PLANTED = [
    ("file_length", "runtime/x.py", "x = 1\n" * 301, "x = 1\n" * 300),
    ("file_length", "kernels/a/launch.py", "x = 1\n" * 121, "x = 1\n" * 120),
    ("file_length", "bench/kernels/bench_a.py", "x = 1\n" * 101, "x = 1\n" * 100),
    ("function_length", "export/x.py", body(51), body(50)),
    ("function_length", "kernels/a/reference.py", body(41), body(40)),
    ("function_length", "kernels/a/kernel.py", body(81, JIT), body(80, JIT)),
    ("function_length", "kernels/a/kernel.py", body(51), body(50)),
    ("function_length", "tests/test_x.py", "async " + body(51), "async " + body(50)),
    (
        "positional_parameters",
        "runtime/x.py",
        "def f(a, b, c, /, d, e, f, g): ...",
        "def f(a, b, c, /, d, e, f, *, g): ...",
    ),
    (
        "positional_parameters",
        "runtime/x.py",
        "class A:\n    def f(self, a, b, c, d, e, f, g): ...",
        "class A:\n    def f(self, a, b, c, d, e, f): ...",
    ),
    ("positional_parameters", "kernels/a/kernel.py", JIT[12:] + " ...", JIT + " ..."),
    ("dataclass_fields", "runtime/x.py", fields(11), fields(10)),
    ("nesting", "runtime/x.py", branches(4), branches(3)),
    ("nesting", "runtime/x.py", DEEP_ELSE, ladder(9)),
    ("nesting", "runtime/x.py", DEEP_CASE, branches(3).replace("if a[0]", "with a")),
    ("file_name", "runtime/loop/utils.py", "", ""),
    ("file_name", "export/helpers/x.py", "", ""),
    ("identifiers", "runtime/x.py", "class PoolManager: ...", "class Managers: ..."),
    ("identifiers", "runtime/x.py", "class HandlerOfErrors: ...", "class Handle: ..."),
    ("identifiers", "export/x.py", "def process_graph(): ...", "def processed(): ..."),
    ("identifiers", "export/x.py", "class A:\n    def _do_it(self): ...", "def done(): ..."),
    ("identifiers", "runtime/x.py", "async def handle(): ...", "def handles(): ..."),
    ("vocabulary", "bench/x.py", "# the naive form", "optimized_model_filepath = 1"),
    ("vocabulary", "export/x.py", '"""An Optimized one."""', "config['prediction_type']"),
    ("vocabulary", "runtime/x.py", "# its prediction type", "# its parametrisation"),
    ("unfinished", "runtime/x.py", "# TODO: rest", "# to do it"),
    ("unfinished", "kernels/a/x.py", "raise NotImplementedError", "raise InvalidInput('a')"),
    ("families", "runtime/x.py", "# as Stable Diffusion does", "# stable, diffusion"),
    ("families", "runtime/x.py", "FLUX_SHIFT = 1", "influx = 1"),
    ("families", "runtime/x.py", "def is_sd3(): ...", "sd = std3 = 1"),
    ("families", "runtime/x.py", "x = 'UNet2D'", "subunet = 1"),
    ("machine_paths", "tests/test_x.py", "x = '/root/models'", "x = 'a/root/b'"),
    ("machine_paths", "bench/x.py", "x = '../shared/x'", "x = 'shared'"),
    ("arrows", "kernels/a/x.py", "import denoisert.runtime", "import denoisert.kernels.b"),
    (
        "arrows",
        "kernels/a/x.py",
        "def f():\n    from denoisert.runtime.layout import Part",
        "from denoisert.kernels import b",
    ),
    ("arrows", "kernels/a/x.py", "from ...runtime import layout", "from ..b import cpu"),
    ("arrows", "runtime/a/x.py", "from denoisert import export", "from denoisert import kernels"),
    ("arrows", "runtime/x.py", "from ..export import cli", "from .exports import cli"),
    ("arrows", "runtime/x.py", "import_module('denoisert.export.cli')", "import_module(name)"),
    ("arrows", "runtime/x.py", "import tests.oracles", "import testsuite"),
    ("arrows", "export/x.py", "from bench import x", "from denoisert.runtime import x"),
    ("arrows", "export/x.py", "from runtime.layout import Part", "import runtimes"),
    ("arrows", "bench/x.py", "import tests.layout", "import bench.y"),
    ("arrows", "tests/test_x.py", "import kernels", "import tests.kernels"),
    ("heavy_imports", "runtime/x.py", "import torch.nn", "import torchy"),
    ("heavy_imports", "runtime/x.py", "def f():\n    import triton", "import numpy"),
    ("heavy_imports", "kernels/a/reference.py", "from torch import nn", "from numpy import pi"),
    (
        "heavy_imports",
        "runtime/engines/ort.py",
        "import onnxruntime, torch",
        "import onnxruntime as ort",
    ),
    ("heavy_imports", "runtime/x.py", "importlib.import_module('openvino')", "f('openvino')"),
    ("asserts", "export/x.py", "assert x", "asserted = x"),
    ("broad_except", "tests/test_x.py", f"{CLEANUP}:\n    pass", f"{CLEANUP} OSError:\n    pass"),
    (
        "broad_except",
        "runtime/x.py",
        f"{CLEANUP} (OSError, Exception):\n    raise",
        f"{CLEANUP} (OSError, ValueError):\n    raise",
    ),
    ("broad_except", "bench/x.py", f"{CLEANUP} BaseException:\n    pass", "x = Exception"),
    ("environment", "runtime/x.py", "x = os.environ['A']", "x = os.environment"),
    ("environment", "export/x.py", "os.getenv('A')", "os.getpid()"),
    ("environment", "kernels/a/x.py", "from os import getenv as g", "from os import sep"),
    ("boolean_parameters", "runtime/x.py", "def f(a: bool): ...", "def _f(a: bool): ..."),
    ("boolean_parameters", "runtime/x.py", "def f(*, a=True): ...", "def f(*, a=1): ..."),
    ("boolean_parameters", "runtime/x.py", "def f(a, b=False): ...", "def f(a, b=0): ..."),
    (
        "boolean_parameters",
        "runtime/x.py",
        "class A:\n    def __init__(self, a: 'bool | None'): ...",
        "class _A:\n    def __init__(self, a: bool): ...",
    ),
    (
        "boolean_parameters",
        "export/x.py",
        "def f(a: int | bool): ...",
        "def f(a: Callable[[int], bool]):\n    def g(b: bool): ...",
    ),
    ("module_state", "runtime/x.py", "cache = {}", "NAMES = {'a': 1}"),
    ("module_state", "runtime/x.py", "seen: set[int] = set()", "def f():\n    seen = set()"),
    ("module_state", "runtime/x.py", "A = {'a': 1}\nA['b'] = 2", "A = {'a': 1}\nx = A['a']"),
    (
        "module_state",
        "export/x.py",
        "A = [1]\ndef f():\n    A.append(2)",
        "A = [1]\ndef f():\n    A.index(2)",
    ),
    ("module_state", "runtime/x.py", "def f():\n    global a\n    a = 1", "a = 1"),
]


@pytest.mark.parametrize(("rule", "path", "bad", "good"), PLANTED)
def test_rule_catches_the_planted_violation_only(rule: str, path: str, bad: str, good: str) -> None:
    check = {item.__name__: item for item in RULES}[rule]
    assert list(check(Source.parse(path, bad)))
    if bad != good:
        assert not list(check(Source.parse(path, good)))


def test_every_rule_has_a_planted_violation() -> None:
    assert {row[0] for row in PLANTED} == {rule.__name__ for rule in RULES}


def test_rules_leave_alone_what_they_are_not_about() -> None:
    assert not report(Source.parse("runtime/cli/x.py", "x = os.environ"), {})
    assert not report(Source.parse("tests/test_x.py", "def test_x(a=True):\n    assert a"), {})
    assert not report(Source.parse("export/families/x.py", "UNET = 'sdxl'"), {})
    assert not report(Source.parse("bench/x.py", "import torch\nSEEN = []"), {})


def test_an_exemption_covers_its_definition_and_no_other() -> None:
    source = Source.parse("runtime/x.py", body(60) + body(60, "def g():"))
    assert len(report(source, {})) == 2
    kept = report(source, {("function_length", "runtime/x.py::f"): "why"})
    assert len(kept) == 1
    assert "[function_length] g" in kept[0]
    assert not report(source, {("function_length", "runtime/x.py"): "why"})


def test_files_are_found_below_folders(tmp_path: Path) -> None:
    (tmp_path / "runtime" / "loop").mkdir(parents=True)
    (tmp_path / "runtime" / "loop" / "pool.py").write_text("x = 1\n")
    (tmp_path / "runtime" / "note.md").write_text("x")
    assert python_files("runtime", "export", root=tmp_path) == ["runtime/loop/pool.py"]
    assert read("runtime/loop/pool.py", tmp_path).lines == ["x = 1"]


GOOD_FOLDER = {
    "__init__.py": "from denoisert.kernels.gram import cpu, reference\n__all__ = ['cpu']\n",
    "reference.py": "def gram(v): ...\n",
    "cpu.py": "def gram(v, *, out): ...\ndef workspace(n): ...\n",
    "kernel.py": "BLOCK = 1\n@triton.jit\ndef gram_kernel(x_ptr): ...\n",
    "launch.py": "VARIANTS = (1,)\n",
}


def test_a_complete_kernel_folder_passes() -> None:
    assert not kernel_folders.folder_problems("gram", GOOD_FOLDER)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("__init__.py", None, "lacks __init__.py"),
        ("__init__.py", "x = 1", "lacks __all__"),
        ("__init__.py", "import numpy\n__all__ = ['numpy']", "outside its folder"),
        ("reference.py", None, "lacks reference.py"),
        ("cpu.py", None, "exactly if"),
        ("cpu.py", "def gram(v): ...", "neither `out` nor"),
        ("kernel.py", None, "together"),
        ("kernel.py", "def f(): ...", "neither @triton.jit"),
        ("launch.py", "x = 1", "VARIANTS"),
        ("block.py", "x = 1", "no form of an op"),
    ],
)
def test_a_fault_in_a_kernel_folder_is_named(name: str, text: str | None, says: str) -> None:
    files = {**GOOD_FOLDER, name: text}
    found = kernel_folders.folder_problems("gram", {k: v for k, v in files.items() if v})
    assert len(found) == 1
    assert says in found[0]


def test_cpu_form_is_only_for_ops_of_the_loop() -> None:
    found = kernel_folders.folder_problems("norm", GOOD_FOLDER | {"__init__.py": "__all__ = []"})
    assert found == ["has a cpu.py exactly if the CPU loop calls it (LOOP_OPS)"]
    rules = kernel_folders.folder_problems("rule", {"cfg_rescale.py": ""})
    assert not [line for line in rules if "no form" in line]


def test_missing_mirrors_are_named(tmp_path: Path) -> None:
    (tmp_path / "tests" / "kernels").mkdir(parents=True)
    (tmp_path / "tests" / "kernels" / "test_gram.py").touch()
    assert kernel_folders.missing_mirrors("gram", tmp_path) == ["bench/kernels/bench_gram.py"]
