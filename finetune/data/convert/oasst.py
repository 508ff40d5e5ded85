"""OpenAssistant's message trees (OASST1, OASST2): a prompt, several replies each, ranked by people.

A tree becomes one row: its best path, where each reply is the best ranked one. As preference data it gives a
pair for each prompt with at least two ranked replies: the best and the worst.
"""

from collections.abc import Iterable, Iterator

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    SourceMessage,
    UnusableRecord,
    conversation,
    is_text,
    pair,
    row,
)
from finetune.data.convert.turns import SPEAKERS

Node = Record


def is_tree(record: Record) -> bool:
    prompt = record.get("prompt")
    return isinstance(prompt, dict) and is_text(prompt, "text", "role") and "message_tree_id" in record


def is_flat_message(record: Record) -> bool:
    known = is_text(record, "message_id", "message_tree_id", "text", "role") and "parent_id" in record
    return known and isinstance(record["parent_id"], str | None)


def tree_rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object] | UnusableRecord]:
    """The rows (or pairs) of `{message_tree_id, prompt: {text, role, replies: [...]}}`."""
    root = record.get("prompt")
    if not isinstance(root, dict) or not is_text(root, "text", "role"):
        raise UnusableRecord("the tree has no prompt", broken=True)
    facts = {**options.meta, "id": record.get("message_tree_id")}
    if isinstance(root.get("lang"), str):
        facts["lang"] = root["lang"]
    if options.pairs:
        yield from _pairs(root, facts)
        return
    path: list[SourceMessage] = []
    node: Node = root
    while True:
        path.append(_message(node))
        replies = _replies(node)
        if not replies:
            break
        node = replies[0]
    said = conversation(path)
    yield row(said.instruction, said.response, facts, history=said.history)


def message_rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object] | UnusableRecord]:
    """The same for `{message_tree_id, messages: [...]}`: flat messages of a tree, gathered on reading."""
    nodes = {message["message_id"]: {**message, "replies": []} for message in record["messages"]}
    roots = []
    for node in nodes.values():
        parent = node.get("parent_id")
        if not parent:
            roots.append(node)
        elif parent in nodes:
            nodes[parent]["replies"].append(node)
        else:
            reason = f"message {node['message_id']} answers {parent}, which does not stand with its tree"
            yield UnusableRecord(f"{reason}: sort the file by message_tree_id")
    for root in roots:
        yield from tree_rows({"message_tree_id": record["message_tree_id"], "prompt": root}, options)


def gather_trees(
    messages: Iterable[tuple[int, Record | UnusableRecord]],
) -> Iterator[tuple[int, Record | UnusableRecord]]:
    """Flat messages as records `{message_tree_id, messages}`, each with the line of its first message.

    Published files hold a tree's messages together, so one tree is in memory at a time.
    """
    tree: list[Record] = []
    first = 0
    for number, message in messages:
        if isinstance(message, UnusableRecord) or not is_flat_message(message):
            wrong = (
                message
                if isinstance(message, UnusableRecord)
                else UnusableRecord("not a message", broken=True)
            )
            yield number, wrong
            continue
        if tree and message["message_tree_id"] != tree[0]["message_tree_id"]:
            yield first, {"message_tree_id": tree[0]["message_tree_id"], "messages": tree}
            tree = []
        if not tree:
            first = number
        tree.append(message)
    if tree:
        yield first, {"message_tree_id": tree[0]["message_tree_id"], "messages": tree}


def _pairs(root: Node, facts: dict[str, object]) -> Iterator[dict[str, object] | UnusableRecord]:
    stack: list[tuple[Node, list[SourceMessage]]] = [(root, [])]
    while stack:
        node, before = stack.pop()
        path = [*before, _message(node)]
        replies = _replies(node)
        if path[-1].role == "user":
            ranked = [reply for reply in replies if _rank(reply) < float("inf")]
            if len(ranked) > 1:
                try:
                    best = conversation([*path, _message(ranked[0])])
                    worst = conversation([*path, _message(ranked[-1])])
                    own = {**facts, "id": node.get("message_id", facts["id"])}
                    yield pair(best.instruction, best.response, worst.response, own, history=best.history)
                except UnusableRecord as reason:
                    yield reason
        stack.extend((reply, path) for reply in reversed(replies))


def _replies(node: Node) -> list[Node]:
    """The replies that people let stand, best rank first; those without a rank come last, in their order."""
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise UnusableRecord(
            f"message {node.get('message_id')} has replies that are no messages", broken=True
        )
    kept = [r for r in replies if not r.get("deleted") and r.get("review_result") is not False]
    return sorted(kept, key=_rank)


def _rank(reply: Node) -> float:
    """0 is the best; a reply that nobody ranked comes after all others."""
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")


def _message(node: Node) -> SourceMessage:
    role = SPEAKERS.get(str(node.get("role")).lower())
    if role is None or not isinstance(node.get("text"), str):
        raise UnusableRecord(f"message {node.get('message_id')} has no text or an unknown role", broken=True)
    return SourceMessage(role, node["text"].strip())
