"""The page as a server on this machine only."""

from __future__ import annotations

import os
from pathlib import Path

# Before Gradio is imported: nothing is sent anywhere.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from advcam.app.explain import Explainer
from advcam.app.explain_tab import explain_tab
from advcam.app.review_tab import KEYS, SCRIPT, review_tab
from advcam.app.run_tab import run_tab
from advcam.app.uploads import MAX_BYTES, within
from advcam.errors import DataError, SettingsError
from advcam.review.desk import Desk

HOST = "127.0.0.1"
# Names by which a browser on this machine may call it: a page elsewhere that points its own name here is refused.
OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
WAITING = 200


def build(explainer: Explainer | None, desk: Desk | None, run: Path | None, images: int = 0) -> gr.Blocks:
    """The page, with a tab for each thing that is there; of a run of so many images."""
    with gr.Blocks(title="advcam", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown("# advcam\nMasks from class labels, on this machine.")
        if explainer is not None:
            with gr.Tab("Explain"):
                explain_tab(explainer)
        if desk is not None:
            with gr.Tab("Review"):
                review_tab(desk)
        if run is not None:
            with gr.Tab("Run"):
                run_tab(run, images)
    return page.queue(max_size=WAITING)


def application(page: gr.Blocks, run: Path | None) -> FastAPI:
    """The web application: the page at /, and of the run folder its report alone, at /report."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def own_names_only(request: Request, go_on: object) -> Response:
        name = request.headers.get("host", "").rsplit(":", 1)[0]
        if name not in OWN_NAMES:
            return PlainTextResponse("this page answers on 127.0.0.1 only", status_code=403)
        return await go_on(request)  # type: ignore[operator]

    @app.get("/report")
    def report() -> Response:
        try:
            file = within(run, "report.html") if run is not None else None
        except DataError:
            file = None
        if file is None:
            return PlainTextResponse("there is no report yet: advcam report writes it", status_code=404)
        return FileResponse(file, media_type="text/html")

    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        max_file_size=MAX_BYTES,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        allowed_paths=[],
        head=SCRIPT.replace("%s", str(KEYS)),
    )


def serve(page: gr.Blocks, run: Path | None, port: int) -> None:
    """Answer until Ctrl-C.

    Raises:
        SettingsError: the port is taken.
    """
    import socket

    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise SettingsError(f"port {port} is taken: choose another one with --port")
    uvicorn.run(application(page, run), host=HOST, port=port, log_level="warning")
