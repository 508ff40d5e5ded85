"""Whether a document adds to a prompt what a template or a tokenizer takes for more than text."""

import unicodedata

from common.chat_message import ChatMessage
from common.chat_template import load_template
from common.template_facts import TEMPLATES
from common.template_rendering import ChatTemplate
from documents.answers.passage import Passage
from documents.answers.prompt import with_passages
from documents.chunks import Span
from tests.support.hostile_documents import MARKS, HostileDocument
from tests.support.own_templates import HEADERS, PLAIN, ROLE_MARKS, THINKING

NAMES = {"bos_token": "<s>", "eos_token": "</s>"}
OWN = {"plain": PLAIN, "thinking": THINKING, "role marks": ROLE_MARKS, "headers": HEADERS}
SIGNS = sorted(
    {word for mark in MARKS for word in mark.replace("\u200d", "").split("\n") if word.strip()}
    | {"<|im_end|>", "<|im_start|>", "[INST]", "[/INST]", "<</SYS>>", "</s>", "<s>", "<|eot_id|>", "<|"}
    | {
        "### Response:",
        "### Instruction:",
        "### Assistant:",
        "### Human:",
        "### End",
        "### 답변:",
        "### 응답:",
    }
    | {"ASSISTANT:", "USER:", "Input:", "<자료>", "</자료>", "[|", "<think>", "</think>"}
)


def passages(document: HostileDocument, text: str) -> list[Passage]:
    other = "출장비는 닷새 안에 정산한다."
    return [
        Passage("file-1", "열쇠.md", text, ("열쇠",), (Span(None, 0, len(text)),), 0.9),
        Passage("file-2", "출장.md", other, (), (Span(None, 0, len(other)),), 0.4),
    ]


def rendered(template: str, document: HostileDocument, text: str, *, own: bool) -> str:
    asked: list[ChatMessage] = [{"role": "user", "content": document.question}]
    given_text = with_passages(asked, passages(document, text), own_template=own)
    return ChatTemplate(template, NAMES).render(given_text, prompt=True)


def counted(prompt: str) -> dict[str, int]:
    """How often each mark stands in it, also as a tokenizer reads it that makes wide signs narrow and leaves
    out joiners."""
    read = unicodedata.normalize("NFKC", prompt).replace("\u200d", "").replace("\u200c", "")
    return {f"{sign} ({at})": text.count(sign) for sign in SIGNS for at, text in enumerate((prompt, read))}


def adds_a_mark(name: str, document: HostileDocument) -> bool:
    """In the template of this name, of common/templates or of `OWN`."""
    own = name not in TEMPLATES
    template = OWN[name] if name in OWN else load_template(name)
    honest = counted(rendered(template, document, document.honest_text, own=own))
    return counted(rendered(template, document, document.text, own=own)) != honest
