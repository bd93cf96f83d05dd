"""A model of five lines of WGSL with a real paged cache, its hub on disk, and its truth in Python.

After tokens t0..tk the likeliest token is the letter number `sum((i + 1) * t_i) mod 26`: every
cached token counts, at its own position, read through the page table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from runtime.fake_hub import fake_hub
from runtime.plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan, Step, Uniform

PAGE_SIZE, CHUNK, VOCAB = 8, 16, 258

APPEND = f"""
struct Args {{ n: u32, pos: u32 }}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> page_table: array<i32>;
@group(0) @binding(2) var<storage, read_write> kv: array<i32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {{
  if (i < args.n) {{
    let p = args.pos + i;
    kv[page_table[p / {PAGE_SIZE}u] * {PAGE_SIZE} + i32(p % {PAGE_SIZE}u)] = ids[i];
  }}
}}
"""
LOGITS = f"""
struct Args {{ end: u32 }}
@group(0) @binding(0) var<storage, read> page_table: array<i32>;
@group(0) @binding(1) var<storage, read> kv: array<i32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(1) fn main() {{
  var sum = 0u;
  for (var p = 0u; p < args.end; p += 1u) {{
    let token = kv[page_table[p / {PAGE_SIZE}u] * {PAGE_SIZE} + i32(p % {PAGE_SIZE}u)];
    sum = (sum + (p + 1u) * u32(token)) % 26u;
  }}
  for (var v = 0u; v < {VOCAB}u; v += 1u) {{ logits[v] = select(0.0, 1.0, v == 97u + sum); }}
}}
"""
GREEDY = """
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> token: array<i32>;
@compute @workgroup_size(1) fn main() {
  for (var v = 0; v < 258; v += 1) { if (logits[v] == 1.0) { token[0] = v; } }
}
"""
SAMPLE = """
struct Args { pos: u32 }
@group(0) @binding(0) var<storage, read> sampler_record: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> token: array<i32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(1) fn main() {
  token[0] = 97 + i32((sampler_record[7] + args.pos) % 26u);
  for (var v = 0; v < 258; v += 1) {
    if (sampler_record[6] == 1u && logits[v] == 1.0) { token[0] = v; }
  }
}
"""
WAYS = {
    "decode.same": LOGITS.replace("var sum = 0u;", "var sum = 26u;"),
    "decode.wrong": LOGITS.replace("(p + 1u)", "(p + 2u)"),
    "decode.empty": LOGITS.replace("1.0,", "0.0,"),
    "decode.bad": LOGITS.replace("var sum", "var nonsense"),
}
"""Other ways to decode, for the plan to offer: the first is right."""
N, POS = Expr("n"), Expr("pos")
ONE = (Expr(1), Expr(1), Expr(1))


def toy_plan(context: int = 256, ways: tuple[str, ...] = ()) -> Plan:
    """Every entry point of a chat model, and `ways` to decode (of `WAYS`) as alternatives."""
    sizes = {"tokens": 4 * CHUNK, "token": 4, "logits": 4 * VOCAB, "sampler": 64}
    pages = Expr("pages")

    def run(n: Expr, ids: str, kernel: str = "logits") -> tuple[Step, ...]:
        append = (Uniform("u32", n), Uniform("u32", POS))
        end = (Uniform("u32", Expr(("+", POS, n))),)
        return (
            Step("append", (ids, "page_table", "kv"), (2,), append, ONE),
            Step(kernel, ("page_table", "kv", "logits"), (2,), end, ONE),
        )

    greedy = Step("greedy", ("logits", "token"), (1,), (), ONE)
    sample = Step("sample", ("sampler", "logits", "token"), (2,), (Uniform("u32", POS),), ONE)
    return Plan(
        format=PLAN_FORMAT,
        model="toy",
        scheme="f32",
        variant="base",
        features=(),
        limits={},
        vocab_size=VOCAB,
        context=context,
        page_size=PAGE_SIZE,
        prefill_chunk=CHUNK,
        buffers=(
            *(Buffer(name, "io", "i32", Expr(size)) for name, size in sizes.items()),
            Buffer("page_table", "io", "i32", Expr(("*", pages, Expr(4)))),
            Buffer("kv", "kv", "i32", Expr(("*", pages, Expr(4 * PAGE_SIZE)))),
            Buffer("w", "weight", "f32", Expr(1024)),
        ),
        kernels=(
            Kernel("append", APPEND, "main"),
            Kernel("logits", LOGITS, "main"),
            Kernel("greedy", GREEDY, "main"),
            Kernel("sample", SAMPLE, "main"),
            *(Kernel(way, WAYS[way], "main") for way in ways),
        ),
        entries={
            "prefill": Entry(("n", "pos"), run(N, "tokens")),
            "decode": Entry(("pos",), run(Expr(1), "token")),
            "greedy": Entry((), (greedy,)),
            "sample": Entry(("pos",), (sample,)),
            "count": Entry(("n",), ()),
            "reset": Entry((), ()),
            "synthesize": Entry(("seed",), ()),
            **{way: Entry(("pos",), run(Expr(1), "token", way)) for way in ways},
        },
        memory=Memory(1024, 4, 0, 0),
        alternatives={"decode": ways} if ways else {},
    )


def greedy_letters(prompt: str, count: int) -> str:
    """The truth: `count` letters after `prompt`, rendered by the hub's chat template."""
    tokens = list(f"[user]{prompt}<a>".encode())
    for _ in range(count):
        tokens.append(97 + likeliest(tokens))
    return bytes(tokens[-count:]).decode()


def likeliest(tokens: Sequence[int]) -> int:
    """Number of the letter that follows `tokens`."""
    return sum((i + 1) * token for i, token in enumerate(tokens)) % 26


def write_toy_hub(folder: Path, *, context: int = 256, ways: tuple[str, ...] = ()) -> Path:
    """A hub folder that offers "toy"."""
    files = fake_hub("toy", plan=toy_plan(context, ways), tokenizer=byte_tokenizer())
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def byte_tokenizer() -> str:
    """A tokenizer.json whose ids are the bytes, with the two specials of the fakes."""
    characters = _byte_characters()
    vocab = {character: byte for byte, character in characters.items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    text: str = tokenizer.to_str()
    return text


def _byte_characters() -> dict[int, str]:
    """The character that byte-level tokenizers write for each byte (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {byte: chr(byte) for byte in shown}
    return table | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
