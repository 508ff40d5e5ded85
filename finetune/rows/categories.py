"""The categories of a row."""

from typing import Literal, get_args

Category = Literal[
    "brainstorming",
    "classification",
    "closed_qa",
    "creative_writing",
    "general_qa",
    "information_extraction",
    "open_qa",
    "summarization",
]
"""The eight categories of databricks-dolly-15k."""

CATEGORIES: frozenset[str] = frozenset(get_args(Category))
