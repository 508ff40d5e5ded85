"""W28: through the service, every answer is the engine's own."""

import pytest

from tests.support.conformance.differential import CASES, Case, comparable, differences
from tests.support.conformance.endpoint import Endpoint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_w28_the_answer_is_the_engines_own(endpoint: Endpoint, case: Case) -> None:
    """W28: the same request straight to the engine and through the service gives the same, at temperature 0
    (or with a seed); ids and times aside, and errors in OpenAI's words."""
    endpoint.need(*case.needs)
    model = endpoint.model_embed if case.embed else endpoint.model
    service = endpoint.direct.get(model or "")
    if service is None:
        pytest.skip("not applicable: the engine behind it cannot be asked directly")
    direct = service.ask(case, model or "")
    through = endpoint.service().ask(case, model or "")
    assert differences(comparable(direct, case), comparable(through, case)) == ""
