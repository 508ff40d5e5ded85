"""The comparison page in a real browser: two streams, failures, votes and ratings."""

import re

import pytest
from playwright.sync_api import APIResponse, Route, expect

from tests.support.hostile import harm
from tests.support.hostile_words import NAME
from tests.support.processes import wait_for
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import (
    LIMIT_S,
    Stage,
    compare,
)

pytestmark = pytest.mark.slow


# Two independent panes


def test_both_panes_show_text_before_either_has_finished(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated-too")
    ui.ask("안녕하세요?")
    for side, model in (("left", "gated"), ("right", "gated-too")):
        expect(ui.answer(side)).to_contain_text(f"{model}#4")
        expect(ui.metrics(side)).to_contain_text("답변하는 중")
    expect(ui.element("compare-vote")).to_be_hidden()
    stage.open_gate()
    for side, model in (("left", "gated"), ("right", "gated-too")):
        expect(ui.answer(side)).to_have_text(" ".join(f"{model}#{n}" for n in range(10)))
        expect(ui.metrics(side)).to_contain_text("10 토큰")
        expect(ui.metrics(side)).to_contain_text("완료")
        expect(ui.metrics(side)).to_contain_text("토큰/초")
        expect(ui.metrics(side)).to_contain_text("첫 글자")


def test_a_fast_side_ends_while_the_slow_one_waits(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "short")
    ui.ask("질문")
    expect(ui.metrics("right")).to_contain_text("길이 제한으로 끊김")
    expect(ui.metrics("left")).to_contain_text("답변하는 중")
    expect(ui.element("compare-stop")).to_be_visible()
    stage.open_gate()
    ui.wait_finished()


def test_the_same_model_on_both_sides_has_two_streams(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated")
    ui.set_system("left", "가")
    ui.set_system("right", "나")
    stage.open_gate()
    ui.ask("질문")
    expect(ui.answer("left")).to_have_text(" ".join(f"gated/가#{n}" for n in range(10)))
    expect(ui.answer("right")).to_have_text(" ".join(f"gated/나#{n}" for n in range(10)))


def test_a_second_question_goes_with_each_sides_own_history(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.ask("첫째")
    ui.wait_finished()
    ui.ask("둘째")
    wait_for(lambda: len(stage.script()["chats"]) == 4, LIMIT_S, what="four requests")
    ui.wait_finished()
    for chat in stage.script()["chats"][2:]:
        contents = [message["content"] for message in chat["messages"]]
        assert contents[0] == "첫째"
        assert contents[1].startswith(f"{chat['model']}#0")
        assert contents[2] == "둘째"
        assert chat["stream_options"] == {"include_usage": True}
        assert chat["max_completion_tokens"] == 512


def test_stop_ends_both_answers_and_their_requests(ui: WebUi, stage: Stage) -> None:
    compare(ui, "endless", "endless")
    ui.ask("끝없이")
    for side in ("left", "right"):
        expect(ui.answer(side)).to_contain_text("endless#3")
    ui.element("compare-stop").click()
    for side in ("left", "right"):
        expect(ui.metrics(side)).to_contain_text("중지함")
        expect(ui.answer(side)).to_contain_text("endless#3")
    ui.wait_finished()
    expect(ui.element("vote-tie")).to_be_disabled()
    wait_for(lambda: stage.script()["ended"] == ["endless", "endless"], LIMIT_S, what="both requests ended")


def test_a_closed_page_ends_no_answer(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated-too")
    ui.ask("나중에 볼게")
    expect(ui.answer("right")).to_contain_text("gated-too#4")
    ui.page.close()
    stage.open_gate()
    again = ui.tab().open()
    expect(again.answer("left")).to_contain_text("gated#9")
    expect(again.answer("right")).to_contain_text("gated-too#9")
    expect(again.metrics("right")).to_contain_text("완료")
    assert stage.script()["ended"] == []


# Failures


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("wrong-key", "외부 서비스가 API 키를 거절했습니다."),
        ("too-slow", "제한 시간 안에 답변이 오지 않았습니다."),
        ("dead", "모델 서버가 답변하지 못했습니다."),
        ("breaks", "답변하던 모델 서버가 중간에 멈췄습니다."),
        ("silent", "답변이 끝나기 전에 연결이 끊겼습니다."),
        ("loading", "모델이 아직 준비되지 않았습니다."),
        ("limited", "짧은 시간에 요청이 너무 많았습니다."),
        ("gone", "게이트웨이에 이 모델이 없습니다."),
    ],
)
def test_a_failing_side_says_why_and_the_other_goes_on(
    ui: WebUi, stage: Stage, model: str, words: str
) -> None:
    compare(ui, model, "gated")
    ui.ask("질문")
    card = ui.element("left-notice")
    expect(card).to_contain_text(words)
    expect(card).to_contain_text("req-")
    expect(ui.metrics("right")).to_contain_text("답변하는 중")
    stage.open_gate()
    expect(ui.answer("right")).to_contain_text("gated#9")
    expect(ui.metrics("right")).to_contain_text("완료")
    expect(ui.element("right-notice")).not_to_contain_text("req-")
    for choice in ("left", "tie", "both-bad", "right"):
        expect(ui.element(f"vote-{choice}")).to_be_disabled()
    expect(ui.element("left-rating-box")).to_be_hidden()
    expect(ui.element("right-rating-box")).to_be_visible()


def test_retry_with_another_model_mends_one_side_only(ui: WebUi, stage: Stage) -> None:
    compare(ui, "dead", "fast")
    ui.ask("질문")
    expect(ui.element("left-notice")).to_contain_text("모델 서버가 답변하지 못했습니다.")
    ui.wait_finished()
    ui.pick("short", "left")
    ui.element("left-retry").click()
    expect(ui.answer("left")).to_contain_text("short#19")
    expect(ui.element("left-notice")).not_to_contain_text("모델 서버")
    expect(ui.element("vote-left")).to_be_enabled()
    assert [chat["model"] for chat in stage.script()["chats"]].count("fast") == 1


def test_states_of_models_are_shown(ui: WebUi) -> None:
    compare(ui, "loading", "dead")
    expect(ui.element("left-state")).to_contain_text("불러오는 중 62%")
    expect(ui.element("right-state")).to_contain_text("응답 없음 (마지막 신호 14초 전)")


def test_the_model_list_follows_the_gateway(ui: WebUi, stage: Stage) -> None:
    compare(ui, "endless", "fast")
    stage.reset(models=["demo-base", "demo-dolly", "fast"])
    ui.look_again("left-state", "목록에 없음")
    ui.open()
    ui.picked("left").click()
    expect(ui.page.get_by_role("option")).to_have_count(3)
    stage.reset()
    option = ui.page.get_by_role("option", name="too-slow")

    def listed() -> bool:
        ui.come_back()
        return option.is_visible()

    wait_for(listed, LIMIT_S, what="the new model in the open list")


def test_settings_are_kept_under_a_name_and_used_on_the_other_side(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.set_system("left", "짧게 답하세요.")
    ui.set_number("left", "temperature", 0.7)
    ui.element("left-preset-name").locator("input, textarea").fill(NAME)
    ui.element("left-preset-shared").locator("input").check()
    ui.element("left-preset-save").click()
    expect(ui.page.locator(".kd-told")).to_contain_text(NAME)
    ui.set_number("right", "top-p", 0.5)
    ui.element("right-preset").locator("input").click()
    ui.page.get_by_role("option", name=f"{NAME} · 공유 중").click()
    expect(ui.element("right-system").locator("textarea")).to_have_value("짧게 답하세요.")
    ui.ask("질문")
    ui.wait_finished()
    asked = {chat["model"]: chat for chat in stage.script()["chats"]}
    assert (asked["short"]["temperature"], asked["short"]["top_p"]) == (0.7, 1.0)
    assert asked["short"]["messages"][0] == {"role": "system", "content": "짧게 답하세요."}
    assert harm(ui) == []


# Feedback


def test_a_vote_and_a_rating_arrive(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.ask("질문")
    ui.wait_finished()
    ui.rate("left", 4, "장황함", "말투")
    expect(ui.element("left-rating-note")).to_contain_text("4점")
    wait_for(
        lambda: [len(rating["tags"]) for rating in stage.script()["ratings"].values()] == [2],
        LIMIT_S,
        what="both tags",
    )
    ui.element("vote-both-bad").click()
    expect(ui.element("compare-vote-note")).to_contain_text("투표를 저장했습니다: 둘 다 나쁨")
    script = stage.script()
    (vote,), (rating,) = script["votes"].values(), script["ratings"].values()
    assert (vote["choice"], vote["blind"], vote["locale"]) == ("both_bad", False, "ko")
    assert (vote["left"]["model"], vote["right"]["model"]) == ("fast", "short")
    assert vote["left"]["answer"].split() == [f"fast#{n}" for n in range(20)]
    assert vote["left"]["messages"] == [{"role": "user", "content": "질문"}]
    assert vote["right"]["finish_reason"] == "length"
    assert vote["right"]["tokens"] == 20
    assert vote["right"]["request_id"].startswith("req-")
    assert vote["right"]["ttft_ms"] > 0
    assert set(rating["tags"]) == {"verbose", "tone"}
    assert (rating["score"], rating["blind"], rating["answer"]["model"]) == (4, False, "fast")


def test_what_is_rated_while_the_other_side_ends_stays(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "fast")
    ui.ask("질문")
    score = ui.element("right-rating").get_by_label("4", exact=True)
    expect(score).to_be_visible()
    late: list[tuple[Route, APIResponse]] = []

    def answer_first_later(route: Route) -> None:
        response = route.fetch()
        if late:
            route.fulfill(response=response)
        else:
            late.append((route, response))

    def read() -> bool:
        ui.page.wait_for_timeout(20)
        return bool(late)

    ui.page.route("**/page/events/compare-settle*", answer_first_later)
    stage.open_gate()
    wait_for(read, LIMIT_S, what="the answer to the event of an ended side")
    score.check()
    expect(ui.element("right-rating-note")).to_contain_text("4점")
    route, response = late[0]
    route.fulfill(response=response)
    ui.wait_finished()
    expect(score).to_be_checked()
    expect(ui.element("right-rating-note")).to_contain_text("4점")


def test_blind_hides_the_names_until_the_vote_and_stores_the_right_ones(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.element("compare-blind").locator("input").check()
    orders = set()
    for round_number in range(24):
        ui.ask(f"질문 {round_number}")
        expect(ui.element("left-state")).to_contain_text("이름 가림")
        ui.wait_finished()
        chrome = ui.page.locator("#left-state, #right-state, .kd-metrics, #compare-vote, #left-setup")
        assert not re.search("fast|short", " ".join(chrome.all_inner_texts()))
        expect(ui.element("left-setup")).to_be_hidden()
        expect(ui.element("left-show-prompt")).to_be_hidden()
        shown = ui.answer("left").inner_text().split("#")[0]
        ui.element("vote-left").click()
        expect(ui.element("left-state")).to_contain_text(shown)
        expect(ui.picked("left")).to_have_value(shown)
        newest = list(stage.script()["votes"].values())[-1]
        assert newest["blind"] is True
        assert newest["left"]["model"] == shown
        assert newest["left"]["answer"].startswith(f"{shown}#0")
        assert newest["right"]["model"] == ({"fast", "short"} - {shown}).pop()
        orders.add(shown)
        if len(orders) == 2:
            break
        ui.element("compare-clear").click()
        expect(ui.element("compare-examples")).to_be_visible()
    assert orders == {"fast", "short"}, "the sides are never shuffled"


def test_a_failure_does_not_tell_a_hidden_name(ui: WebUi) -> None:
    compare(ui, "dead", "too-slow")
    ui.element("compare-blind").locator("input").check()
    ui.ask("질문")
    ui.wait_finished()
    for side in ("left", "right"):
        expect(ui.element(f"{side}-notice")).to_contain_text("req-")
        assert not re.search("dead|too-slow|Scripted", ui.element(f"{side}-notice").inner_text())
    ui.element("compare-blind").locator("input").uncheck()
    expect(ui.element("left-setup")).to_be_visible()
    expect(ui.element("left-notice")).to_contain_text("Scripted")


def test_the_best_of_three_models_is_chosen_by_a_key_and_corrected(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.element("compare-add").click()
    expect(ui.element("third-state")).to_contain_text("준비됨")
    ui.pick("gated", "third")
    stage.open_gate()
    ui.ask("셋에게")
    expect(ui.element("third-chat").get_by_test_id("user")).to_have_text("셋에게")
    expect(ui.answer("third")).to_contain_text("gated#9")
    ui.wait_finished()
    ui.rate("third", 5)
    expect(ui.element("third-rating-note")).to_contain_text("5점")
    ui.page.evaluate("document.activeElement.blur()")
    ui.page.keyboard.press("3")
    expect(ui.element("compare-vote-note")).to_contain_text(
        "3번이 가장 나음 (1번 fast · 2번 short · 3번 gated)"
    )
    won = [(vote["left"]["model"], vote["choice"]) for vote in stage.script()["votes"].values()]
    assert won == [("fast", "right"), ("short", "right")]
    ui.element("best-left").click()
    expect(ui.element("compare-vote-note")).to_contain_text("1번이 가장 나음")
    pairs = {
        (vote["left"]["model"], vote["right"]["model"]): vote["choice"]
        for vote in stage.script()["votes"].values()
    }
    assert pairs == {("fast", "short"): "left", ("fast", "gated"): "left"}
    ui.page.reload()
    expect(ui.answer("third")).to_contain_text("gated#9")
    expect(ui.picked("third")).to_have_value("gated")
    expect(ui.element("compare-vote-note")).to_contain_text("1번이 가장 나음")


def test_one_model_less_begins_a_new_comparison_and_the_old_one_is_in_the_list(ui: WebUi) -> None:
    compare(ui, "fast", "short")
    for side in ("third", "fourth"):
        ui.element("compare-add").click()
        expect(ui.element(f"{side}-state")).to_contain_text("준비됨")
    expect(ui.element("compare-add")).to_be_hidden()
    ui.ask("넷에게")
    ui.wait_finished()
    expect(ui.element("best-fourth")).to_be_visible()
    assert ui.overflow_px() == 0
    ui.element("compare-remove").click()
    expect(ui.element("fourth-pane")).to_have_count(0)
    expect(ui.element("third-chat").get_by_test_id("user")).to_have_count(0)
    expect(ui.picked("left")).to_have_value("fast")
    ui.element("compare-comparisons").locator("button").first.click()
    ui.element("compare-history").get_by_text("넷에게").click()
    expect(ui.element("fourth-chat").get_by_test_id("user")).to_have_text("넷에게")
    expect(ui.element("best-fourth")).to_be_visible()
