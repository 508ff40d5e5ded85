"""Checks of docker/test-compose about documents: a file goes in, answers come out, a backup holds it all."""

from openai import APIStatusError, OpenAI

from tests.support.compose_stack import Project, client, say, wait

DOCUMENTS = "http://documents:21501"
"""Where the gateway of a stack with the profile `documents` finds the service."""
FILE = "여비 규정.md"
TEXT = """# 여비 규정

## 식비

식비는 하루에 3만 5천 원까지 쓰며 총무팀장이 확인한다.

## 숙박비

숙박비는 하룻밤에 9만 원까지 쓰며 영수증을 붙인다.
"""
ASKED = "숙박비는 하룻밤에 얼마까지 쓰나요?"
BOUND = "demo-dolly@travel"
INSIDE = "/var/backups/kodolly/documents.backup"


def answers_from_documents(project: Project) -> None:
    """The official client uploads and searches, and a model answers from what it has found."""
    official = client(project)
    store = official.vector_stores.create(name="여비")
    kept = official.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(FILE, TEXT.encode()))
    assert kept.status == "completed", kept
    assert "9만 원" in _best(official, store.id)
    _documents(project, "bind", "demo-dolly", store.id, "--as", "travel")
    wait(lambda: BOUND in [model.id for model in official.models.list()], BOUND, 60)
    answer = official.chat.completions.create(
        model=BOUND, messages=[{"role": "user", "content": ASKED}], max_tokens=40
    )
    assert answer.model == BOUND
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > len(ASKED)
    say(f"documents: uploaded, searched, {BOUND} answered with {answer.usage.prompt_tokens} tokens of prompt")


def documents_come_back(project: Project) -> None:
    """What is deleted after a backup is there again once that is restored, by the commands of the docs."""
    official = client(project)
    (store,) = official.vector_stores.list().data
    _documents(project, "backup", INSIDE)
    official.vector_stores.delete(store.id)
    project.compose("stop", "documents")
    restore = ("--rm", "--entrypoint", "kodolly", "documents", "documents", "restore", "--replace", INSIDE)
    project.compose("run", *restore)
    project.compose("up", "-d", "--no-recreate", "documents")
    took = wait(lambda: _is_back(official, store.id), "the restored vector store", 180)
    say(f"documents: deleted, restored from a backup and searched again {took:.0f} s after the start")


def _is_back(official: OpenAI, store: str) -> bool:
    try:
        return "9만 원" in _best(official, store)
    except APIStatusError:  # the service is not up yet, or makes the index anew
        return False


def _best(official: OpenAI, store: str) -> str:
    """The text of the passage that answers best; empty when none is found."""
    found = official.vector_stores.search(store, query=ASKED).data
    return found[0].content[0].text if found else ""


def _documents(project: Project, *argv: str) -> str:
    """What a command in the service's container prints."""
    return project.compose("exec", "-T", "documents", "kodolly", "documents", *argv).stdout
