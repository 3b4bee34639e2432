"""The parts that the JSON schemas of the API are made of."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}
TIME: Schema = {"type": "string", "format": "date-time", "examples": ["2026-11-24T05:00:00Z"]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    if not schema.keys().isdisjoint(("anyOf", "enum", "$ref")):
        return either(schema, {"type": "null"})
    return schema | {"type": [schema["type"], "null"]}


def either(schema: Schema, other: Schema) -> Schema:
    """One of two schemas; what the first says besides of its value holds for both."""
    said: Schema = {name: schema[name] for name in ("description", "default") if name in schema}
    rest = {name: value for name, value in schema.items() if name not in said}
    return {"anyOf": [*rest.get("anyOf", [rest]), other], **said}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def record(**properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def page(name: str, item: str) -> Schema:
    cursor = maybe(TEXT) | {"description": "`after` of the following page; null: this is the last one"}
    return record(**{name: array(ref(item)), f"{name}_count": WHOLE, "next": cursor})
