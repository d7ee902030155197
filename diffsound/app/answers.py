"""What the API answers, as its description has it: nothing else is in an answer."""

# Annotations are looked at when models are made: they must not be put off.
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from diffsound.checked_json import json_schema
from diffsound.sidecar import FORMAT, SHAPE


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Fault(Answer):
    """Why there is no other answer."""

    detail: str


class Created(Answer):
    """A job that waits."""

    id: str


class Sampler(Answer):
    """How tokens are drawn."""

    class_path: str
    init_args: dict[str, Any]


class Replay(Answer):
    """How a clip compares with its sidecar."""

    same: bool
    others: list[str]
    differences: list[str]


class Chosen(Answer):
    """Among how many takes a clip was, how much of its sentence is heard in it, 0 to 1, and by whom."""

    of: int
    score: float
    by: str


class Told(Answer):
    id: str
    text: str


class Queued(Told):
    state: Literal["queued"]
    place: int = Field(ge=1)


class Running(Told):
    state: Literal["running"]
    step: int = Field(ge=0)
    of: int | None


class Done(Told):
    state: Literal["done"]
    seconds: float
    seed: int = Field(description="of the clip: of several takes that of the one that was kept")
    negative: str | None
    sampler: Sampler
    duration: float
    chosen: Chosen = Field(None, description="where there were several takes")
    replay: Replay = Field(None, description="of a replay alone")


class Failed(Told):
    state: Literal["failed"]
    error: str


class Cancelled(Told):
    state: Literal["cancelled"]


JobTold = Annotated[Queued | Running | Done | Failed | Cancelled, Field(discriminator="state")]


class Defaults(Answer):
    """Of what a job leaves out."""

    seed: int
    steps: int | None
    guidance: float
    duration: float


class Most(Answer):
    """Of what requests may ask for: characters, steps, seconds, takes, jobs, bytes."""

    prompt: int
    steps: int | None
    guidance: float
    duration: float
    seed: int
    best_of: int
    waiting: int
    kept: int
    body: int


class ModelTold(Answer):
    """The bundle that is served."""

    name: str | None
    revision: str | None
    card: str
    parts: dict[str, str]
    sampler: Sampler
    sample_rate: int
    defaults: Defaults
    limits: Most
    inside: bool


class Health(Answer):
    status: Literal["ok"]


def faults(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """Of a description: answers `_STATUS="reason"` that are no success."""
    described = {int(status[1:]): {"model": Fault, "description": reason} for status, reason in reasons.items()}
    if 429 in described:
        described[429]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1},
                                                     "description": "seconds, about"}}
    return described


def created(files: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    """Of a description: where the new job's id leads, to it and to its `files`."""
    paths = {"the job": "", **{file: f"/{file}" for file in files}}
    return {202: {"links": {name: {
        "operationRef": "#/paths/" + f"/api/jobs/{{id}}{path}".replace("/", "~1") + "/get",
        "parameters": {"id": "$response.body#/id"}} for name, path in paths.items()}}}


def sidecar_schema() -> dict[str, Any]:
    """JSON Schema of a sidecar; that its values fit together is beyond it."""
    schema = json_schema(SHAPE)
    schema["properties"]["format"]["const"] = FORMAT
    return {"description": "a sidecar, as it is", **schema}


OF_ALL = faults(_400="it names another host than this one, or its body cannot be read",
                _408="its body does not come", _413="its body is too long")
NO_ID = faults(_422="the id is longer than any")
