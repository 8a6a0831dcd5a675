"""fovea serve, mcp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import DataDir, Url, message, opened, settings_for, settings_of_index
from service.cli.printing import print_report
from service.cli.progress import ProgressLine


def register(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(mcp)


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address; other than loopback needs an API key.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = None,
    ingest: Annotated[list[str] | None, typer.Option("--ingest", help="Index this first; can be repeated.")] = None,
    samples: Annotated[str | None, typer.Option("--samples", help="Index this only if nothing is indexed yet.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API and the web page.

    Example: `fovea serve --port 8000 --ingest docs/`
    """
    from importlib.metadata import version

    from service.api.binding import check_binding
    from service.api.server import listening, run_server
    from service.bootstrap import build_server

    settings = settings_for(data_dir)
    host, port = host or settings.server.host, settings.server.port if port is None else port
    listening(host, port).close()  # a port that is taken is better known before the documents are indexed than after
    with build_server(settings, on_message=message) as server:
        check_binding(host, server.keys.has_keys)
        inputs = list(ingest or [])
        if samples and not server.engine.list_documents(limit=1):
            inputs.append(samples)
        if inputs:
            with ProgressLine("files", "chunks") as line:
                report = server.engine.ingest(inputs, progress=line.follow)
            print_report(report)
        run_server(server, host, port, version=version("fovea-rag"))


def mcp(
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP on loopback instead of stdio.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of --http.")] = 8001,
    data_dir: DataDir = None,
    url: Url = None,
) -> None:
    """Serve `search`, `ask` and `list_documents` to MCP clients.

    Example: `fovea mcp --data-dir ~/notes/.fovea`
    """
    from importlib.metadata import version

    from service.mcp_server import create_mcp_server
    from service.mcp_stdio import run_over_stdio

    if http:
        _mcp_over_http(port, data_dir, url)
        return
    with opened(data_dir, url) as engine:
        run_over_stdio(create_mcp_server(engine, version("fovea-rag")))


def _mcp_over_http(port: int, data_dir: Path | None, url: str | None) -> None:
    """Keys are asked for as `fovea serve` does: once one was made, everybody needs one."""
    from importlib.metadata import version

    from service.api.mcp import bound_to_caller
    from service.api.mcp_process import run_mcp
    from service.bootstrap import build_server
    from service.keys import KeyRing, NoKeys

    release = version("fovea-rag")
    if url is None:
        with build_server(settings_of_index(data_dir), on_message=message) as server:
            message(f"MCP over HTTP on http://127.0.0.1:{port}/mcp")
            run_mcp(bound_to_caller(server.tenants), server.keys, port, release)
        return
    key = settings_for(None).server.api_key
    with opened(data_dir, url) as engine:
        message(f"MCP over HTTP on http://127.0.0.1:{port}/mcp")
        run_mcp(lambda _: engine, KeyRing(NoKeys(), key.get_secret_value() if key else None), port, release)
