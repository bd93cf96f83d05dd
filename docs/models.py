"""The page of models, generated from their configs and docs/models.toml.

    python docs/models.py             # write docs/models.md

A test compares the committed page with what this would write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from hub.gguf_architectures import ARCHITECTURES as GGUF_ARCHITECTURES
from hub.gguf_types import BLOCKS
from hub.mlc_config import ARCHITECTURES as MLC_ARCHITECTURES
from hub.mlc_groups import GROUPINGS, PLAIN
from model_configs.config import ModelConfig, all_configs

DOCS = Path(__file__).parent
PAGE, ASKED = DOCS / "models.md", DOCS / "models.toml"
INTRODUCTION = """\
# Models

Every model here is a TOML file in `model_configs`; this page is made of those files by
`python docs/models.py`. `modelpress build ID` downloads a model from where it was published and
presses it.

The files were written from what is known of the models, not from a download: until someone has
built a model, its source is marked "not compared". A build compares the shape in the file with the
checkpoint's and refuses another one; `modelpress verify ID` then says the commit to pin.
"""
ADDING = """
## Another one

`modelpress add OWNER/NAME` writes the file of a model from its repository: it fetches the config,
the tokenizer's settings and the model card, never the weights. A family or a licence it does not
know is refused by name. It reads three kinds of repositories, and so does
`modelpress build ID --checkpoint PATH` or `--repo OWNER/NAME`:

| kind | recognised by | weights | architectures |
| --- | --- | --- | --- |
| safetensors | `config.json`, `model.safetensors` or its index | f32, f16, bf16 | every family |
| GGUF | `NAME.gguf`; `--file NAME.gguf` names one of several | GGUF_FORMATS | GGUF_KINDS |
| MLC | `mlc-chat-config.json` | MLC_FORMATS | MLC_KINDS |

Reading GGUF files needs `pip install 'modelpress[gguf]'`.

Weights that already lie in groups of 32 are taken over as they are when the scheme asked for has
the same numbers, so nothing is lost twice: Q4_0 and q4f16_1 as `q4`, Q8_0 as `q8`. The scales of
q4f32_1 are rounded to 16 bits. Every other matrix of such a file is quantized from its float
values. Where a tensor holds the matrices of all experts of a layer, each is read where it lies, by
the same rules. Config, tokenizer and chat template are rebuilt from what the file says; a
tokenizer.json beside a GGUF file is preferred. What the file does not say is refused by name, and
so is an architecture that no family computes.

Tiny models, one with experts, written as files in F32, Q4_0 and Q8_0 and pressed from them as
`f32`, `q4` and `q8`, give the logits of transformers' own reading of those files within 1e-6 of the
largest logit: `python -m tests.reference.gguf_table`. Memory does not grow with the file: 285 MB at
the most while pressing 0.17 GB and 0.58 GB of Q4_K.

A GGUF file does not keep the sliding window of Mistral 7B v0.1 and its descendants: within 4096
tokens, the default context, that is the same computation. Nor do GGUF files and MLC repositories
keep which layers of a Qwen3 mixture are without experts: they hold models that have experts in
every layer.
"""


def page() -> str:
    """The whole page as Markdown."""
    listed = {
        "GGUF_FORMATS": BLOCKS,
        "MLC_FORMATS": (*GROUPINGS, *PLAIN),
        "GGUF_KINDS": GGUF_ARCHITECTURES,
        "MLC_KINDS": MLC_ARCHITECTURES,
    }
    adding = ADDING
    for name, known in listed.items():
        adding = adding.replace(name, ", ".join(known))
    return "".join((INTRODUCTION, *_catalogue(all_configs()), adding, *_asked()))


def _catalogue(configs: tuple[ModelConfig, ...]) -> Iterator[str]:
    yield f"\n## The {len(configs)} models\n\n"
    yield "| id | family | size | made for | languages | context | schemes | licence | source |\n"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    for config in sorted(configs, key=lambda c: (c.family, c.parameters, c.id)):
        yield f"| {' | '.join(_row(config))} |\n"


def _row(config: ModelConfig) -> Iterator[str]:
    yield f"`{config.id}`"
    yield config.family
    yield _size(config.parameters)
    yield ", ".join(config.tasks)
    yield ", ".join(config.languages) if len(config.languages) <= 3 else "many"
    yield f"{config.architecture.get('max_position_embeddings', config.context):,}"
    yield ", ".join(config.schemes)
    accept = ", to be accepted" if config.licence.requires_acceptance else ""
    yield f"[{config.licence.spdx.removeprefix('LicenseRef-')}]({config.licence.url}){accept}"
    yield _source(config)


def _source(config: ModelConfig) -> str:
    if config.source.repo is None:
        return "in this repository"
    page = f"[{config.source.repo}](https://huggingface.co/{config.source.repo})"
    return page if config.source.verified else f"{page}, not compared"


def _size(parameters: int) -> str:
    if parameters >= 999.5e6:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M"


def _asked() -> Iterator[str]:
    asked = tomllib.loads(ASKED.read_text(encoding="utf-8"))
    offered, missing = asked["offered"], asked["missing"]
    yield "\n## Under other names\n\n"
    yield f"Of {len(offered) + len(missing)} models that WebLLM offers, {len(offered)} are here"
    yield f" and {len(missing) or 'none'} are not.\n\n| there | here |\n| --- | --- |\n"
    for name, id in offered.items():
        yield f"| {name} | `{id}` |\n"
    for name, reason in missing.items():
        yield f"| {name} | not: {reason} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
