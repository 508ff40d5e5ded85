"""Every table of the web UI, as the newest migration leaves it.

The names have a prefix: on PostgreSQL they may stand beside the gateway's.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

TITLE_CHARACTERS = 200
PRESET_NAME_CHARACTERS = 80
FOLDER_NAME_CHARACTERS = 80

users = sa.Table(
    "webui_users",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("rater_id", sa.String(100), nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)

conversations = sa.Table(
    "webui_conversations",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("title", sa.String(TITLE_CHARACTERS), nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("hidden", sa.Boolean, nullable=False),
    sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
    sa.Column("deleted", sa.DateTime(timezone=True)),
    sa.Column("folder_id", sa.String(36)),  # perhaps of one that was deleted
    sa.Index("ix_webui_conversations_list", "user_id", "kind", "pinned", "updated"),
)

folders = sa.Table(
    "webui_folders",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(FOLDER_NAME_CHARACTERS), nullable=False),
    sa.Column("deleted", sa.DateTime(timezone=True)),
    sa.Index(
        "uq_webui_folders_name",
        "user_id",
        "name",
        unique=True,
        sqlite_where=sa.text("deleted IS NULL"),
        postgresql_where=sa.text("deleted IS NULL"),
    ),
)

turns = sa.Table(
    "webui_turns",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("conversation_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False, server_default=""),
    sa.Column("withdrawn", sa.Boolean, nullable=False),
    sa.Column("files", sa.JSON(none_as_null=True)),  # as `webui.conversation.AttachedFile`
    sa.UniqueConstraint("conversation_id", "position", name="uq_webui_turns_position"),
)

files = sa.Table(
    "webui_files",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("type", sa.String(40), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("made", sa.DateTime(timezone=True), nullable=False),
)

turn_files = sa.Table(
    "webui_turn_files",
    metadata,
    sa.Column("turn_id", sa.String(36), primary_key=True),
    sa.Column("file_id", sa.String(36), primary_key=True),
)

answers = sa.Table(
    "webui_answers",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("turn_id", sa.String(36), nullable=False),
    sa.Column("pane", sa.String(10), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("chosen", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("setup", sa.JSON, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("outcome", sa.JSON, nullable=False),
    sa.Column("mark", sa.JSON(none_as_null=True)),
    sa.Column("written", sa.DateTime(timezone=True), nullable=False),
    sa.Column("looked", sa.DateTime(timezone=True)),
    sa.UniqueConstraint("turn_id", "pane", "version", name="uq_webui_answers_version"),
)

votes = sa.Table(
    "webui_votes",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("conversation_id", sa.String(36), nullable=False, index=True),
    sa.Column("choice", sa.String(10), nullable=False),
)

settings = sa.Table(
    "webui_settings",
    metadata,
    sa.Column("user_id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

shares = sa.Table(
    "webui_shares",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("conversation_id", sa.String(36), nullable=False, unique=True),
    sa.Column("answers", sa.JSON, nullable=False),
    sa.Column("hidden", sa.Boolean, nullable=False),
    sa.Column("shared", sa.DateTime(timezone=True), nullable=False),
)

presets = sa.Table(
    "webui_presets",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(PRESET_NAME_CHARACTERS), nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False, index=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.UniqueConstraint("user_id", "name", name="uq_webui_presets_name"),
)

sessions = sa.Table(
    "webui_sessions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("half", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
    sa.Column("named", sa.JSON),
)

studies = sa.Table(
    "webui_studies",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(TITLE_CHARACTERS), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("setups", sa.JSON, nullable=False),
    sa.Column("raters", sa.Integer, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)

study_prompts = sa.Table(
    "webui_study_prompts",
    metadata,
    sa.Column("study_id", sa.String(36), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("category", sa.String(50)),
)

study_answers = sa.Table(
    "webui_study_answers",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("study_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # of the model in the study
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("outcome", sa.JSON, nullable=False),
    sa.Column("written", sa.DateTime(timezone=True), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(36)),  # the lease under which it is fetched
    sa.Column("due", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("study_id", "position", "number", name="uq_webui_study_answers_number"),
    sa.Index("ix_webui_study_answers_due", "state", "due"),
)

study_tasks = sa.Table(
    "webui_study_tasks",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("study_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("user_id", sa.String(64)),
    sa.Column("rater_id", sa.String(100)),
    sa.Column("due", sa.DateTime(timezone=True)),  # the end of the rater's lease
    sa.Column("shown", sa.DateTime(timezone=True)),
    sa.Column("judged", sa.DateTime(timezone=True)),
    sa.Column("seconds", sa.Float),
    sa.Column("judgement", sa.JSON(none_as_null=True)),
    sa.Column("version", sa.Integer, nullable=False),  # of the judgement; 0 is none
    sa.Column("sent", sa.Integer, nullable=False),  # the version that the gateway has
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("send_due", sa.DateTime(timezone=True)),
    sa.UniqueConstraint("study_id", "position", "slot", name="uq_webui_study_tasks_slot"),
    sa.UniqueConstraint("study_id", "position", "user_id", name="uq_webui_study_tasks_user"),
    sa.Index("ix_webui_study_tasks_send", "send_due"),
)
