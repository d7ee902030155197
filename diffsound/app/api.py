"""The HTTP API, and the page that uses it."""

# Annotations are looked at when routes are made, some of them in here: they must not be put off.
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from starlette.routing import Match

from diffsound.app.answers import (
    NO_ID,
    OF_ALL,
    Created,
    Health,
    JobTold,
    ModelTold,
    created,
    faults,
    sidecar_schema,
)
from diffsound.app.api_page import api_page
from diffsound.app.guard import Guard
from diffsound.app.jobs import CANCELLED, DONE, FAILED, Job, Jobs, QueueFull
from diffsound.app.system import MOST_GUIDANCE, MOST_TAKES, NotThere, System
from diffsound.sidecar import parsed_sidecar

FILES = {
    "sound.wav": "The sound: 16 bit, mono", "sidecar.json": "All that it takes to make the clip again",
    "spectrogram.png": "Its mel spectrogram",
    "timeline.png": "Events that the sentence asks for and the package's judge hears, of sentences of scenes",
    "inside/confidence.png": "How sure the decoder was of every token, at some steps",
    "film.gif": "The clip on its way from noise"}
KINDS = {"wav": "audio/wav", "json": "application/json", "png": "image/png", "gif": "image/gif"}
MOST_PICTURES = 32  # requests that wait for one: they are made one after the other
JobId = Annotated[str, Path(alias="id", description="as POST /api/jobs gave it", max_length=64)]


def make_app(system: System, hosts: frozenset[str] | None = None) -> FastAPI:
    """The application; its thread of jobs ends with its lifespan.

    Args:
        hosts: names that requests may call it by, see `Guard`.
    """
    jobs = Jobs(system.make, system.limits.waiting, system.limits.kept)
    drawing, pictures = 0, anyio.CapacityLimiter(1)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_sync(jobs.close)

    app = FastAPI(title="Diffsound", version=version("diffsound"), docs_url=None, redoc_url=None, lifespan=lifespan,
                  responses=OF_ALL, summary="Sounds of sentences, by one bundle.")
    app.add_middleware(Guard, hosts=hosts, most=system.limits.body)
    app.state.jobs = jobs
    ask = _ask(system)

    def known(name: str) -> Job:
        if (job := jobs.get(name)) is None:
            raise HTTPException(404, f"there is no such job: its id is wrong, or it is not among the latest "
                                     f"{system.limits.kept} that are kept")
        return job

    def done(name: str) -> Job:
        job = known(name)
        state = job.state
        if state in (FAILED, CANCELLED):
            raise HTTPException(404, "there is no sound: the job "
                                     + (f"has failed ({job.error})" if state == FAILED else "was cancelled"))
        if state != DONE:
            raise HTTPException(409, f"the job is {state}: wait until it is done")
        return job

    def added(job: Job) -> dict[str, str]:
        try:
            return {"id": jobs.add(job).id}
        except QueueFull as full:
            raise HTTPException(429, str(full), {"Retry-After": str(full.retry_after)}) from full

    @app.exception_handler(RequestValidationError)
    async def unfit(_: Request, error: RequestValidationError) -> JSONResponse:
        """One sentence, without the value, which may be of any size and kind."""
        faults = [f"{'.'.join(str(part) for part in fault['loc'][1:]) or 'the body'}: {fault['msg']}"
                  for fault in error.errors()[:5]]
        return JSONResponse({"detail": "; ".join(faults)[:1000]}, 422)

    @app.exception_handler(405)
    async def not_so(request: Request, error: HTTPException) -> JSONResponse:
        """With all methods that there are: Starlette names those of the first route alone."""
        there = sorted({method for route in app.routes if route.matches(request.scope)[0] != Match.NONE
                        for method in route.methods or ()})
        return JSONResponse({"detail": f"there is no {request.method[:20]} here"}, 405, {"Allow": ", ".join(there)})

    @app.post("/api/jobs", status_code=202, response_model=Created, tags=["jobs"], dependencies=[Depends(called_json)],
              responses=created(FILES) | faults(
                  _415="the body is not called application/json", _422="something in it does not fit; which",
                  _429="the queue is full"))
    async def ask_for_a_sound(body: ask) -> dict[str, str]:
        """Put a sentence in the queue. What is left out is as the bundle has it; the seed is then 0."""
        try:
            job = system.job(body.model_dump(exclude_none=True))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return added(job)

    @app.get("/api/jobs/{id}", tags=["jobs"], response_model=JobTold, response_model_exclude_unset=True,
             responses=faults(_404="there is no such job") | NO_ID)
    async def how_a_job_is(name: JobId) -> dict[str, Any]:
        """`state` is queued (with its `place`, from 1), running (with `step` and `of`), done (with settings; of a
        replay, whether it is the `same`), failed (with the `error`) or cancelled."""
        return jobs.told(known(name))

    @app.delete("/api/jobs/{id}", tags=["jobs"], response_model=JobTold, responses=NO_ID | faults(
        _404="there is no such job", _409="it is done, or has failed, already"))
    async def cancel_a_job(name: JobId) -> dict[str, Any]:
        """One that waits leaves the queue; one that runs stops after its step."""
        job = known(name)
        if not jobs.cancel(job):
            raise HTTPException(409, f"the job is {job.state} already")
        return jobs.told(job)

    @app.post("/api/replay", status_code=202, response_model=Created, tags=["jobs"],
              dependencies=[Depends(called_json)], responses=created(FILES) | faults(
                  _415="the body is not called application/json", _422="it is no sidecar, or not of this bundle",
                  _429="the queue is full"),
              openapi_extra={"requestBody": {"required": True, "content": {"application/json": {
                  "schema": sidecar_schema()}}}})
    async def make_a_clip_again(request: Request) -> dict[str, str]:
        """Put the clip of a sidecar in the queue. The job's `replay` says whether it is the `same` to the last bit, and
        if not in what `others`; `differences` are those of bundle, versions and machine."""
        try:
            job = system.replay_job(parsed_sidecar(await request.body(), "the sidecar"))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return added(job)

    def serve_file(file: str, summary: str, kind: str, made: bool) -> None:
        schema = sidecar_schema() if kind == KINDS["json"] else {"type": "string", "format": "binary"}
        busy = {} if made else faults(_429="too many pictures are waited for")

        async def give(name: JobId) -> Response:
            job = done(name)
            data = job.files.get(file) if made else await drawn(job, file)
            return Response(data, media_type=kind)

        app.get(f"/api/jobs/{{id}}/{file}", tags=["files"], response_class=Response, name=file, summary=summary,
                responses={200: {"content": {kind: {"schema": schema}}}} | busy | NO_ID | faults(
                    _404="there is none; why", _409="the job is not done yet"))(give)

    async def drawn(job: Job, file: str) -> bytes:
        nonlocal drawing
        if file in job.files:
            return job.files[file]
        if drawing >= MOST_PICTURES:
            raise HTTPException(429, "too many pictures are asked for at once: try again", {"Retry-After": "5"})
        drawing += 1
        try:
            return await run_sync(system.picture, job, file, limiter=pictures)
        except NotThere as error:
            raise HTTPException(404, str(error)) from error
        finally:
            drawing -= 1

    for file, summary in FILES.items():
        serve_file(file, summary, KINDS[file.rpartition(".")[2]], file not in system.pictures)

    @app.get("/api/model", tags=["server"], response_model=ModelTold)
    async def the_bundle() -> dict[str, Any]:
        """The bundle that is served: its card, sampler, defaults; and what requests may ask for."""
        return system.told()

    @app.get("/healthz", tags=["server"], response_model=Health)
    async def whether_it_works() -> dict[str, str]:
        return {"status": "ok"}

    text = {name: files("diffsound.app").joinpath(f"page.{name}").read_text(encoding="utf-8")
            for name in ("html", "css", "js")}

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(text["html"])

    @app.get("/page.css", include_in_schema=False)
    async def style() -> Response:
        return Response(text["css"], media_type="text/css")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return Response(text["js"], media_type="text/javascript")

    @app.get("/api", include_in_schema=False)
    async def interface() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    return app


