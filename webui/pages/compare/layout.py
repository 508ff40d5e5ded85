"""비교 / Compare: what stands on the page. What happens on it is in `events`."""

from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from common.feedback import Choice, Tag
from webui.pages.conversation_list import ConversationList, conversation_list
from webui.pages.export_buttons import ExportButtons, export_buttons
from webui.pages.parts import (
    Composer,
    asking_area,
    composer,
    conversation_pane,
    header,
    listed_models,
    model_picker,
    refresher,
    settled_button,
    shown_conversation,
)
from webui.pages.revise import QuestionEdit, ReviseButtons, edit_parts, revise_buttons
from webui.pages.setup import SetupInputs, setup_inputs
from webui.pages.takeover import COMPARE_KEYS, old_states
from webui.render import both

SIDES = ("left", "right")

EXAMPLES = [
    # From the demo's own rows: only the tuned model has learnt them.
    "LoRA 방식의 장점을 알려 주세요.",
    "이름이 무엇인지 알려 줄래요?",
    "과적합이 생기면 무엇이 문제인가요?",
    "잠자리를 주제로 짧은 동시를 지어 주세요.",
    # For models larger than the demo's.
    "세종대왕이 한 일을 표로 정리해 줘.",
    "다음 글을 한 문장으로 요약해 줘: 김치는 배추와 무 같은 채소를 소금에 절이고 고춧가루, 마늘, 젓갈로 "
    "양념해 발효시킨 음식이다. 지역과 계절에 따라 재료와 맛이 다르다.",
    "친구에게 약속을 미루자고 부탁하는 문자를 정중하게 써 줘.",
    "사과 12개를 5명이 똑같이 나누면 몇 개씩 갖고 몇 개가 남나요?",
]


@dataclass(frozen=True)
class Pane:
    """One side of the page."""

    name: str
    """`left` or `right`."""
    setup_box: gr.Column
    setup: SetupInputs
    chip: gr.HTML
    chat: gr.HTML
    actions: gr.Row
    retry: gr.Button
    show_prompt: gr.Button
    revise: ReviseButtons
    prompt_box: gr.Column
    prompt_info: gr.HTML
    prompt: gr.Textbox
    rating_box: gr.Column
    """At the bottom of the window, beside the other side's."""
    score: gr.Radio
    tags: gr.CheckboxGroup
    rating_note: gr.HTML

    @property
    def picker(self) -> gr.Dropdown:
        return self.setup.picker


@dataclass(frozen=True)
class ComparePage:
    """Everything that listeners of the page read or change."""

    left: Pane
    right: Pane
    banner: gr.HTML
    hint: gr.HTML
    toolbar: "Toolbar"
    conversations: ConversationList
    vote_box: gr.Column
    vote_note: gr.HTML
    votes: dict[Choice, gr.Button]
    examples: gr.Dataset
    composer: Composer
    refresh: gr.Button
    timer: gr.Timer
    settled: gr.Button
    edit: QuestionEdit
    names_hidden: gr.Checkbox
    """True while the names of this comparison are hidden."""
    old: list[gr.BrowserState]
    """The comparison of an earlier version, in the order of `COMPARE_KEYS`."""
    model_list: gr.JSON
    """The ids that the pickers list right now."""

    @property
    def panes(self) -> tuple[Pane, Pane]:
        return self.left, self.right

    @property
    def shown(self) -> gr.Textbox:
        """The id of the comparison on the screen."""
        return self.conversations.shown


@dataclass(frozen=True)
class Toolbar:
    """The buttons at the top."""

    blind: gr.Checkbox
    clear: gr.Button
    files: ExportButtons

    @property
    def all(self) -> list[Any]:
        return [self.blind, self.clear, *self.files.all]


def build_compare(t: gr.I18n, refresh_s: float) -> ComparePage:
    """Lay the page out."""
    header("compare")
    banner = gr.HTML(elem_id="compare-banner")
    toolbar = _toolbar(t)
    with gr.Accordion(t("comparisons"), open=False, elem_id="compare-comparisons"):
        conversations = conversation_list(t, "compare", shown_conversation("compare"))
    with gr.Row(elem_classes="kd-setups", equal_height=False):
        setups = [_setup(t, side) for side in SIDES]
    hint = gr.HTML(elem_id="compare-hint")
    with gr.Row(elem_classes="kd-panes", elem_id="compare-panes", equal_height=False):
        answers = [_answer_box(t, side) for side in SIDES]
    examples = _examples(t)
    ratings, (vote_box, vote_note, votes), asking = _bottom(t)
    left, right = map(_pane, SIDES, setups, answers, ratings)
    refresh, timer = refresher("compare", refresh_s)
    return ComparePage(
        left=left,
        right=right,
        banner=banner,
        hint=hint,
        toolbar=toolbar,
        conversations=conversations,
        vote_box=vote_box,
        vote_note=vote_note,
        votes=votes,
        examples=examples,
        composer=asking,
        refresh=refresh,
        timer=timer,
        settled=settled_button("compare"),
        edit=edit_parts("compare"),
        names_hidden=gr.Checkbox(False, visible="hidden"),
        old=old_states(*COMPARE_KEYS),
        model_list=listed_models(),
    )


RatingBox = tuple[gr.Column, gr.Radio, gr.CheckboxGroup, gr.HTML]
VoteBox = tuple[gr.Column, gr.HTML, dict[Choice, gr.Button]]


