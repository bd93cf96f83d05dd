"""One TOML file a model, decoded strictly. A leaf: imports no other room."""
