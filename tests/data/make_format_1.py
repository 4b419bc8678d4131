"""Writes `format-1.bundle`: a small model in the first bundle format, by hand.

It imports nothing of DenoiseRT, so that a change of the writer cannot change what the reader must
keep reading. Run `python tests/data/make_format_1.py` to write it again; the bytes stay the same.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

ROOT = Path(__file__).parent / "format-1.bundle"
CARD = {
    "name": "tiny",
    "licence": "Apache-2.0",
    "training": {
        "parametrisation": "flow",
        "schedule": {"name": "flow", "shift": 1.0, "time_scale": 1.0},
        "distilled": False,
        "timesteps": [],
    },
    "layout": [{"name": "latent", "shape": [1, 4, 4]}],
    "conditions": [
        {
            "name": "label",
            "source": "class_label",
            "dtype": "int64",
            "shape": [],
            "classes": 3,
            "null": 3.0,
            "labels": ["none", "some", "all"],
        }
    ],
    "network": {
        "time": "time",
        "time_shape": "lanes",
        "time_dtype": "float32",
        "ports": [[{"output": "velocity", "first": 0, "channels": 1, "part": 0}]],
        "scalars": [],
    },
    "sampler": {
        "solver": {"name": "euler"},
        "spacing": {"name": "trailing"},
        "steps": 4,
        "guidance": {"name": "cfg", "scale": 2.0},
    },
    "picture": {"low": -1.0, "high": 1.0},
}
PORTS = {
    "inputs": [
        {"name": "latent", "dtype": "float32", "dims": ["lanes", 1, 4, 4]},
        {"name": "time", "dtype": "float32", "dims": ["lanes"]},
        {"name": "label", "dtype": "int64", "dims": ["lanes"]},
    ],
    "outputs": [{"name": "velocity", "dtype": "float32", "dims": ["lanes", 1, 4, 4]}],
}


def dumps(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def weights() -> tuple[bytes, int]:
    """One float32 table (4 labels, 1, 4, 4), and where it starts in the file."""
    table = (np.arange(64, dtype="<f4").reshape(4, 1, 4, 4) - 32) / 32
    header = dumps({"table": {"dtype": "F32", "shape": [4, 1, 4, 4], "data_offsets": [0, 256]}})
    header += b" " * (-(8 + len(header)) % 64)
    return len(header).to_bytes(8, "little") + header + table.tobytes(), 8 + len(header)


def graph(path: str, offset: int) -> bytes:
    """velocity = latent * time + table[label]."""
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[4, 1, 4, 4])
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", path), ("offset", offset), ("length", 256)):
        table.external_data.add(key=key, value=str(value))
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    ports = {
        side: [helper.make_tensor_value_info(p["name"], kinds[p["dtype"]], p["dims"]) for p in rows]
        for side, rows in PORTS.items()
    }
    nodes = [
        helper.make_node("Unsqueeze", ["time", "axes"], ["t"]),
        helper.make_node("Mul", ["latent", "t"], ["scaled"]),
        helper.make_node("Gather", ["table", "label"], ["bias"]),
        helper.make_node("Add", ["scaled", "bias"], ["velocity"]),
    ]
    body = helper.make_graph(nodes, "tiny", ports["inputs"], ports["outputs"], [table, axes])
    opset = helper.make_opsetid("", 23)
    return helper.make_model(body, opset_imports=[opset], ir_version=11).SerializeToString(
        deterministic=True
    )


def files() -> dict[str, bytes]:
    data, offset = weights()
    path = f"weights/{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    onnx = graph(path, offset)
    return {path: data, "graphs/denoiser.onnx": onnx, "engines/onnxruntime/denoiser.onnx": onnx}


def manifest(content: dict[str, bytes]) -> bytes:
    stored = [path for path in content if path.startswith("weights/")]
    entry = {"weights": stored, "opset": 23, **PORTS}
    engine = {**entry, "path": "engines/onnxruntime/denoiser.onnx"}
    engines = {"version": "1.32.0", "graphs": {"denoiser": engine}, "buckets": []}
    body = {
        "format": 1,
        "source": hashlib.sha256(b"tiny").hexdigest(),
        "created_by": "denoisert 0.1.0",
        "card": CARD,
        "graphs": {"denoiser": {**entry, "path": "graphs/denoiser.onnx"}},
        "engines": {"onnxruntime": engines},
        "files": {
            path: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in content.items()
        },
    }
    return dumps({**body, "id": hashlib.sha256(dumps(body)).hexdigest()})


def main() -> None:
    content = files()
    for path, data in {**content, "manifest.json": manifest(content)}.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(data)


if __name__ == "__main__":
    main()
