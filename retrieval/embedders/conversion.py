"""Turning a sentence-transformers folder into an OpenVINO model, in a process of its own.

Once loaded, torch and transformers stay resident, most of a gigabyte that nobody needs after the conversion; a child
process gives it back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from domain.errors import ConfigurationError

_LAST_CHARACTERS = 500  # of the child's messages: the exception stands at the end


def convert_in_child(folder: Path, name: str, target: Path, adapter: Path | None = None) -> None:
    """Convert the model in `folder`, with the layers of `adapter`, into the folder `target`.

    Raises ConfigurationError with the child's last words.
    """
    command = [sys.executable, "-m", __name__, str(folder), name, str(target), *([str(adapter)] if adapter else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = done.stderr.strip()[-_LAST_CHARACTERS:]
        raise ConfigurationError(
            f"The encoder {name} could not be converted for OpenVINO ({words}); "
            "set the encoder's backend to 'torch' to use it as it is."
        )


def main(folder: str, name: str, target: str, adapter: str | None = None) -> None:
    """What the child does."""
    from retrieval.embedders.adapter import read_adapter
    from retrieval.embedders.openvino_encoder import convert
    from retrieval.embedders.sentence_transformer import load_model, model_spec, model_tokenizer

    adapted = read_adapter(Path(adapter)) if adapter else None
    model = load_model(Path(folder), adapter=adapted)
    convert(model, model_spec(model, Path(folder), name, adapted), model_tokenizer(model).to_str(), Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
