"""Chat templates: what real ones need, and what hostile ones get."""

from __future__ import annotations

import json
import time

import pytest

from runtime.chat import ChatTemplate, Message, special_tokens
from runtime.errors import FormatError, ModelpressError

HELLO = (Message("system", "Be brief."), Message("user", "Hi <b>"))
LLAMA_3 = """
{{- bos_token }}
{%- if strftime_now is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|start|>system\\n\\n" + "Today: " + date_string + "\\n" + system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n\\n' }}
{%- endif %}
"""


def render(source: str, messages: tuple[Message, ...] = HELLO, config: str | None = None) -> str:
    return ChatTemplate.compile(source, config).render(messages)


def test_a_template_in_the_style_of_llama_3() -> None:
    text = render(LLAMA_3, config='{"bos_token": {"content": "<|begin|>"}}')
    today = time.strftime("%d %b %Y")
    assert text == (
        f"<|begin|><|start|>system\n\nToday: {today}\nBe brief.<|eot|>"
        "<|start|>user\n\nHi <b><|eot|><|start|>assistant\n\n"
    )


def test_blocks_are_trimmed_and_stripped_as_templates_expect() -> None:
    source = (
        "{% for m in messages %}\n    {% if true %}\n{{ m.role }}\n    {% endif %}\n{% endfor %}"
    )
    assert render(source) == "system\nuser\n"


def test_loop_controls_namespaces_and_generation_blocks_work() -> None:
    source = (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% if loop.last %}{% break %}"
        "{% endif %}{% set ns.n = ns.n + 1 %}{% generation %}{{ ns.n }}{% endgeneration %}"
        "{% endfor %}"
    )
    assert render(source) == "1"


def test_tojson_writes_json_and_not_html() -> None:
    assert render("{{ messages[1] | tojson }}") == '{"role": "user", "content": "Hi <b>"}'


def test_joins_and_replaces_give_what_jinja_gives() -> None:
    source = (
        "{{ ['a', 1] | join('-') }}{{ messages | join(',', attribute='role') }}"
        "{{ 'aXbX' | replace('X', 'yy') }}{{ 'aXbX'.replace('X', '', 1) }}"
        "{{ '/'.join(['p', 'q']) }}"
    )
    assert render(source) == "a-1" + "system,user" + "ayybyy" + "abX" + "p/q"


def test_a_template_may_refuse_the_messages_in_its_own_words() -> None:
    with pytest.raises(ModelpressError, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert (caught.value.code, caught.value.details["param"]) == ("bad_request", "messages")


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999999999) %}x{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for m in messages recursive %}{{ loop(messages) }}{{ loop(messages) }}{% endfor %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ [0] * 10 ** 10 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '{:9999999999}'.format(1) }}",
        "{{ 'x'.ljust(9999999999) }}",
        "{{ 'x' | center(9999999999) }}",
        "{{ messages | tojson(indent=9999999999) }}",
        "{% set ns = namespace(x='x' * 1000) %}{% for i in range(99) %}"
        "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x' * 1000) %}{% for i in range(99) %}"
        "{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set x = 'x' * 4000000 %}{{ x }}{{ x }}{{ x }}",
        "{% set x = 'x' * 4000000 %}{% set y %}{{ x }}{{ x }}{{ x }}{% endset %}{{ y | length }}",
        "{% set x = 'x' * 1000000 %}{{ x | replace('x', x) }}",
        "{% set x = 'x' * 1000000 %}{{ ([x] * 90000) | join }}",
        "{{ strftime_now('%c' * 99) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].missing.field }}",
        "{{ cycler.__init__.__globals__.os.system('id') }}",
        "{% include 'other' %}",
        "{% if %}",
        "{{ 1 | nosuchfilter }}",
        "{{ undefined_function() }}",
        "{{ '" + "(" * 5000 + "' }}{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
)
def test_a_hostile_or_broken_template_ends_soon_in_a_typed_error(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(FormatError) as caught:
        render(source)
    assert time.perf_counter() - started < 5
    assert caught.value.code == "bad_format"


def test_one_rendering_does_not_use_up_the_next_ones_budget() -> None:
    template = ChatTemplate.compile("{% for a in range(90000) %}{% endfor %}ok")
    assert [template.render(HELLO) for _ in range(20)] == ["ok"] * 20


def test_special_tokens_are_read_in_both_their_forms() -> None:
    text = json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None})
    assert special_tokens(text) == {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000])
def test_a_broken_tokenizer_config_is_a_format_error(text: str) -> None:
    with pytest.raises(FormatError, match="tokenizer_config"):
        special_tokens(text)
