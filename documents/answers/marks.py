"""Marks that a chat template or a tokenizer takes for the end of a text or the beginning of a role.

In the text of a document each gets a space, so that it is text: no letter is lost. Known are the published
formats of Llama, Mistral, Qwen, Gemma, DeepSeek, EXAONE, Phi, Command R, BERT, GPT-NeoX, T5 and those of
common/templates; wide signs (＜｜), too, which some tokenizers make narrow, and joiners between signs, which
some leave out.
"""

import re

_JOINERS = "[\u200c\u200d]*"
_NAMES = (
    *("s", "pad", "bos", "eos", "unk", "mask", "cls", "sep", "sys", "usr", "bot", "image", "tools"),
    *("think", "thought", "tool_call", "tool_response", "start_of_turn", "end_of_turn", "start_of_image"),
    *("end_of_image", r"unused\d+", r"extra_id_\d+", r"special_\d+", "자료", "글"),
)
"""Of tokens between < and >."""
_BRACKETED = (
    *("INST", "SYS", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT"),
    *(
        "IMG",
        "IMG_BREAK",
        "IMG_END",
        "THINK",
        "ARGS",
        "CALL_ID",
        "CLS",
        "SEP",
        "MASK",
        "PAD",
        "UNK",
        "BOS",
        "EOS",
    ),
)
_ANGLED = re.compile(
    rf"([<＜]{_JOINERS})(?={_JOINERS}(?:[|｜]|\s*[/／]?\s*{_JOINERS}(?:{'|'.join(_NAMES)})\s*[/／]?{_JOINERS}[>＞]))",
    re.IGNORECASE,
)
_SQUARE = re.compile(rf"([\[［]{_JOINERS})(?={_JOINERS}(?:[|｜]|[/／]?(?:{'|'.join(_BRACKETED)})\s*[\]］]))")
_LLAMA = re.compile(rf"([<＜]{_JOINERS})(?=[<＜]{_JOINERS}[/／]?SYS)")
_HASHES = re.compile(rf"([#＃]{_JOINERS}[#＃])(?={_JOINERS}[#＃])")
_ROLES = re.compile(
    r"\b(USER|ASSISTANT|SYSTEM|User|Assistant|System|Human|Instruction|Response|Input|질문|답변)(?=[:：])"
)
_HEADED = re.compile(
    r"(?m)^([^\S\n]*+)(?=#{2,}|(?:Input|Instruction|Response|USER|ASSISTANT|Human|Assistant) ?:)"
)


def harmless(text: str) -> str:
    """The text with a space in every mark, and a point before one that begins a line."""
    for mark in (_ANGLED, _SQUARE, _LLAMA, _HASHES, _ROLES):
        text = mark.sub(r"\1 ", text)
    return _HEADED.sub(r"\1· ", text)
