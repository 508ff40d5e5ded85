"""Studies: prompts, the models' answers to them, and a task for each judgement that is wished for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _studies_and_prompts()
    _answers()
    _tasks()


def downgrade() -> None:
    for name in ("tasks", "answers", "prompts"):
        op.drop_table(f"webui_study_{name}")
    op.drop_table("webui_studies")


def _studies_and_prompts() -> None:
    op.create_table(
        "webui_studies",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("setups", sa.JSON, nullable=False),
        sa.Column("raters", sa.Integer, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "webui_study_prompts",
        sa.Column("study_id", sa.String(36), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("category", sa.String(50)),
    )


def _answers() -> None:
    op.create_table(
        "webui_study_answers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("study_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("outcome", sa.JSON, nullable=False),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(36)),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("study_id", "position", "number", name="uq_webui_study_answers_number"),
    )
    op.create_index("ix_webui_study_answers_due", "webui_study_answers", ["state", "due"])


def _tasks() -> None:
    op.create_table(
        "webui_study_tasks",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("study_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("user_id", sa.String(64)),
        sa.Column("rater_id", sa.String(100)),
        sa.Column("due", sa.DateTime(timezone=True)),
        sa.Column("shown", sa.DateTime(timezone=True)),
        sa.Column("judged", sa.DateTime(timezone=True)),
        sa.Column("seconds", sa.Float),
        sa.Column("judgement", sa.JSON(none_as_null=True)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("send_due", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("study_id", "position", "slot", name="uq_webui_study_tasks_slot"),
        sa.UniqueConstraint("study_id", "position", "user_id", name="uq_webui_study_tasks_user"),
    )
    op.create_index("ix_webui_study_tasks_send", "webui_study_tasks", ["send_due"])
