"""Problems in the OpenAPI document, and `Allow` for unsupported methods."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, ValidationError
from redis.asyncio import Redis

from newswire.auth.authentication import authorised, reader
from newswire.auth.credentials import Caller, Scope
from newswire.http.application import Service, create_app
from newswire.http.problem_responses import problems
from newswire.http.request_parsing import ParsedBody, json_body
from newswire.settings import Settings
from newswire.validation.fields import WHOLE, Flag


class Draft(BaseModel):
    count: Annotated[int, Field(ge=0, le=9), WHOLE] = 1
    active: Flag = False


def routes() -> APIRouter:
    router = APIRouter(prefix="/v1/ferries")

    @router.post("", responses=problems("account-exists", "account-disabled"))
    async def add(
        caller: Annotated[Caller, Depends(authorised(Scope.ADMIN))],
        sent: Annotated[ParsedBody[Draft], Depends(json_body(Draft))],
    ) -> None: ...

    @router.get("")
    async def find_all(caller: Annotated[Caller | None, Depends(reader)], cursor: str = "") -> None: ...

    @router.get("/{ferry_id}")
    async def find(ferry_id: str) -> None: ...

    @router.post("/preview")
    async def preview() -> None: ...

    @router.delete("/{ferry_id}")
    async def remove(ferry_id: str) -> None: ...

    return router


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = create_app([Service("ferries", [routes()])], Settings(), redis=Redis())  # never connected
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/ferries", "GET, POST"), ("/v1/ferries/f1", "DELETE, GET"), ("/v1/ferries/preview", "POST")],
)
async def test_405_lists_the_supported_methods(http: httpx.AsyncClient, path: str, methods: str) -> None:
    for method in ("TRACE", "OPTIONS", "PUT"):
        answer = await http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods), method


async def test_operations_declare_their_problems(http: httpx.AsyncClient) -> None:
    paths: dict[str, Any] = (await http.get("/openapi.json")).json()["paths"]
    add, find_all = paths["/v1/ferries"]["post"]["responses"], paths["/v1/ferries"]["get"]["responses"]
    assert {"400", "401", "403", "409", "413", "414", "415", "422", "429", "503"} <= add.keys()
    assert {"400", "401", "403", "410", "422", "429", "503"} <= find_all.keys()
    assert "404" in paths["/v1/ferries/{ferry_id}"]["delete"]["responses"]
    assert "[`account-exists`](/problems/account-exists)" in add["409"]["description"]
    assert "account-disabled" in add["409"]["description"]
    assert "invalid-cursor" in find_all["400"]["description"]
    assert add["401"]["headers"]["WWW-Authenticate"]["required"]
    assert add["429"]["headers"]["Retry-After"]["required"]
    for responses in (add, find_all):
        for status, response in responses.items():
            if status not in ("200", "default"):
                assert response["content"].keys() == {"application/problem+json"}


@pytest.mark.parametrize("value", [True, "5", "0x5", 5.5, None])
def test_an_integer_is_a_number(value: Any) -> None:
    with pytest.raises(ValidationError):
        Draft.model_validate({"count": value})
    assert Draft.model_validate({"count": 5.0}).count == 5
    assert {"type": "integer", "minimum": 0, "maximum": 9}.items() <= Draft.model_json_schema()["properties"][
        "count"
    ].items()


@pytest.mark.parametrize("value", [0, 1, "true", "no", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(ValidationError):
        Draft.model_validate({"active": value})
