#!/usr/bin/env bash
# nemo_toolkit 2.5.3 and 2.6.0: the same settings of phrase boosting mean another boost.
#
# BoostingTreeModelConfig.depth_scaling multiplies the score of every token of a phrase after its first. Its default is
# 1.0 in 2.5.3 and 2.0 from 2.6.0 on. So a list with context_score 1 and boosting_tree_alpha 1, and nothing else set,
# boosts the second token of a phrase by 1.69 in one release and by 2.69 in the next. Name depth_scaling.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
file=nemo/collections/asr/parts/context_biasing
for version in 2.5.3 2.6.0 3.0.0; do
  python3 -m pip download --quiet --no-deps --dest "$dir/$version" "nemo_toolkit==$version"
  (cd "$dir/$version" && python3 -m zipfile -e ./*.whl tree)
done
python3 - "$dir" "$file" <<'PY'
import ast
import math
import sys
from pathlib import Path

root, folder = Path(sys.argv[1]), sys.argv[2]
found = {}
for version in ("2.5.3", "2.6.0", "3.0.0"):
    path = root / version / "tree" / folder / "boosting_graph_batched.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "depth_scaling":
            found[version] = ast.literal_eval(node.value)
    second = 1.0 * found[version] + math.log(2)
    print("nemo_toolkit", version, "depth_scaling:", found[version], "second token:", round(second, 2))
assert found == {"2.5.3": 1.0, "2.6.0": 2.0, "3.0.0": 2.0}, "the behaviour changed"
PY
