"""Small chat templates, each with one trap of the published ones, and tokenizers that know their marks."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from common.template_rendering import ChatTemplate
from finetune.encoding.own_template import OwnTemplate

TEXTS = (
    "안녕하세요? 오늘 날씨를 알려 주세요. 반갑습니다.",
    "\"따옴표\" 그리고 '작은따옴표'. [[1, 2], [3, 4]]",
    "The weather is fine: 21 degrees.\n\nReally.",
)
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    + PROMPT
)
THINKING = """
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{{- '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' and loop.index0 > ns.last and (loop.last or m.reasoning_content) %}
{{- '<think>\n' + (m.reasoning_content or '') + '\n</think>\n\n' }}
{%- endif %}
{{- m.content }}
{%- for call in m.tool_calls or [] %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- (call.function.arguments | tojson) + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if tools %}{% endif %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""
"""History loses its reasoning; a switch closes the thought in the prompt."""
JSON_CALL = """{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- (call.function.arguments | tojson) + '}\n</tool_call>' }}"""
XML_CALLS = THINKING.replace(
    JSON_CALL,
    """{{- '<tool_call>\n<function=' + call.function.name + '>\n' }}
{%- for name, value in call.function.arguments | items %}
{{- '<parameter=' + name + '>\n' + value + '\n</parameter>\n' }}
{%- endfor %}
{{- '</function>\n</tool_call>' }}""",
)
ROLE_MARKS = (
    "{% for m in messages %}{{ '<|im_start|><|' + m.role + '|>' + m.content }}"
    "{% for call in m.tool_calls or [] %}" + JSON_CALL + "{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if tools %}{% endif %}{% if add_generation_prompt %}{{ '<|im_start|><|assistant|>' }}{% endif %}"
)
"""No line ends; roles are tokens."""
HEADERS = """{# Calls of built-in tools begin with <|python_tag|>. #}{{- bos_token }}{%- for m in messages %}
{{- '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role) + '<|end_header_id|>\n\n' }}
{{- m.content | trim }}
{%- for call in m.tool_calls or [] %}
{{- '{"name": "' + call.function.name + '", "parameters": ' + (call.function.arguments | tojson) + '}' }}
{%- endfor %}
{{- '<|eot_id|>' }}{%- endfor %}{% if tools %}{% endif %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
"""The first token stands in the template; blanks are trimmed; results have a role of their own."""
TURNS = """{{- bos_token }}
{%- set system = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}
{%- set rest = messages[1:] if system else messages %}
{%- for m in rest %}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
{{- (system if loop.first else '') + (m.content | trim) + '<end_of_turn>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
"""The system message is part of the first question; no tools."""
BRACKETS = (
    """{%- for m in messages %}{{- '[|' + m.role + '|]\n' + m.content }}
{%- for call in m.tool_calls or [] %}"""
    + JSON_CALL
    + """{%- endfor %}
{{- '[|endofturn|]\n' if m.role == 'assistant' else '\n' }}{%- endfor %}{% if tools %}{% endif %}
{%- if add_generation_prompt %}{{ '[|assistant|]\n' }}{% endif %}"""
)
"""Only answers have an end."""
BRACKETED_CALLS = """{{- bos_token }}
{%- set system = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}
{%- for m in messages %}
{%- if m.role == 'user' %}
{{- '[INST] ' + (system if loop.last else '') + m.content + '[/INST]' }}
{%- elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}
{%- elif m.tool_calls %}{{ '[TOOL_CALLS][' }}{% for call in m.tool_calls %}
{{- '{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}' }}
{{- '' if loop.last else ', ' }}{% endfor %}{{ ']</s>' }}
{%- elif m.role == 'assistant' %}{{ m.content + '</s>' }}{% endif %}
{%- endfor %}{% if tools %}{% endif %}"""
"""The system message stands in the last question only, and in no prompt behind a result."""
KEYS = """{{- '[gMASK]<sop>' }}
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'tool' %}{{ '<|observation|>\n<tool_response>\n' + m.content + '\n</tool_response>' }}
{%- elif m.role != 'assistant' %}{{ '<|' + m.role + '|>\n' + m.content }}
{%- else %}{{ '<|assistant|>\n<think>' }}
{{- m.reasoning_content if m.reasoning_content and loop.index0 > ns.last else '' }}{{ '</think>' }}
{%- if m.content %}{{ '\n' + m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}{{ '\n<tool_call>' + call.function.name }}
{%- for name, value in call.function.arguments | items %}
{{- '<arg_key>' + name + '</arg_key><arg_value>' + value + '</arg_value>' }}{% endfor %}
{{- '</tool_call>' }}{% endfor %}{% endif %}{%- endfor %}{% if tools %}{% endif %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '\n<think></think>' }}{% endif %}{% endif %}"""
"""Nothing ends an answer but the next turn's role; arguments are keys and values."""
CHANNELS = """{{- bos_token }}
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{{- '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
{%- if m.reasoning_content and loop.index0 > ns.last %}
{{- '<|channel>thought\n' + m.reasoning_content + '\n<channel|>' }}{% endif %}
{{- m.content | trim }}
{%- for call in m.tool_calls or [] %}{{ '<|tool_call>call:' + call.function.name + '{' }}
{%- for name, value in call.function.arguments | items %}{{ name + ':<|"|>' + value + '<|"|>' }}{% endfor %}
{{- '}<tool_call|>' }}{% endfor %}
{{- '<turn|>\n' }}{%- endfor %}{% if tools %}{% endif %}
{%- if add_generation_prompt %}{{ '<|turn>model\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<|channel>thought\n<channel|>' }}{% endif %}
{%- endif %}"""
"""Thoughts in a channel, texts in calls between tokens; blanks are trimmed."""
FUNCTIONS = THINKING.replace(
    JSON_CALL,
    """{{- '<function_calls>' + call.function.name + '(' }}
{%- for name, value in call.function.arguments | items %}{{ name + '="' + value + '"' }}{% endfor %}
{{- ')</function_calls>' }}""",
)
"""Calls as Python writes them."""
SYSTEM_IN_LAST_TURN = """
{%- set system = messages[0].content if messages[0].role == 'system' else '' %}
{%- for m in messages %}
{%- if m.role == 'user' %}
{{- '[INST] ' + (system + '\n\n' if loop.last and system else '') + m.content + ' [/INST]' }}
{%- elif m.role == 'assistant' %}{{ ' ' + m.content + '</s>' }}{% endif %}
{%- endfor %}"""
OTHER_END_IN_HISTORY = """
{%- for m in messages %}
{{- '<|start|>' + m.role + '<|message|>' + m.content }}
{{- '<|return|>' if m.role == 'assistant' and loop.last else '<|end|>' }}
{%- endfor %}{{ '<|start|>assistant' if add_generation_prompt }}"""
DATED = "{{ 'Today: ' + strftime_now('%d %B %Y') + '\n' }}" + PLAIN
PARTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.content is string %}{{ m.content | trim }}"
    "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}" + PROMPT
)
TRIMS = PLAIN.replace("m.content", "(m.content | trim)")
OPENS_THOUGHT = PLAIN.replace("assistant\n' }}", "assistant\n<think>\n' }}")
ENDS_BY_NEXT_ROLE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
RAISES = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% endfor %}" + PLAIN
)
NO_END = PLAIN.replace("<|im_end|>", "")
ENDS_TWICE = PLAIN + "{% if not add_generation_prompt %}{{ '<|endoftext|>' }}{% endif %}"
UNKNOWN = "{{ preamble }}" + PLAIN
MARK = re.compile(
    r"<\|[a-z_]+\|>|</?(?:think|tool_call|s)>|\[/?(?:INST|TOOL_\w+|gMASK)\]|<(?:start|end)_of_turn>"
    r"|\[\|endofturn\|\]|<\|(?:turn|channel|tool_\w+|\")\|?>|<(?:turn|channel|tool_\w+)\|>|</?arg_\w+>|<sop>"
)


def own(text: str, *stops: str, kind: str = "byte-level", day: date | None = None) -> OwnTemplate:
    """`text` with a tokenizer that has its marks as tokens; the engine stops at `stops`."""
    tokenizer = tokenizer_for(text, stops, kind)
    numbers = frozenset(tokenizer.convert_tokens_to_ids(list(stops)))
    return OwnTemplate(tokenizer, ChatTemplate(text, tokenizer.special_tokens_map), numbers, day)


def tokenizer_for(text: str, stops: Sequence[str], kind: str = "byte-level", texts: Any = TEXTS) -> Any:
    """A tokenizer of `kind` (tiny_families.py) with the template's marks; the first stop ends texts."""
    from finetune.models.tokenizer import train_tokenizer
    from tests.support.tiny_families import llama_tokenizer

    made: Any = train_tokenizer(list(texts) * 3, 600, 512) if kind == "byte-level" else llama_tokenizer(texts)
    marks = [mark for mark in dict.fromkeys([*MARK.findall(text), *stops]) if "role" not in mark]
    made.add_special_tokens({"additional_special_tokens": marks})
    made.eos_token = stops[0]
    made.chat_template = text
    return made
