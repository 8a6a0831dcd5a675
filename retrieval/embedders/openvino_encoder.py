"""The fast path: a sentence-transformers model converted once to OpenVINO, then run without torch.

The converted folder holds the graph (weights stored as fp16), the tokenizer and what `EncoderSpec` says; loading it
imports openvino, tokenizers and numpy only. Its name carries the fingerprint of the weights it was made from and the
version of this recipe, so a changed model or recipe gets a folder of its own.

The graph goes through OpenVINO's torch front end directly. `openvino.convert_model` does the same, and reports its use
to a statistics server; so does `import openvino` itself, unless each user has opted out. Nothing here may touch the
network, so the package that sends is made unavailable to this process before the library looks for it.
"""

from __future__ import annotations

import json
import queue
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from domain.errors import ConfigurationError
from domain.search import FloatArray
from retrieval.embedders.encoder import EncoderSpec
from retrieval.embedders.model_folder import publish_folder, verify_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails

Precision = Literal["auto", "bf16", "f32"]

_RECIPE = 1  # raise it when the converted graph changes; the old folder is then left alone and a new one made
_SPEC = "encoder.json"
_REQUESTS = 2  # concurrent passes: a question need not wait for the batches of an ingest run


def converted_folder(models_dir: Path, name: str, fingerprint: str) -> Path:
    """Where the converted model of these weights belongs."""
    safe = "".join(char if char.isalnum() or char in "-_." else "-" for char in Path(name).name)
    return models_dir / f"{safe}-{fingerprint}-openvino{_RECIPE}"


def convert(model: SentenceTransformer, spec: EncoderSpec, tokenizer_json: str, target: Path) -> Path:
    """Convert a loaded model and publish it at `target`; `tokenizer_json` is the content of that file.

    Raises ConfigurationError for a model that cannot be traced.
    """
    try:
        graph = _trace(model)
    except Exception as error:  # whatever torch or the front end stumbles over
        raise ConfigurationError(
            f"The model {spec.name} cannot be converted to OpenVINO ({error}); choose the backend 'torch' for it."
        ) from error

    def write(folder: Path) -> None:
        import openvino

        openvino.save_model(graph, folder / "model.xml", compress_to_fp16=True)
        (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
        (folder / _SPEC).write_text(json.dumps(asdict(spec), indent=1), encoding="utf-8")

    return publish_folder(target, write)


def _trace(model: SentenceTransformer) -> Any:
    """An OpenVINO graph from (input_ids, attention_mask), any batch and length, to (token states, sentence vectors)."""
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from retrieval.embedders.sentence_transformer import quiet, run_modules

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(model)  # the tracer would touch each attribute of the model itself

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return run_modules(self.parts, input_ids, attention_mask)

    example = {"input_ids": torch.full((2, 16), 5), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
    with quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns of every shape that it reads; the tests compare the graph with torch
        decoder = TorchScriptPythonDecoder(Wrapper().eval(), example_input=example)
        frontend = FrontEndManager().load_by_framework("pytorch")
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({port: openvino.PartialShape([-1, -1]) for port in graph.inputs})
    return graph


def load_spec(folder: Path, *, verify: bool = False) -> EncoderSpec:
    """Check a converted folder and read its spec. Raises ConfigurationError when it was altered."""
    verify_folder(folder, full=verify)
    return EncoderSpec(**json.loads((folder / _SPEC).read_text(encoding="utf-8")))


class OpenVinoForward:
    """A forward pass in OpenVINO on the processor.

    `precision` "auto" is bf16 where the processor computes in it, else f32; asking for bf16 elsewhere raises
    ConfigurationError. `threads` None is one a core. Safe to share between threads.
    """

    def __init__(self, folder: Path, threads: int | None = None, precision: Precision = "auto") -> None:
        import openvino
        import openvino.properties.hint as hint

        core = openvino.Core()
        chosen = _choose_precision(core, precision)
        options: dict[str, Any] = {
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            hint.inference_precision: openvino.Type.bf16 if chosen == "bf16" else openvino.Type.f32,
            hint.enable_cpu_pinning: False,  # two processes on one machine would pin to the same cores
        }
        if threads is not None:
            options[openvino.properties.inference_num_threads] = threads
        model = core.compile_model(folder / "model.xml", "CPU", options)
        self.family = f"openvino-{chosen}"
        self._requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_REQUESTS):
            self._requests.put(model.create_infer_request())

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        request = self._requests.get()
        try:
            outputs = request.infer([ids, mask])  # copies: the request's own memory is reused by the next pass
            return outputs[0], outputs[1]
        finally:
            self._requests.put(request)


def _choose_precision(core: Any, wanted: Precision) -> str:
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not has_bf16:
        raise ConfigurationError(
            "This processor does not compute in bf16; set the encoder's precision to 'f32' or 'auto'."
        )
    return "bf16" if has_bf16 and wanted != "f32" else "f32"
