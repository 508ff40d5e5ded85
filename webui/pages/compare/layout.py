"""비교 / Compare: what stands on the page. What happens on it is in `events`."""

from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from common.feedback import Tag
from webui.conversation import ComparisonChoice
from webui.pages.compare.side_tabs import side_tabs
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
from webui.store.conversations import FEWEST, PANES

SIDES, FIRST = PANES["compare"], FEWEST["compare"]
"""All that a page can show, and how many a new page does."""
CHOICES: tuple[ComparisonChoice, ...] = ("left", "tie", "both_bad", "right")
BEST: tuple[ComparisonChoice, ...] = ("left", "right", "third", "fourth", "tie", "both_bad")
"""The buttons of a vote on two answers, and on more."""

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
    """One of SIDES."""
    setup_box: gr.Column
    settings: gr.Accordion
    setup: SetupInputs
    box: gr.Column
    """Around its conversation."""
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

    panes: tuple[Pane, ...]
    """All of them, of which the first two or more are on the screen."""
    pane_count: gr.Number
    tabs: gr.HTML
    """Of the sides, on a phone."""
    banner: gr.HTML
    hint: gr.HTML
    toolbar: "Toolbar"
    conversations: ConversationList
    vote: "VoteParts"
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
    def shown(self) -> gr.Textbox:
        """The id of the comparison on the screen."""
        return self.conversations.shown


@dataclass(frozen=True)
class Toolbar:
    """The buttons at the top."""

    blind: gr.Checkbox
    add: gr.Button
    """One more pane."""
    remove: gr.Button
    clear: gr.Button
    files: ExportButtons

    @property
    def all(self) -> list[Any]:
        return [self.blind, self.add, self.remove, self.clear, *self.files.all]


@dataclass(frozen=True)
class VoteParts:
    """Where the reader says which answer is the best."""

    box: gr.Column
    note: gr.HTML
    rows: tuple[gr.Row, gr.Row]
    """For two answers, and for more."""
    choices: dict[ComparisonChoice, gr.Button]
    best: dict[ComparisonChoice, gr.Button]

    @property
    def all(self) -> list[Any]:
        return [self.box, self.note, *self.rows, *self.choices.values(), *self.best.values()]


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
    tabs, ratings, vote, asking = _bottom(t)
    refresh, timer = refresher("compare", refresh_s)
    return ComparePage(
        panes=tuple(map(_pane, SIDES, setups, answers, ratings)),
        pane_count=gr.Number(FIRST, visible="hidden"),
        tabs=tabs,
        banner=banner,
        hint=hint,
        toolbar=toolbar,
        conversations=conversations,
        vote=vote,
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


def _bottom(t: gr.I18n) -> tuple[gr.HTML, list[RatingBox], VoteParts, Composer]:
    """What a long answer never pushes out of the window."""
    with asking_area():
        tabs = gr.HTML(side_tabs(FIRST), elem_id="compare-sides", padding=False)
        with gr.Row(elem_classes="kd-ratings", equal_height=False):
            ratings = [_rating_box(t, side) for side in SIDES]
        return tabs, ratings, _vote_parts(t), composer(t, "compare", "question_hint")


def _toolbar(t: gr.I18n) -> Toolbar:
    with gr.Row(elem_classes="kd-toolbar"):
        return Toolbar(
            blind=gr.Checkbox(label=t("blind"), value=False, container=False, elem_id="compare-blind"),
            add=gr.Button(t("pane_add"), size="sm", elem_id="compare-add"),
            remove=gr.Button(t("pane_remove"), size="sm", visible=False, elem_id="compare-remove"),
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


def _vote_parts(t: gr.I18n) -> VoteParts:
    with gr.Column(visible=False, elem_id="compare-vote", elem_classes="kd-vote") as box:
        note = gr.HTML(elem_id="compare-vote-note")
        with gr.Row(elem_classes="kd-vote-row") as of_two:
            choices = _vote_buttons(t, "vote", CHOICES)
        with gr.Row(elem_classes="kd-vote-row", visible=False) as of_more:
            best = _vote_buttons(t, "best", BEST)
    return VoteParts(box, note, (of_two, of_more), choices, best)


def _vote_buttons(
    t: gr.I18n, row: str, choices: tuple[ComparisonChoice, ...]
) -> dict[ComparisonChoice, gr.Button]:
    return {
        choice: gr.Button(t(f"{row}_{choice}"), size="sm", elem_id=f"{row}-{choice.replace('_', '-')}")
        for choice in choices
    }


def _shown_at_first(side: str) -> bool:
    return side in SIDES[:FIRST]


def _setup(t: gr.I18n, side: str) -> tuple[gr.Column, gr.Accordion, SetupInputs]:
    column = gr.Column(min_width=240, elem_id=f"{side}-setup", visible=_shown_at_first(side))
    with column, gr.Group(elem_classes="kd-setup"):
        picker = model_picker(t(f"{side}_model"), f"{side}-model")
        settings = gr.Accordion(t(f"{side}_settings"), open=False, elem_id=f"{side}-settings")
        setup = setup_inputs(t, side, picker, settings)
    return column, settings, setup


AnswerBox = tuple[
    gr.Column,
    gr.HTML,
    gr.HTML,
    gr.Row,
    gr.Button,
    gr.Button,
    ReviseButtons,
    gr.Column,
    gr.HTML,
    gr.Textbox,
]
"""In the order of a Pane's fields."""


def _pane(
    side: str,
    setup: tuple[gr.Column, gr.Accordion, SetupInputs],
    answer: AnswerBox,
    rating: RatingBox,
) -> Pane:
    """The parts of one side, which lie in three rows of the page."""
    setup_box, settings, inputs = setup
    box, score, tags, note = rating
    return Pane(
        side, setup_box, settings, inputs, *answer, rating_box=box, score=score, tags=tags, rating_note=note
    )


def _answer_box(t: gr.I18n, side: str) -> AnswerBox:
    """What can be done with an answer stands above it, where nothing covers it."""
    shown = _shown_at_first(side)
    with gr.Column(min_width=240, elem_id=f"{side}-pane", elem_classes="kd-pane", visible=shown) as box:
        with gr.Row(elem_classes="kd-pane-head"):
            chip = gr.HTML(elem_id=f"{side}-state", elem_classes="kd-state")
            with gr.Row(visible=False, elem_classes="kd-actions") as actions:
                retry = gr.Button(t("retry"), size="sm", elem_id=f"{side}-retry")
                show_prompt = gr.Button(t("show_prompt"), size="sm", elem_id=f"{side}-show-prompt")
                revise = revise_buttons(t, side)
        prompt = _prompt_box(t, side)
        chat = conversation_pane("compare", side)
    return box, chip, chat, actions, retry, show_prompt, revise, *prompt


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
