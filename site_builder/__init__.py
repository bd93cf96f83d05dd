"""A registry and Jinja2 templates in; a folder that any static host can serve out."""
