"""What is known of each chat template: where it comes from, what ends an answer, which models it belongs to.

The format's strings are facts of the published projects named in `source`. Answers end with the tokenizer's
own end token wherever a model is trained here; `stop` is what checkpoints published by others write instead
of, or after, an answer, so it matters only when such a checkpoint is served.
"""

import re
from dataclasses import dataclass

CONTEXT_MARK = "\n\nInput:\n"
"""What stands between a question and its context (Dolly's `context`) where a template has no slot for one."""


@dataclass(frozen=True)
class TemplateFacts:
    """One row of the table."""

    source: str
    """Where the format was published."""
    system: str
    """What becomes of a system message."""
    context: bool = False
    """Whether a context has a slot of its own; else it stays in the question behind `Input:`."""
    end_token: str | None = None
    """The token that ends an answer where it is not the tokenizer's end token."""
    stop: tuple[str, ...] = ()
    """Strings after which a published checkpoint of this format has to be stopped. vLLM 0.32 takes `stop`
    from a request alone: neither generation_config.json nor --override-generation-config carries it."""
    stop_tokens: tuple[str, ...] = ()
    """Those of `stop` that are one token in published tokenizers; an engine can stop at these by itself."""
    models: tuple[str, ...] = ()
    """Patterns of published model ids, searched in lower case."""
    note: str = ""
    """Differences from the published format, and why."""


INTRO = "takes the place of the introduction"
FIRST_TURN = "is put before the first question"
OWN = "has a slot of its own"

TEMPLATES: dict[str, TemplateFacts] = {
    "dolly": TemplateFacts(
        source="databrickslabs/dolly, training/consts.py",
        system=INTRO,
        context=True,
        stop=("### End",),
        stop_tokens=("### End",),
        models=(r"dolly-v\d",),
        note="Dolly's own end marker `### End` is a new token, which LoRA would never train; here answers "
        "end with the end token that the base has. The context's slot is `Input:` in the instruction's turn.",
    ),
    "alpaca": TemplateFacts(
        source="tatsu-lab/stanford_alpaca, train.py",
        system=INTRO,
        context=True,
        stop=("### Instruction:",),
        models=(r"(^|[/_-])alpaca-(lora-)?\d+b", r"stanford[_-]alpaca"),
        note="No line end after `### Response:`, as in Stanford's code. The introduction is that for an "
        "input when the first question has one.",
    ),
    "koalpaca": TemplateFacts(
        source="Beomi/KoAlpaca, train.py (v1.0)",
        system=INTRO,
        context=True,
        stop=("### Instruction",),
        models=(r"koalpaca-(?!polyglot)(llama-)?\d+b",),
    ),
    "koalpaca-polyglot": TemplateFacts(
        source="Beomi/KoAlpaca, train_v1.1b and README (v1.1)",
        system=FIRST_TURN,
        context=True,
        stop=("###",),
        models=(r"koalpaca-polyglot", r"polyglot-ko-\d+\.?\d*b-koalpaca"),
        note="The published format is one question and one answer; further turns follow after an empty line.",
    ),
    "kullm": TemplateFacts(
        source="nlpai-lab/KULLM, templates/kullm.json (v2)",
        system=INTRO,
        context=True,
        stop=("### 명령어",),
        models=(r"kullm(?!3)(-|$)",),
    ),
    "vicuna": TemplateFacts(
        source="lm-sys/FastChat, conversation.py (vicuna_v1.1)",
        system=INTRO,
        stop=("USER:",),
        models=(r"vicuna",),
        note="KoVicuna publishes no format of its own; it was trained by FastChat's code.",
    ),
    "openassistant": TemplateFacts(
        source="lm-sys/FastChat, conversation.py (oasst_pythia, oasst_llama)",
        system=OWN,
        stop=("<|prompter|>",),
        stop_tokens=("<|prompter|>",),
        models=(r"oasst", r"openassistant/(?!reward)"),
    ),
    "guanaco": TemplateFacts(
        source="timdettmers/openassistant-guanaco, column `text`",
        system="is put on a line before the conversation",
        stop=("### Human",),
        models=(r"guanaco-\d+b",),
        note="The data set has no end token: published checkpoints go on with `### Human`. Trained here, an "
        "answer ends with the end token.",
    ),
    "llama2": TemplateFacts(
        source="meta-llama/llama, llama/generation.py",
        system=OWN,
        models=(r"llama-2-\d+b-chat",),
        note="Begins every exchange with the begin token, as Meta's code does; a space precedes the end.",
    ),
    "mistral": TemplateFacts(
        source="mistralai/Mistral-7B-Instruct-v0.1 and v0.2, model cards",
        system=FIRST_TURN,
        models=(r"mi[sx]tral-8?x?7b-instruct-v0\.[12]",),
    ),
    "mistral-v3": TemplateFacts(
        source="mistralai/Mistral-7B-Instruct-v0.3, model card",
        system=FIRST_TURN,
        models=(r"mistral-7b-instruct-v0\.3",),
    ),
    "solar": TemplateFacts(
        source="upstage/SOLAR-10.7B-Instruct-v1.0, model card",
        system=OWN,
        stop=("### User:",),
        models=(r"solar-10\.7b-instruct",),
        note="The published template puts neither the end token nor an empty line behind an answer, so a "
        "second question runs into it; here both are there.",
    ),
    "chatml": TemplateFacts(
        source="OpenAI's ChatML, as in teknium/OpenHermes-2.5-Mistral-7B",
        system=OWN,
        end_token="<|im_end|>",
        stop=("<|im_end|>",),
        stop_tokens=("<|im_end|>",),
        models=(r"openhermes-2", r"chatml"),
        note="The end token must be <|im_end|>: set `end_token`, and `new_tokens` if it has not.",
    ),
}
"""Every template in common/templates."""


def template_of_model(model_id: str) -> str | None:
    """The template that a published model was trained with, by its id or directory name; None if unknown."""
    name = model_id.lower().replace("models--", "").replace("--", "/")
    for template, facts in TEMPLATES.items():
        if any(re.search(pattern, name) for pattern in facts.models):
            return template
    return None
