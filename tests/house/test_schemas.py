"""The JSON Schemas in the documentation say what the readers read."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from runtime import codec, manifest, plan, weights
from tests.house.files import ROOT

DIGEST = "0" * 64


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schemas", ROOT / "docs/schemas.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
NAMES = sorted(GENERATOR.DOCUMENTS)


def a_plan() -> plan.Plan:
    size = plan.Expr(("*", plan.Expr(4), plan.Expr("pages")))
    step = plan.Step("k", ("a",), (0,), (plan.Uniform("i32", plan.Expr("n")),), (size,) * 3)
    return plan.Plan(
        format=plan.PLAN_FORMAT,
        model="m",
        scheme="q4",
        variant="base",
        features=("shader-f16",),
        limits={"maxBufferSize": 1},
        vocab_size=3,
        context=4,
        page_size=2,
        prefill_chunk=2,
        buffers=(plan.Buffer("a", "kv", "f32", size),),
        kernels=(plan.Kernel("k", "fn k() {}", "k"),),
        entries={"decode": plan.Entry(("n", "pages"), (step,))},
        memory=plan.Memory(0, 0, 0, 0),
    )


def some_weights() -> weights.WeightIndex:
    return weights.WeightIndex(
        format=weights.WEIGHTS_FORMAT,
        nbytes=256,
        tensors=(weights.Tensor("w", "f32", (2, 2), 0, 16),),
        chunks=(weights.Chunk(DIGEST, 0, 256),),
    )


def a_registry() -> manifest.Registry:
    scheme = manifest.SchemeEntry("q4", manifest.File("models/m/q4/manifest.json", 1, DIGEST), 1)
    model = manifest.ModelEntry("m", "M", "", "llama", 1, 4, "MIT", False, (scheme,))
    return manifest.Registry(manifest.REGISTRY_FORMAT, (model,))


def a_manifest() -> manifest.Manifest:
    file = manifest.File("models/m/q4/plan.base.json", 1, DIGEST)
    return manifest.Manifest(
        format=manifest.MANIFEST_FORMAT,
        id="m",
        name="M",
        description="",
        synthetic=False,
        languages=("en",),
        source=manifest.Source("r", "v", {"config.json": DIGEST}),
        licence=manifest.Licence("MIT", "MIT", "", None),
        architecture=manifest.Architecture("llama", 1, 1, 1, 1, 1, 1, 1, 1),
        quantization=manifest.Quantization("q4", 4.5, None),
        variants=(manifest.Variant("base", file, (), {}, 1, 1, 1, 1),),
        weights=file,
        weights_nbytes=1,
        files={"tokenizer.json": file},
        bos_token_id=None,
        stop_token_ids=(1,),
        system_prompt=None,
        suggestions=(),
        sampling=manifest.Sampling(),
        golden=manifest.Golden((1,), (2,)),
        tools={"modelpress": "0.1.0"},
    )


EXAMPLES = {
    "plan": a_plan(),
    "weights": some_weights(),
    "registry": a_registry(),
    "manifest": a_manifest(),
}


def validator(name: str) -> Any:
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schemas_are_what_the_generator_writes() -> None:
    expected = GENERATOR.all_schemas()
    found = {p.name: p.read_text() for p in (ROOT / "docs/schemas").glob("*.json")}
    assert found == expected, "run `python docs/schemas.py`"


@pytest.mark.parametrize("name", NAMES)
def test_a_document_fits_its_schema_and_its_reader(name: str) -> None:
    text = codec.dumps(EXAMPLES[name])
    validator(name).validate(json.loads(text))
    assert GENERATOR.DOCUMENTS[name][0].loads(text) == EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_refuses_what_the_reader_refuses(name: str) -> None:
    good = json.loads(codec.dumps(EXAMPLES[name]))
    check = validator(name)
    wrong: list[Any] = [good | {"format": 99}, good | {"unknown": 1}, {"format": 1}, []]
    assert not [bad for bad in wrong if check.is_valid(bad)]


def built_documents(hub: Path) -> list[tuple[str, Path]]:
    patterns = {
        "registry": "registry.json",
        "manifest": "models/*/*/manifest.json",
        "plan": "models/*/*/plan.*.json",
        "weights": "models/*/*/weights.json",
    }
    return [(name, path) for name, glob in patterns.items() for path in sorted(hub.glob(glob))]


def test_what_the_press_wrote_fits_the_schemas(press_guide_hub: Path) -> None:
    documents = built_documents(press_guide_hub)
    assert {name for name, _ in documents} == set(NAMES)
    for name, path in documents:
        errors = [e.message for e in validator(name).iter_errors(json.loads(path.read_text()))]
        assert not errors, f"{path}: {errors[0]}"
