"""Which licences of data allow commercial use, by the names they go by."""

import re

_ALLOWS = re.compile(
    r"(?:apache|mit|bsd|isc|cc0|ccby|ccbysa|ccbynd|odcby|odbl|pddl|cdla|publicdomain|unlicense|unlicence|wtfpl|공공누리제?1|kogl(?:type)?1)"
)
_FORBIDS = re.compile(r"nc(?:sa|nd)?[\d.]*(?:kr)?$|noncommercial|non-commercial|비영리|비상업|research|연구")
_MAY_NOT_BE_PASSED_ON = re.compile(r"bynd|aihub|openai")


def allows_commercial_use(licence: object) -> bool:
    """Whether a `meta.licence` names only licences that allow commercial use; an unknown one does not."""
    if not isinstance(licence, str) or not licence.strip():
        return False
    return all(
        _allows(_plain(part)) for part in re.split(r"\s(?:\+|and|및)\s|[,;&/]", licence) if part.strip()
    )


def may_be_passed_on(licence: object) -> bool:
    """False where converted rows may not be published: no-derivatives licences, AI-Hub, OpenAI's terms."""
    return not (isinstance(licence, str) and _MAY_NOT_BE_PASSED_ON.search(_plain(licence)))


def _allows(licence: str) -> bool:
    return _ALLOWS.match(licence) is not None and _FORBIDS.search(licence) is None


def _plain(licence: str) -> str:
    return re.sub(r"[\s_\-()]|licen[cs]e", "", licence.lower())
