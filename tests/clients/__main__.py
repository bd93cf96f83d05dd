"""The clients against a server that runs, with a real model: do they all get the same?

    modelpress serve --api --model press-guide &
    python -m tests.clients http://localhost:8000/v1 press-guide

Requests are those of the table, drawn with one seed. Embeddings need a model of embeddings and are
left out, as is whatever the table expects of the fake model alone.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.clients.run import HERE, TABLE, run_table

SEED = 7
LEFT_OUT = ("embedding", "models", "model")


def seeded() -> list[dict[str, Any]]:
    """The table, every answer drawn with the same seed."""
    cases = []
    for case in TABLE:
        request = dict(case.get("request", {}))
        if case["call"] in LEFT_OUT or "error" in case or "model" in request:
            continue
        if not isinstance(request.get("prompt"), list) or case["name"].startswith("completions"):
            request.setdefault("seed", SEED)
        cases.append({**case, "request": request})
    return cases


def main(base_url: str, model: str) -> int:
    """Print each case; 0 when the clients agree on all."""
    table = seeded()
    node = ["node", str(HERE / "run.mjs"), base_url, model]
    done = subprocess.run(node, input=json.dumps(table), capture_output=True, text=True, check=True)
    by_client = json.loads(done.stdout)
    by_client["python"] = asyncio.run(run_table(base_url, model, table))
    differ = 0
    for case in table:
        found = {client: results.get(case["name"]) for client, results in by_client.items()}
        texts = {json.dumps(result.get("texts")) for result in found.values() if result}
        clients = ", ".join(client for client, result in found.items() if result)
        differ += len(texts) != 1
        print(f"{'same' if len(texts) == 1 else 'DIFFER'}  {case['name']}  ({clients})")
        for text in sorted(texts):
            print(f"      {text[:150]}")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
