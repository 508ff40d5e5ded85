"""All published models that the shipped recipes begin with."""

from finetune.models.published.international import INTERNATIONAL_MODELS
from finetune.models.published.korean import KOREAN_MODELS

BASE_MODELS = KOREAN_MODELS | INTERNATIONAL_MODELS
"""Hub id -> what is known of the model."""
