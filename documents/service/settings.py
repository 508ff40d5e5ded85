"""Settings of the documents service."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.address import Address
from common.settings import PartSettings


class DocumentsSettings(PartSettings):
    """The documents service: files, vector stores, search."""

    section: ClassVar[str] = "documents"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_DOCUMENTS_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=21501, ge=1, le=65535)
    """Port to listen on."""
    token: SecretStr = Field(min_length=1, validation_alias=AliasChoices("token", "KODOLLY_DOCUMENTS_TOKEN"))
    """Token that the gateway must bring (KODOLLY_DOCUMENTS_TOKEN)."""
    gateway_url: Address = "http://127.0.0.1:8000"
    """Gateway that is asked for answers of models with documents."""
    state_dir: Path = Field(
        default=Path(".kodolly"), validation_alias=AliasChoices("state_dir", "KODOLLY_STATE_DIR")
    )
    """Directory of the files and indexes, below `documents`."""
    database_url: SecretStr | None = None
    """PostgreSQL that holds all of it instead, for several services; None is the state directory."""
    max_file_bytes: int = Field(default=256 * 2**20, ge=1, le=2**30 - 1)
    """Largest file; one of more than 64 MiB comes in parts (`/v1/uploads`)."""
    quota_bytes: int = Field(default=10 * 2**30, ge=1)
    """Most bytes of all files of one key."""

    ocr: bool = False
    """Read pictures (PNG, JPEG, pages of PDF) with tesseract and its Korean model, which must be there."""

    embedding_model: str | None = Field(default=None, min_length=1)
    """Model of kind `embedding` that the gateway serves; None searches by words alone."""
    embedding_query_prefix: str = ""
    """What this model wants before a question, e.g. `query: ` for E5."""
    embedding_passage_prefix: str = ""
    """What it wants before a passage, e.g. `passage: ` for E5."""
    rerank_model: str | None = Field(default=None, min_length=1)
    """Model of kind `rerank` that orders what was found; None leaves the order as it is."""
