"""The sandbox that chat templates run in: jinja2's immutable one, with budgets on work and size.

Jinja's sandbox keeps a template from reaching Python; it does not keep it from running for ever or
filling the memory. So every loop and call is counted, every grown value is measured, and what
grows values in one stroke (`center`, format widths) is taken away. Whitespace rules, loop
controls, `tojson`, `raise_exception` and `strftime_now` are those templates are written for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .chat import refuse
from .errors import FormatError, ModelpressError

WHERE = "chat_template"
MAX_SOURCE = 1_000_000
MAX_OUTPUT = 8_000_000
"""Characters of a rendered prompt, and of any value on the way to it."""
MAX_ITEMS = 100_000
MAX_WORK = 1_000_000
"""Loop rounds and calls of one rendering."""

GROWING_METHODS = frozenset(
    {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "translate", "zfill"}
)
GROWING_FILTERS = ("center", "format", "pprint", "random", "urlize", "wordwrap", "xmlattr")


class _Refused(Exception):
    """Raised by the template itself."""


class _Exhausted(Exception):
    """A budget ran out."""


class Sandbox(ImmutableSandboxedEnvironment):
    """One rendering at a time; `render_template` starts the budget."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "<<"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
        )
        self.work = 0
        for name in GROWING_FILTERS:
            del self.filters[name]
        self.filters["tojson"] = _tojson
        self.filters["join"] = _join
        self.filters["replace"] = _replace
        self.filters["counted"] = self._counted
        self.filters["measured"] = _measured
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def spend(self) -> None:
        """Count one piece of work."""
        self.work += 1
        if self.work > MAX_WORK:
            raise _Exhausted(f"does more than {MAX_WORK} loop rounds and calls")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count every call, and check the size of what it gives back."""
        self.spend()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str) and getattr(obj, "__name__", "") == "replace":
            return _replace(owner, *args, **kwargs)
        if isinstance(owner, str) and getattr(obj, "__name__", "") == "join":
            return _join(args[0], owner) if len(args) == 1 else owner.join(*args)
        return _measured(super().call(context, obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Also refuse the string methods that grow a value by a number."""
        if isinstance(obj, str) and attr in GROWING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """jinja2 would allow `format` with its own formatter; here the name itself is refused."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic as ever; sequences and numbers may not explode."""
        if operator == "*":
            _check_product(left, right)
        if operator in ("**", "<<") and (_magnitude(left) > 2**64 or _magnitude(right) > 64):
            raise _Exhausted("computes with huge numbers")
        if operator == "%" and isinstance(left, str):
            raise _Exhausted("formats strings with %, which this sandbox leaves out")
        return _measured(super().call_binop(context, operator, left, right))

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.spend()
            yield item


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks answers for training; here it is its body."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 reads a plain set)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def compile_template(source: str) -> Template:
    """Compile with every loop counted and every captured text measured; raises FormatError."""
    if len(source) > MAX_SOURCE:
        raise FormatError(WHERE, f"longer than {MAX_SOURCE} characters")
    sandbox = Sandbox()
    try:
        tree = sandbox.parse(source)
        _guard(tree)
        code = sandbox.compile(tree, filename=WHERE)
        return Template.from_code(sandbox, code, sandbox.globals)
    except (TemplateError, RecursionError, MemoryError, SyntaxError) as error:
        raise FormatError(WHERE, f"is not a template this engine can run ({error})") from error


def render_template(template: Template, variables: Mapping[str, Any]) -> str:
    """The rendered text. See `ChatTemplate.render` for errors."""
    sandbox = template.environment
    assert isinstance(sandbox, Sandbox)
    sandbox.work = 0
    pieces, length = [], 0
    try:
        for piece in template.generate(**variables):
            length += len(piece)
            if length > MAX_OUTPUT:
                raise _Exhausted(f"writes more than {MAX_OUTPUT} characters")
            pieces.append(piece)
    except _Refused as error:
        raise refuse(str(error)) from error
    except ModelpressError:
        raise
    # A template is foreign code: whatever it raises is the template's fault, and typed here.
    except Exception as error:
        raise FormatError(WHERE, f"fails on these messages ({error})") from error
    return "".join(pieces)


def _guard(tree: nodes.Template) -> None:
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise FormatError(WHERE, "uses a recursive loop, which this sandbox leaves out")
        loop.iter = _filtered(loop.iter, "counted")
    for block in tree.find_all(nodes.AssignBlock):
        block.filter = _filtered(block.filter, "measured")
    for concat in list(tree.find_all(nodes.Concat)):
        concat.nodes = [_filtered(nodes.Concat(concat.nodes), "measured")]


def _filtered(node: nodes.Node | None, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None)


def _measured(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_OUTPUT:
        raise _Exhausted(f"makes a string of more than {MAX_OUTPUT} characters")
    if isinstance(value, list | tuple | dict) and len(value) > MAX_ITEMS:
        raise _Exhausted(f"makes a collection of more than {MAX_ITEMS} items")
    return value


def _check_product(left: Any, right: Any) -> None:
    for sequence, count in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(count, int):
            limit = MAX_OUTPUT if isinstance(sequence, str) else MAX_ITEMS
            if len(sequence) * count > limit:
                raise _Exhausted("multiplies a sequence beyond its limit")
    if _magnitude(left) * _magnitude(right) > 2**256:
        raise _Exhausted("computes with huge numbers")


def _magnitude(value: Any) -> float:
    return abs(value) if isinstance(value, int | float) else 0


def _join(value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        value = [item[attribute] for item in value]
    texts = [str(item) for item in value]
    if sum(map(len, texts)) + len(d) * len(texts) > MAX_OUTPUT:
        raise _Exhausted(f"makes a string of more than {MAX_OUTPUT} characters")
    return str(d).join(texts)


def _replace(text: str, old: str, new: str, count: int | None = None) -> str:
    text, old, new = str(text), str(old), str(new)
    found = text.count(old)
    if len(text) + found * max(0, len(new) - len(old)) > MAX_OUTPUT:
        raise _Exhausted(f"makes a string of more than {MAX_OUTPUT} characters")
    return text.replace(old, new, -1 if count is None else count)


def _tojson(
    value: Any,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    ensure_ascii: bool = False,
    sort_keys: bool = False,
) -> str:
    """JSON as text (jinja2's own escapes it for HTML, which would change prompts)."""
    if indent is not None and not 0 <= indent <= 16:
        raise _Exhausted("indents JSON by more than 16")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> None:
    raise _Refused(str(message)[:500])


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 100:
        raise _Exhausted("asks for a date in more than 100 characters")
    return time.strftime(pattern)
