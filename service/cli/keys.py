"""fovea keys create, list, revoke, prune, tenant. They work beside a running server, which notices within a second."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from domain.access import PUBLISHABLE_LIMITS, KeyInfo, Limits, Scope
from domain.search import DEFAULT_TENANT
from service.cli.options import DataDir, Json, message, settings_for, settings_of_index
from service.cli.printing import out, plain, print_json

_NO_LIMIT = -1  # what an option says where a limit is to be taken away

TenantName = Annotated[str, typer.Option("--tenant", help="Whose documents the key opens; a new name is a new tenant.")]
Requests = Annotated[int | None, typer.Option("--requests-per-minute", min=_NO_LIMIT, help="Quota of requests.")]
Tokens = Annotated[int | None, typer.Option("--tokens-per-day", min=_NO_LIMIT, help="Quota of prompts and answers.")]
Body = Annotated[int | None, typer.Option("--body-bytes", min=_NO_LIMIT, help="Larger requests get 413.")]

_HELP = """Make, list and revoke keys; suspend and limit tenants.

Example: `fovea keys create --tenant acme --name website`
"""

keys = typer.Typer(no_args_is_help=True, help=_HELP)


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    tenant: TenantName = DEFAULT_TENANT,
    name: Annotated[str, typer.Option("--name", help="What the key is for, to know it again in the list.")] = "",
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="chat, read (default), write or admin; can be repeated. read includes chat."),
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option("--collection", help="The key opens only this one; can be repeated.")
    ] = None,
    expires: Annotated[float | None, typer.Option("--expires", min=0.0, help="Days until it stops working.")] = None,
    publishable: Annotated[
        bool, typer.Option("--publishable", help="For a page's source: search and chat in one collection.")
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="A page that may use a publishable key; can be repeated.")
    ] = None,
    requests_per_minute: Requests = None,
    tokens_per_day: Tokens = None,
    body_bytes: Body = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key. It is shown now and never again.

    Example: `fovea keys create --name ci --scope read --scope write --expires 90`
    """
    from service.bootstrap import open_keys
    from service.keys import new_key
    from service.storage.collections import check_collection_name

    for item in collection or ():
        check_collection_name(item)
    before = PUBLISHABLE_LIMITS if publishable else None
    info, secret_hash, key = new_key(
        tenant,
        name=name,
        scopes=frozenset(scope or ()),
        collections=frozenset(collection) if collection else None,
        expires_days=expires,
        origins=tuple(origin or ()),
        publishable=publishable,
        limits=_changed(before, requests_per_minute, tokens_per_day, body_bytes),
    )
    settings = settings_for(data_dir)
    with open_keys(settings) as store:
        first = settings.server.api_key is None and not store.any_exist()
        store.add(info, secret_hash)
    if json:
        print_json({**_shown(info), "key": key})
    else:
        out.print(key)
        message(f"Key {info.id} of tenant {info.tenant}. Keep it: it is not shown again.")
    if first:
        message(_end_of_open_access(info))


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only the keys of this tenant.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List keys, without their secrets.

    Example: `fovea keys list --tenant acme`
    """
    from service.bootstrap import open_keys

    with open_keys(settings_of_index(data_dir)) as store:
        found = [_shown(info) for info in store.list_keys(tenant)]
    if json:
        print_json({"keys": found})
    else:
        _print_keys(found)


@keys.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `fovea keys list` shows them.")],
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make keys worthless, for good; a running server notices within a second.

    Example: `fovea keys revoke key3f2a9c07d1b4`
    """
    from service.bootstrap import open_keys

    with open_keys(settings_of_index(data_dir)) as store:
        found = [_shown(store.revoke(item)) for item in ids]
    if json:
        print_json({"keys": found})
    else:
        out.print(f"{len(found)} revoked")


@keys.command()
def prune(json: Json = False, data_dir: DataDir = None) -> None:
    """Forget revoked and expired keys. Where none is left, the local user needs no key any more.

    Example: `fovea keys prune`
    """
    from service.bootstrap import open_keys

    with open_keys(settings_of_index(data_dir)) as store:
        count = store.prune()
    if json:
        print_json({"forgotten": count})
    else:
        out.print(f"{count} forgotten")


