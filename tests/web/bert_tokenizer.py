"""A tiny tokenizer.json of BERT's kind, as the `tokenizers` library writes it."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "a ##a b ##b the play ##ing ##ed un ##aff ##able i s σ ##σ ς ##ς ss 中 , . ! ' - e ##e 1 ##1"
)


def tiny_bert_tokenizer(*, lowercase: bool = True) -> Tokenizer:
    """WordPiece over a few words, [CLS] and [SEP] around each text."""
    words = [*SPECIALS, *WORDS.split()]
    vocab = {word: index for index, word in enumerate(words)}
    model = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=20)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens([*SPECIALS])
    return tokenizer
