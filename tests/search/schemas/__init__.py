"""The published rules of what programs read: feeds, sitemaps and linked data, each in a schema language."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from lxml import etree

HERE = Path(__file__).parent


def faults_of_xml(document: bytes, schema: str) -> list[str]:
    """Return what a RELAX NG schema finds wrong with a document."""
    rules = etree.RelaxNG(etree.parse(str(HERE / f"{schema}.rng")))
    rules.validate(etree.fromstring(document))
    return [f"{error.path}: {error.message}" for error in rules.error_log]


def faults_of_json(document: Any, schema: str) -> list[str]:
    """Return what a JSON schema finds wrong with a document."""
    validator = Draft202012Validator(json.loads((HERE / f"{schema}.json").read_text()))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