@keys.command("tenant")
def show_tenant(
    name: Annotated[str, typer.Argument(metavar="TENANT", help="Its name.")],
    suspend: Annotated[
        bool | None, typer.Option("--suspend/--resume", help="Stop all its keys and jobs, or let them work again.")
    ] = None,
    requests_per_minute: Requests = None,
    tokens_per_day: Tokens = None,
    documents: Annotated[int | None, typer.Option("--documents", min=_NO_LIMIT, help="How many may be stored.")] = None,
    characters: Annotated[
        int | None, typer.Option("--characters", min=_NO_LIMIT, help="Length of all stored texts together.")
    ] = None,
    body_bytes: Body = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show a tenant, suspend it, or set its quotas; -1 takes a quota away.

    Example: `fovea keys tenant acme --tokens-per-day 500000 --documents 10000`
    """
    from service.bootstrap import open_keys

    settings = settings_of_index(data_dir)
    with open_keys(settings) as store:
        wanted = (requests_per_minute, tokens_per_day, body_bytes, documents, characters)
        if any(value is not None for value in wanted):
            before = {item.id: item.limits for item in store.list_tenants()}
            store.limit(name, _changed(before.get(name), *wanted) or Limits())
        shown = (store.tenant(name) if suspend is None else store.suspend(name, suspend)).to_dict()
        shown["used"] = store.used(name, datetime.now(UTC).date().isoformat())
    if json:
        print_json(shown)
    else:
        _print_tenant(shown)


def _changed(
    before: Limits | None,
    requests_per_minute: int | None,
    tokens_per_day: int | None,
    body_bytes: int | None,
    documents: int | None = None,
    characters: int | None = None,
) -> Limits | None:
    """The limits with those changed that were named; None where none was."""
    named = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_day": tokens_per_day,
        "body_bytes": body_bytes,
        "documents": documents,
        "characters": characters,
    }
    given = {name: None if value == _NO_LIMIT else value for name, value in named.items() if value is not None}
    return replace(before or Limits(), **given) if given else None


def _end_of_open_access(info: KeyInfo) -> str:
    """What the first key means for whoever was let in without one, and how they come in again."""
    own = "; create one for yourself: `fovea keys create --name me --scope admin`"
    return (
        "It is the first key: from now on every request needs a key, those of the web page, of curl and of --url "
        f"included{'' if Scope.ADMIN in info.scopes else own}. The page asks for it, curl sends it as "
        "`Authorization: Bearer KEY`, and commands with --url read it from FOVEA_SERVER__API_KEY."
    )


def _shown(info: KeyInfo) -> dict[str, Any]:
    state = info.state(datetime.now(UTC).isoformat(timespec="milliseconds"))
    return {**info.to_dict(), "state": state}


def _print_keys(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("ID", no_wrap=True)  # a cut id could not be given to `fovea keys revoke`
    for column in ("Tenant", "Name", "Scopes", "Collections", "State", "Expires"):
        table.add_column(column)
    for item in found:
        collections = "all" if item["collections"] is None else ", ".join(item["collections"])
        expires = (item["expires_at"] or "never")[:10]
        cells = (
            item["id"],
            item["tenant"],
            item["name"],
            ", ".join(item["scopes"]),
            collections,
            item["state"],
            expires,
        )
        table.add_row(*(plain(cell) for cell in cells))
    out.print(table)


def _print_tenant(shown: dict[str, Any]) -> None:
    state = f"suspended since {shown['suspended_at'][:19]}" if shown["suspended_at"] else "active"
    out.print(f"[bold]{plain(shown['id'])}[/]  {state}")
    used = shown["used"]
    for name, limit in shown["limits"].items():
        spent = f"{used[name]:,} of " if name in used else ""
        out.print(f"  {name.replace('_', ' ')}: {spent}{'no limit' if limit is None else f'{limit:,}'}")
