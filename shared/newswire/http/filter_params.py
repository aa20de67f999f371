"""The filter of a live stream or a page of events, as query parameters."""

from collections.abc import Collection

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from newswire.filter_input import FilterInput
from newswire.filters import PARAMETERS, Filter
from newswire.http.problems import FieldError, field_errors, invalid_fields
from newswire.http.request_parsing import parse_scalar_params

_INPUT: TypeAdapter[Filter] = TypeAdapter(FilterInput)


def filter_from_params(params: QueryParams, allowed_extra: Collection[str] = ()) -> Filter:
    """Read the filter of a live stream from its query parameters.

    Raises:
        newswire.http.problems.ProblemError: 422 for an unknown parameter, a repeated scalar one, or an invalid value.
    """
    parse_scalar_params(params, ("q", *allowed_extra), tuple(PARAMETERS))
    values: dict[str, object] = {field: params.getlist(name) for name, field in PARAMETERS.items()}
    try:
        return _INPUT.validate_python(values | {"query": params.get("q")})
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False, include_input=False))
        raise invalid_fields([_of_parameter(each) for each in found]) from None


def _of_parameter(error: FieldError) -> FieldError:
    """Return the error with the name of the query parameter in place of the filter field."""
    field = error.field.partition(".")[0]
    names = {filled: name for name, filled in PARAMETERS.items()} | {"query": "q"}
    return FieldError(names.get(field, field), error.problem, error.fix)
