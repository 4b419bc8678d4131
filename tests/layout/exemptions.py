"""Every exemption from a layout rule, with its reason; one that nothing needs fails a test."""

from __future__ import annotations

# (rule, "path" or "path::definition") -> reason
EXEMPT: dict[tuple[str, str], str] = {
    ("dataclass_fields", "runtime/bundle/card.py::Card"): "the sections of a document",
    ("dataclass_fields", "runtime/sampling/rows.py::Rows"): "a table of arrays",
    ("dataclass_fields", "runtime/sampling/table.py::SamplerTable"): "a table of arrays",
    ("vocabulary", "tests/test_layout_rules.py"): "plants the banned words",
    ("machine_paths", "tests/test_layout_rules.py"): "plants a machine's path",
}
