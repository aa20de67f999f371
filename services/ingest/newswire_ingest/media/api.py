"""The publishers' API for images."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import PageParams, json_answer, next_cursor, requested_position
from newswire.http.problem_responses import problems
from newswire.http.problems import malformed
from newswire.http.request_parsing import (
    NoParameters,
    ParsedBody,
    check_single_headers,
    json_body,
    query_params,
    single_headers,
)
from newswire_ingest.limits.dependencies import publishing
from newswire_ingest.media.schemas import MediaList, MediaTexts, MediaView, media_view
from newswire_ingest.media.service import MediaService
from newswire_ingest.media.upload_form import FormUpload, is_form

PATH = "/v1/media"
Publisher = Annotated[Caller, Depends(publishing)]
Owner = Annotated[Caller, Depends(authorised(Scope.PUBLISH))]
MediaId = Annotated[str, Path(description="The id from the response to the upload.")]
_BINARY = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The image itself, whatever its `Content-Type`; or a form, whose texts count instead of the query's.",
        "content": {
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": _BINARY,
                        "alt": {"type": "string", "maxLength": 1000},
                        "caption": {"type": "string", "maxLength": 1000},
                        "credit": {"type": "string", "maxLength": 300},
                    },
                }
            },
        },
    }
}


def router(media: MediaService) -> APIRouter:
    """Return the paths under ``/v1/media``."""
    routes = APIRouter(prefix=PATH, tags=["media"])

    @routes.post(
        "",
        status_code=201,
        response_model=MediaView,
        summary="Upload an image",
        responses={
            200: {"model": MediaView, "description": "Your account has this image already: as it is"},
            **problems("malformed", "too-large", "unsupported-media-type", "invalid", "rate-limited"),
        },
        openapi_extra=_UPLOAD,
    )
    async def upload(
        request: Request,
        caller: Publisher,
        texts: Annotated[MediaTexts, Depends(query_params(MediaTexts))],
    ) -> Response:
        check_single_headers(request)
        _check_uncompressed(request)
        by = request_actor(caller, request)
        if is_form(request):
            form = FormUpload(request, media.max_bytes)
            stored, is_new = await media.store(caller.account, by, form.stream(), form.text)
        else:
            stored, is_new = await media.store(caller.account, by, request.stream(), texts.media_text)
        location = {"Location": f"{PATH}/{stored.id}"}
        return json_answer(media_view(stored, media.site), 201 if is_new else 200, location)

    @routes.get("", response_model=MediaList, operation_id="listMedia", summary="List your images")
    async def read_list(
        request: Request,
        caller: Owner,
        _: Annotated[None, Depends(single_headers)],
        params: Annotated[PageParams, Depends(query_params(PageParams))],
    ) -> Response:
        position = await requested_position(request, caller)
        page = await media.list(caller.account, position=int(position) if position else None, limit=params.limit)
        following = await next_cursor(request, caller, str(page.next_position) if page.next_position else None)
        return json_answer({"media": [media_view(each, media.site) for each in page.media], "next_cursor": following})

    @routes.get("/{media_id}", response_model=MediaView, summary="Read one of your images")
    async def read(caller: Owner, _: NoParameters, media_id: MediaId) -> Response:
        return json_answer(media_view(await media.find(caller.account, media_id), media.site))

    @routes.patch(
        "/{media_id}",
        response_model=MediaView,
        summary="Change what is said about an image; articles that were published keep their texts",
        responses=problems("rate-limited"),
    )
    async def change(
        request: Request,
        caller: Publisher,
        sent: Annotated[ParsedBody[MediaTexts], Depends(json_body(MediaTexts))],
        media_id: MediaId,
    ) -> Response:
        text = sent.model.media_text()
        by = request_actor(caller, request)
        changed = await media.update(
            caller.account, by, media_id, alt=text.alt, caption=text.caption, credit=text.credit
        )
        return json_answer(media_view(changed, media.site))

    @routes.delete(
        "/{media_id}",
        status_code=204,
        summary="Delete an image that no article and no draft uses",
        responses=problems("media-in-use", "rate-limited"),
    )
    async def remove(request: Request, caller: Publisher, _: NoParameters, media_id: MediaId) -> Response:
        await media.delete(caller.account, request_actor(caller, request), media_id)
        return Response(status_code=204)

    return routes


def _check_uncompressed(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise malformed("Content-Encoding", "is not supported here", "send the image as it is, without this header")
