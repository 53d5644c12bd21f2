"""Requests that schemathesis makes up from the API's own description: none is a fault of the server."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
CALM = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_sent_is_answered_as_described(server, terminal, mode):
    url = f"http://{server[0]}:{server[1]}"
    operations = [found.ok() for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()]
    assert {operation.label for operation in operations} == {
        *("GET /healthz", "GET /readyz", "GET /metrics", "GET /v1/model", "POST /v1/predict")
    }
    asked = []
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # nothing could be wrong with it

        @CALM
        @given(case=operation.as_strategy(mode))
        def answered(case):
            response = case.call()
            asked.append(response.status_code)
            case.validate_response(response, checks=CHECKS)

        answered()
    assert len(asked) > 30
    assert terminal.read_text() == ""
