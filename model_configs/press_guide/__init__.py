"""press-guide, the embedded demo model: its facts, data generator, training and evaluation.

The generator and the checks need the standard library alone; `tokenizer` needs the tokenizers
package; `network`, `train` and `evaluate` need torch and transformers.
"""