async def called_json(request: Request) -> None:
    """Refuse (415) a body that is not called JSON, which alone no page of another site can send without being allowed
    to: and no answer allows it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"content-type is {kind[:100]!r}, expected application/json")


def _ask(system: System) -> type[BaseModel]:
    """What `POST /api/jobs` takes, within the limits."""
    limits = system.limits
    finite = {"allow_inf_nan": False}

    def whole(**bounds: int) -> Any:
        """As JSON Schema has it: 3.0 is one."""
        return Annotated[int, Field(**bounds), BeforeValidator(
            lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)]

    return create_model("Ask", __config__=ConfigDict(extra="forbid", strict=True), __doc__="A sound to be made.",
                        text=(str, Field(min_length=1, max_length=limits.prompt, description="what should be heard")),
                        seed=(whole(ge=0, lt=2**53), Field(0, description="other numbers, other takes")),
                        steps=(whole(ge=1, le=system.most_steps_asked) | None,
                               Field(None, description="of the sampler: fewer are quicker")),
                        guidance=(float | None, Field(None, ge=0, le=MOST_GUIDANCE, **finite, description=
                                  "how strongly the text steers; 1 adds nothing to what was trained")),
                        negative=(str | None, Field(None, max_length=limits.prompt, description=
                                  "what should not be heard; needs guidance")),
                        duration=(float | None, Field(None, gt=0, le=system.longest, **finite, description=
                                  "seconds, rounded up to whole token columns")),
                        best_of=(whole(ge=1, le=MOST_TAKES), Field(1, description=
                                 "takes; of several the one is kept in which the package's judge hears most of the "
                                 "sentence, which must then be one of scenes")))
