"""What the product consists of."""

PARTS = (
    "common",
    "documents",
    "moderation",
    "controller",
    "server",
    "worker",
    "webui",
    "finetune",
    "kodolly",
)
"""Its top-level packages."""
