"""The inference routes in the gateway's OpenAPI document: FastAPI does not see what the relay answers.

Only what the gateway itself reads is described. All other fields are the engine's and pass as they are
(https://docs.vllm.ai, "OpenAI-Compatible Server").
"""

from typing import Any

from server.client.routes import ROUTES, Route

SchemaFields = dict[str, object]
CHAT: SchemaFields = {"messages": {"type": "array", "items": {"type": "object"}}}
TEXT: SchemaFields = {"type": ["string", "array"]}
COUNT: SchemaFields = {"type": "integer", "minimum": 1}
FIELDS: dict[str, tuple[SchemaFields, tuple[str, ...]]] = {
    "/v1/chat/completions": (CHAT | {"max_tokens": COUNT, "max_completion_tokens": COUNT}, ("messages",)),
    "/v1/completions": ({"prompt": TEXT, "max_tokens": COUNT}, ("prompt",)),
    "/v1/responses": (
        {"input": TEXT, "max_output_tokens": COUNT, "previous_response_id": {"type": "string"}},
        ("input",),
    ),
    "/v1/messages": (CHAT | {"max_tokens": COUNT}, ("messages", "max_tokens")),
    "/v1/messages/count_tokens": (CHAT, ("messages",)),
    "/v1/embeddings": ({"input": TEXT}, ("input",)),
    "/v1/moderations": ({"input": TEXT}, ("input",)),
    "/tokenize": (CHAT | {"prompt": {"type": "string"}}, ()),
    "/detokenize": ({"tokens": {"type": "array", "items": {"type": "integer"}}}, ("tokens",)),
}
"""Engine path -> what is known of the body besides `model` and `stream`, and which of it must be there."""
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
ANSWERS = {
    "200": {"description": "The engine's answer, or its events when `stream` is true."},
    "4XX": {"description": "The request cannot be answered as it is."},
    "5XX": {"description": "No upstream could answer."},
}


def with_relayed_routes(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the relay's routes and the scheme of keys; changes it in place."""
    schemas = document.setdefault("components", {})
    schemas.setdefault("securitySchemes", {})["key"] = {"type": "http", "scheme": "bearer"}
    schemas.setdefault("schemas", {})["OpenAIError"] = ERROR
    for path, route in ROUTES.items():
        document["paths"][path] = {"post": _operation(route)}
    response_id = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}
    for path, method, summary in (
        ("/v1/responses/{response_id}", "get", "A stored response, from the worker that made it"),
        ("/v1/responses/{response_id}/cancel", "post", "Cancel a response that runs in the background"),
    ):
        document["paths"][path] = {method: _answered({"summary": summary, "parameters": [response_id]})}
    return document


def _operation(route: Route) -> dict[str, object]:
    fields, needed = FIELDS.get(route.engine_path, ({}, ()))
    properties: dict[str, object] = {"model": {"type": "string"}, **fields}
    if route.dialect != "openai" or route.counts_usage:
        properties["stream"] = {"type": "boolean"}
    kind = "application/json"
    if route.multipart:
        kind, properties["file"] = "multipart/form-data", {"type": "string", "format": "binary"}
        needed = ("file",)
    schema = {
        "type": "object",
        "required": ["model", *needed],
        "properties": properties,
        "additionalProperties": True,
    }
    body = {"required": True, "content": {kind: {"schema": schema}}}
    return _answered({"summary": f"Relayed to the model's worker: {route.engine_path}", "requestBody": body})


def _answered(operation: dict[str, object]) -> dict[str, object]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    responses = {
        status: answer if status == "200" else answer | {"content": error}
        for status, answer in ANSWERS.items()
    }
    return {"tags": ["inference"], "security": [{"key": []}], **operation, "responses": responses}
