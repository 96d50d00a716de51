"""The API's description of itself, as OpenAPI."""

from __future__ import annotations

from typing import Any

from runtime.serve.limits import Limits
from runtime.serve.networks import Networks

_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_READ = ("image/jpeg", "image/png", "image/webp", "image/tiff", "image/avif", "image/heic", "application/octet-stream")
_WRITTEN = ("image/jpeg", "image/png", "image/webp")


def document(networks: Networks, limits: Limits) -> dict[str, Any]:
    """The document for the networks that are offered and the limits that hold."""
    from runtime import __version__

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "retinexrt",
            "version": __version__,
            "description": "Bright and clean pictures from dark ones.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/enhance": {"post": _enhance(networks, limits)},
            "/networks": {"get": _networks()},
        },
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string", "description": "What was found, and what was expected."}},
                }
            }
        },
    }


def _enhance(networks: Networks, limits: Limits) -> dict[str, Any]:
    names = [network["name"] for network in networks.listed()]
    return {
        "operationId": "enhance",
        "summary": "Enhance a picture",
        "description": (
            "The answer has the format of the picture where that is JPEG, PNG or WebP, and is PNG for others. "
            "It stands upright, and its colour profile, EXIF data, alpha channel and 16 bits are kept."
        ),
        "parameters": [
            _parameter("network", {"type": "string", "enum": names, "default": networks.default}, "What enhances it."),
            _parameter(
                "strength", {"type": "number", "minimum": 0, "maximum": 1, "default": 1}, "0: the picture, 1: the network's."
            ),
            _parameter("gate", {"type": "boolean", "default": False}, "Leave the picture alone if it is bright enough."),
            _parameter("name", {"type": "string"}, "The file's name, for messages; raw photographs are known by its ending."),
        ],
        "requestBody": {"required": True, "content": dict.fromkeys(_READ, _PICTURE)},
        "responses": {
            "200": {
                "description": "The enhanced picture.",
                "headers": {
                    "Retinexrt-Network": {"schema": {"type": "string"}, "description": "What enhanced it."},
                    "Retinexrt-Note": {"schema": {"type": "string"}, "description": "What could not be kept, percent-encoded."},
                },
                "content": dict.fromkeys(_WRITTEN, _PICTURE),
            },
            "400": _error("A parameter is wrong, or the body is empty."),
            "403": _error("A page of another site asked."),
            "408": _error("The upload took too long."),
            "413": _error(f"More than {limits.upload:,} bytes, or {limits.pixels:,} pixels."),
            "415": _error("Not a picture, a damaged one, or of a kind that is not read here."),
            "421": _error("The Host is not a name of this server."),
            "422": _error("The network does not take a picture of this size."),
            "429": _error(f"{limits.jobs} pictures are enhanced, and {limits.waiting} wait."),
            "500": _error("The server failed."),
            "503": _error(f"Not done within {limits.seconds:g} seconds, or too little memory."),
        },
    }


def _networks() -> dict[str, Any]:
    strings = {"type": "string"}
    item = {"type": "object", "required": ["name", "title"], "properties": {"name": strings, "title": strings}}
    content = {"application/json": {"schema": {"type": "array", "items": item}}}
    return {
        "operationId": "networks",
        "summary": "The networks, the default first",
        "responses": {"200": {"description": "Names and titles.", "content": content}},
    }


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _error(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": description, "content": content}
