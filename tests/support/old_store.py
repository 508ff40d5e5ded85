"""Stores as earlier versions of kodolly left them."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config

import server.store.migrations
from common.feedback import Answer, Message, Sampling, Vote


def answer(model: str) -> Answer:
    return Answer(
        model=model,
        messages=[Message(role="user", content="서울의 가을은 어떤가요?")],
        answer="하늘이 맑고 바람이 선선합니다.",
        sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=64),
    )


def make_old_store(path: Path, revision: str) -> None:
    """A store as the kodolly of that schema left it, with one vote."""
    config = Config()
    config.set_main_option("script_location", str(Path(server.store.migrations.__file__).parent))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)
        vote = Vote(choice="left", left=answer("돌리"), right=answer("전"), blind=False)
        connection.execute(
            sa.text("INSERT INTO votes VALUES (:id, :created, 'left', 0, '돌리', '전', 'ko', :left, :right)"),
            {
                "id": str(uuid.UUID(int=9)),
                "created": datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None).isoformat(" "),
                "left": vote.left.model_dump_json(),
                "right": vote.right.model_dump_json(),
            },
        )
    engine.dispose()
