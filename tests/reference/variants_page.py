"""The variants of whole models against each other in a browser, at the sizes they ship in.

    python -m tests.reference.variants_page ID... [--variants V...] [--layers N] [--hardware]

By hand: it takes a GPU. Weights are the synthetic ones; the first variant, which
`tests.reference.full_shapes` compares with llvm, is what the others are compared with. Prints a
line for each model, variant and way to decode: the largest difference of logits relative to the
largest logit after a prompt and after tokens decoded, and of how many the likeliest token is the
same. `--out DIR` only writes the page, for a browser elsewhere: open it and await
`compareVariants(["ID/base.json", ...], prompt, decoded)`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench_page import FLAGS, HARDWARE, SOFTWARE, TIMEOUT_MS, serving, shown
from hub.compile import VARIANTS, compile_plans
from hub.material import from_shapes
from hub.schemes import SCHEMES
from model_configs.config import load
from runtime.web.node import run_esbuild

HERE = Path(__file__).parent
CONTEXT = 2048
ORDER = ("base", "f16+subgroups", "f16", "software", "matrix")
PAGE = """<!doctype html><html lang="en"><title>variants</title>
<script type="module" src="variants_page.js"></script></html>"""
RUN = "([urls, prompt, decoded]) => compareVariants(urls, prompt, decoded)"


def main() -> None:
    """A line for each model, variant and way to decode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="+")
    parser.add_argument("--scheme", choices=SCHEMES, default="q4")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=ORDER)
    parser.add_argument("--layers", type=int, help="of the model's, to save time; all by default")
    parser.add_argument("--prompt", type=int, default=700)
    parser.add_argument("--decoded", type=int, default=64)
    parser.add_argument("--hardware", action="store_true", help="on the GPU of this machine")
    parser.add_argument("--out", type=Path, help="write the page and the plans here, and stop")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch)
        urls = {id: write_plans(folder, id, arguments) for id in arguments.ids}
        write_page(folder)
        if arguments.out:
            return
        flags = (*FLAGS, *(HARDWARE if arguments.hardware else SOFTWARE))
        with serving(folder) as url, shown(flags) as page:
            page.set_default_timeout(TIMEOUT_MS)
            page.goto(f"{url}index.html")
            page.wait_for_selector("html[data-ready]", state="attached")
            for id in arguments.ids:
                steps = [urls[id], arguments.prompt, arguments.decoded]
                for way in page.evaluate(RUN, steps):
                    print(id, arguments.scheme, way, flush=True)


def write_plans(folder: Path, id: str, arguments: argparse.Namespace) -> list[str]:
    """Compiles `id` into `folder`; the addresses of its plans there, in the order asked for."""
    model = load(id)
    config = dict(from_shapes(model).config)
    if arguments.layers:
        config["num_hidden_layers"] = arguments.layers
    (folder / id).mkdir(parents=True, exist_ok=True)
    names = []
    for variant in arguments.variants:
        (plan,) = compile_plans(
            model_id=id,
            family=model.family,
            config=config,
            scheme=SCHEMES[arguments.scheme],
            context=CONTEXT,
            variants=(variant,),
        )
        names.append(f"{id}/{variant.replace('+', '-')}.json")
        (folder / names[-1]).write_text(plan.dumps(), encoding="utf-8")
    return names


def write_page(folder: Path) -> None:
    """index.html and the script it loads."""
    run_esbuild(
        {
            "entryPoints": [str(HERE / "variants_page.ts")],
            "outfile": str(folder / "variants_page.js"),
            "bundle": True,
            "format": "esm",
            "target": "es2022",
        }
    )
    (folder / "index.html").write_text(PAGE, encoding="utf-8")


if __name__ == "__main__":
    main()
