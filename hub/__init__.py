"""The press: a checkpoint in; plans, weight chunks and a registry out.

Imports `model_configs` and `runtime` (the formats); never `site_builder` or `publish`.
"""
