"""What clients send and get, in OpenAI's shapes (https://platform.openai.com/docs/api-reference)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from documents.service.filters import Filter

CHARACTERS_A_TOKEN = 1.5
"""Characters of Korean text in one token: turns a chunk's size in tokens into one in characters."""
DEFAULT_TOKENS = 533
"""800 characters."""
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
Id = Annotated[str, Field(max_length=100)]
Key64 = Annotated[str, StringConstraints(max_length=64)]
Text512 = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[Key64, Text512], Field(max_length=16)]
Attributes = Annotated[dict[Key64, bool | int | float | Text512], Field(max_length=16)]


class RequestBody(BaseModel):
    """A request's JSON body. Fields that this version does not know are ignored: newer clients send them."""

    model_config = ConfigDict(extra="ignore")


class ExpiresAfter(RequestBody):
    """After so many days without a search."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class StaticChunks(RequestBody):
    """Passages are cut at paragraphs and sentences, so none overlaps another; the overlap is not used."""

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(default=0, ge=0)


class ChunkingStrategy(RequestBody):
    """How files are cut into passages."""

    type: Literal["auto", "static"]
    static: StaticChunks | None = None

    def tokens(self) -> int:
        """Most tokens of a passage."""
        return self.static.max_chunk_size_tokens if self.static is not None else DEFAULT_TOKENS


class NewFile(RequestBody):
    """A file for a vector store."""

    file_id: Id
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class NewBatch(RequestBody):
    """Several files: `file_ids` with attributes for all of them, or `files` with attributes for each."""

    file_ids: Annotated[list[Id], Field(max_length=2000)] | None = None
    files: Annotated[list[NewFile], Field(max_length=2000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class ChangedFile(RequestBody):
    """New attributes of a file in a vector store."""

    attributes: Attributes | None = None


class NewStore(RequestBody):
    """A vector store. `shared_with` is kodolly's: ids of keys that may search it, or `*` for every key."""

    name: Annotated[str, Field(max_length=256)] = ""
    description: Annotated[str, Field(max_length=4000)] = ""
    file_ids: Annotated[list[Id], Field(max_length=500)] = []
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None
    shared_with: Annotated[list[Id], Field(max_length=1000)] = []


class ChangedStore(RequestBody):
    """Of a vector store: what is given is changed."""

    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=4000)] | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None
    shared_with: Annotated[list[Id], Field(max_length=1000)] | None = None


class RankingOptions(RequestBody):
    """There is one ranker; all names are taken."""

    ranker: str = "auto"
    score_threshold: float = Field(default=0.0, ge=0.0, le=1.0)


Question = Annotated[str, Field(min_length=1, max_length=10_000)]


class SearchRequest(RequestBody):
    """A question, or several of one meaning."""

    query: Question | Annotated[list[Question], Field(min_length=1, max_length=10)]
    max_num_results: int = Field(default=10, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False

    def questions(self) -> list[str]:
        """All of them."""
        return [self.query] if isinstance(self.query, str) else self.query


def chunking_object(tokens: int) -> dict[str, Any]:
    """How a file was cut."""
    static = {"max_chunk_size_tokens": tokens, "chunk_overlap_tokens": 0}
    return {"type": "static", "static": static}
