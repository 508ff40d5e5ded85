"""The order of upstreams for one request: by its conversation, so that an engine knows its beginning."""

import msgspec
from starlette.types import Scope

from common.errors import ModelNotReady
from common.registry import Split
from server.client import request
from server.client.request import RequestHead
from server.client.routes import RESPONSES
from server.inference.admission import Incoming
from server.inference.identity import SESSION_HEADER, identity_of
from server.inference.job import Job
from server.inference.outbound import RESPONSE_ID
from server.inference.stored_response import owner_of
from server.upstreams.affinity import affinity_hash
from server.upstreams.arms import choose_arm
from server.upstreams.choice import candidates, has_choice
from server.upstreams.directory import Directory
from server.upstreams.upstream import DOCUMENTS_ID, Upstream


def arm_for(directory: Directory, split: Split, incoming: Incoming, head: RequestHead, key_id: str) -> str:
    """The model behind a split name: the one that has the conversation, else the client's own arm. Raises
    NotFound when the conversation is gone."""
    previous = head.previous_response_id
    if incoming.route is RESPONSES and isinstance(previous, str) and RESPONSE_ID.fullmatch(previous):
        owner = owner_of(previous, key_id, directory.upstreams())
        for arm in split.arms:
            if arm.model in owner.models:
                return arm.model
    identity = identity_of(incoming.scope, head, key_id, split.sticky)
    return choose_arm(directory, head.model, split, identity)


def candidates_for(directory: Directory, job: Job, scope: Scope, target: str) -> list[Upstream]:
    """Who may be asked for the model `target`, best first. Raises ApiError when there is nobody."""
    assert job.body is not None
    head = job.body.head
    previous = head.previous_response_id
    if job.route is RESPONSES and isinstance(previous, str) and RESPONSE_ID.fullmatch(previous):
        # the engine that has the conversation
        return [owner_of(previous, job.key_id, directory.upstreams())]
    if job.route is RESPONSES and searches_files(head.tools) and (service := _documents(directory, target)):
        return [service]
    if not has_choice(directory, target):
        return candidates(directory, target)
    session = request.header(scope, SESSION_HEADER)
    if session is not None:
        return candidates(directory, target, affinity_hash(session.encode()))
    prefix = request.conversation_prefix(head)
    if not prefix:
        return candidates(directory, target)
    return candidates(directory, target, affinity_hash(job.key_id.encode(), target.encode(), prefix))


def searches_files(tools: msgspec.Raw) -> bool:
    """Whether a request wants passages of vector stores: these are the documents service's."""
    if b'"file_search"' not in memoryview(tools).tobytes():
        return False
    try:
        return any(tool.type == "file_search" for tool in _tools.decode(tools))
    except msgspec.MsgspecError:
        return False  # the engine says what is wrong with them


def _documents(directory: Directory, target: str) -> Upstream | None:
    """The documents service, for models of the house; a provider searches its own stores. Raises
    ModelNotReady while it does not answer."""
    service = directory.static.get(DOCUMENTS_ID)
    if service is None or candidates(directory, target)[0].kind == "external":
        return None
    if service.state != "ready":
        raise ModelNotReady("The documents service does not answer.", headers={"retry-after": "5"})
    return service


class _Tool(msgspec.Struct):
    type: str


_tools = msgspec.json.Decoder(list[_Tool])