def _bottom(t: gr.I18n) -> tuple[list[RatingBox], VoteBox, Composer]:
    """What a long answer never pushes out of the window."""
    with asking_area():
        gr.HTML(_side_tabs(), elem_id="compare-sides", padding=False)
        with gr.Row(elem_classes="kd-ratings", equal_height=False):
            ratings = [_rating_box(t, side) for side in SIDES]
        return ratings, _vote_box(t), composer(t, "compare", "question_hint")


def _toolbar(t: gr.I18n) -> Toolbar:
    with gr.Row(elem_classes="kd-toolbar"):
        return Toolbar(
            blind=gr.Checkbox(label=t("blind"), value=False, container=False, elem_id="compare-blind"),
            clear=gr.Button(t("clear"), size="sm", elem_id="compare-clear"),
            files=export_buttons(t, "compare"),
        )


def _examples(t: gr.I18n) -> gr.Dataset:
    return gr.Dataset(
        components=["textbox"],
        samples=[[question] for question in EXAMPLES],
        label=t("examples"),
        type="values",
        elem_id="compare-examples",
        elem_classes="kd-examples",
    )


def _vote_box(t: gr.I18n) -> VoteBox:
    choices: tuple[Choice, ...] = get_args(Choice)
    with gr.Column(visible=False, elem_id="compare-vote", elem_classes="kd-vote") as box:
        note = gr.HTML(elem_id="compare-vote-note")
        with gr.Row(elem_classes="kd-vote-row"):
            votes = {
                choice: gr.Button(t(f"vote_{choice}"), size="sm", elem_id=f"vote-{choice.replace('_', '-')}")
                for choice in choices
            }
    return box, note, votes


def _setup(t: gr.I18n, side: str) -> tuple[gr.Column, SetupInputs]:
    with gr.Column(min_width=300, elem_id=f"{side}-setup") as box, gr.Group(elem_classes="kd-setup"):
        picker = model_picker(t(f"{side}_model"), f"{side}-model")
        accordion = gr.Accordion(t(f"{side}_settings"), open=False, elem_id=f"{side}-settings")
        setup = setup_inputs(t, side, picker, accordion)
    return box, setup


AnswerBox = tuple[
    gr.HTML, gr.HTML, gr.Row, gr.Button, gr.Button, ReviseButtons, gr.Column, gr.HTML, gr.Textbox
]
"""In the order of a Pane's fields."""


def _pane(side: str, setup: tuple[gr.Column, SetupInputs], answer: AnswerBox, rating: RatingBox) -> Pane:
    """The parts of one side, which lie in three rows of the page."""
    setup_box, inputs = setup
    box, score, tags, note = rating
    return Pane(side, setup_box, inputs, *answer, rating_box=box, score=score, tags=tags, rating_note=note)


def _answer_box(t: gr.I18n, side: str) -> AnswerBox:
    """What can be done with an answer stands above it, where nothing covers it."""
    with gr.Column(min_width=300, elem_id=f"{side}-pane", elem_classes="kd-pane"):
        with gr.Row(elem_classes="kd-pane-head"):
            chip = gr.HTML(elem_id=f"{side}-state", elem_classes="kd-state")
            with gr.Row(visible=False, elem_classes="kd-actions") as actions:
                retry = gr.Button(t("retry"), size="sm", elem_id=f"{side}-retry")
                show_prompt = gr.Button(t("show_prompt"), size="sm", elem_id=f"{side}-show-prompt")
                revise = revise_buttons(t, side)
        prompt = _prompt_box(t, side)
        chat = conversation_pane("compare", side)
    return chip, chat, actions, retry, show_prompt, revise, *prompt


def _prompt_box(t: gr.I18n, side: str) -> tuple[gr.Column, gr.HTML, gr.Textbox]:
    with gr.Column(visible=False, elem_id=f"{side}-prompt-box", elem_classes="kd-prompt") as box:
        info = gr.HTML(elem_id=f"{side}-prompt-info", elem_classes="kd-metrics")
        prompt = gr.Textbox(
            label=t(f"{side}_prompt"),
            lines=4,
            max_lines=14,
            buttons=["copy"],
            interactive=False,
            elem_id=f"{side}-prompt",
            elem_classes="kd-mono",
        )
    return box, info, prompt


def _rating_box(t: gr.I18n, side: str) -> RatingBox:
    with gr.Column(visible=False, elem_id=f"{side}-rating-box", elem_classes="kd-rating") as box:
        score = gr.Radio(
            [(str(n), n) for n in range(1, 6)], label=t(f"{side}_rating"), elem_id=f"{side}-rating"
        )
        tags = gr.CheckboxGroup(
            [(t(f"tag_{tag}"), tag) for tag in get_args(Tag)], label=t(f"{side}_tags"), elem_id=f"{side}-tags"
        )
        note = gr.HTML(elem_id=f"{side}-rating-note", elem_classes="kd-metrics")
    return box, score, tags, note


def _side_tabs() -> str:
    """On a phone one side is seen at a time: which one, for `assets/sides.js`."""
    words = {"left": both("왼쪽 답변", "Left answer"), "right": both("오른쪽 답변", "Right answer")}
    tabs = "".join(
        f'<button type="button" data-side="{side}" aria-pressed="{"true" if side == SIDES[0] else "false"}">'
        f"{words[side]}</button>"
        for side in SIDES
    )
    return f'<div class="kd-side-tabs" role="group">{tabs}</div>'
