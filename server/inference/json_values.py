"""Looking into JSON that an engine or a client wrote: any value may stand where another is expected."""


def objects(value: object) -> list[dict[str, object]]:
    """The objects of an array; none where `value` is something else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
