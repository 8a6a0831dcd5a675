"""From trained weights to the graphs that are run: OpenVINO, in floating point and in int8.

int8 is OpenVINO's dynamic quantisation. A weight matrix is kept in int8 with one scale an output; the activations in
front of it are rounded to int8 while it runs, with one scale for each token and group of 384 numbers. Attention itself,
norms and heads stay in floating point. A row of 256 random tokens, in batches of eight, took so much processor time on
one core of an AMD EPYC with VNNI and BF16, and its logits were off by so much at the worst, in standard deviations:

    OpenVINO, f32                  139 ms
    OpenVINO, bf16                  75 ms    0.07
    torch, dynamic int8             66 ms    2.2
    OpenVINO, dynamic int8          57 ms    0.26
    OpenVINO, static int8           50 ms    1.0     one scale for all tokens does not suit the few large numbers
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from benchmarks.cross_encoder.network import CrossNetwork
from retrieval.embedders.model_folder import MANIFEST, publish_folder
from retrieval.embedders.openvino_encoder import convert

Precision = Literal["float", "int8"]

_GROUP = 384  # numbers under one scale: a token's state; a smaller group costs more than it rounds better
_HEAD = 1  # outputs of a head


def export(network: CrossNetwork, target: Path) -> None:
    """Write the folders `target`/float and `target`/int8 in place of what is there."""
    network.learning.eval()
    for precision in ("float", "int8"):
        shutil.rmtree(target / precision, ignore_errors=True)
    modules = cast(Any, [network.model[0], network.heads])
    convert(modules, network.encoder.spec, network.tokenizer.to_str(), target / "float")
    publish_folder(target / "int8", lambda draft: _write_int8(target / "float", draft))


def _write_int8(source: Path, draft: Path) -> None:
    import openvino

    for path in source.iterdir():
        if path.name not in (MANIFEST, "model.xml", "model.bin"):
            shutil.copy(path, draft / path.name)
    graph = openvino.Core().read_model(source / "model.xml")
    quantise(graph)
    openvino.save_model(graph, draft / "model.xml", compress_to_fp16=False)


def quantise(graph: Any) -> int:
    """Give every layer's weight matrix (O, I) of an OpenVINO graph int8 numbers, in place; how many there were."""
    import openvino.opset13 as ops

    done = 0
    for node in graph.get_ordered_ops():
        weights = _weights(node)
        if weights is None or len(weights) == _HEAD:
            continue
        scales = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / 127, 1e-8).astype(np.float32)
        codes = ops.convert(ops.constant(np.round(weights / scales).astype(np.int8)), "f32")
        node.input(1).replace_source_output(ops.multiply(codes, ops.constant(scales)).output(0))
        done += 1
    graph.set_rt_info(str(_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    graph.validate_nodes_and_infer_types()
    return done


def _weights(node: Any) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """The constant matrix (O, I) that a product multiplies with, float32; None for every other node."""
    if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_b"]:
        return None
    given = node.input_value(1).get_node()
    if given.get_type_name() == "Convert":  # stored as fp16
        given = given.input_value(0).get_node()
    return given.data.astype(np.float32) if given.get_type_name() == "Constant" else None
