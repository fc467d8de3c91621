"""The `callout` command.

Exit codes: 0 for success, 1 for failure (or if `doctor` found a problem), 2 for wrong usage or settings. Results go to
standard output, everything else to standard error.

Each command imports what it needs: `callout --help` must answer at once, and what most commands need is slow to load.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from db.enums import Role, ServiceScope
from db.errors import Failure

if TYPE_CHECKING:
    from callout.settings import Settings

T = TypeVar("T")
ROLES = {role.value.lower(): role for role in Role}
SCOPES = {scope.value.lower(): scope for scope in ServiceScope}
TICKETS_MAX = 10_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TTL_MAX = 366 * UNITS["d"]


def main() -> None:
    """The entry point. SIGTERM and a closed terminal unwind the stack as Ctrl-C does, so the embedded server stops."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # uvicorn may handle it by then
    cli(prog_name="callout")


class Terminated(SystemExit):
    """SIGTERM arrived."""


def _terminate(signum: int, _: Any) -> NoReturn:
    raise Terminated(128 + signum)


class Commands(click.Group):
    """Prints an expected failure as one sentence; any other exception keeps its traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Failure as error:
            from callout.settings import InvalidSettings

            if not isinstance(error, InvalidSettings):
                raise click.ClickException(str(error)) from error
            click.echo("The settings are invalid:", err=True)
            for problem in error.problems:
                click.echo(f"  {problem}", err=True)
            context.exit(2)


class Duration(click.ParamType[int]):
    """A number of seconds, or a number with a unit: `90`, `15m`, `12h`, `7d`. Up to `TTL_MAX`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        form = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value, re.ASCII)
        seconds = int(form[1]) * UNITS[form[2] or "s"] if form else 0
        if not 0 < seconds <= TTL_MAX:
            self.fail(f"{value!r} is not a duration of up to a year: 90 (seconds), 15m, 12h, 7d.", param, context)
        return seconds


class WithSettings(click.Command):
    """Lists the environment variables below its options."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from callout import settings

        with formatter.section("Settings, from the environment"):
            formatter.write_dl([(name, f"{text} [{default}]") for name, default, text in settings.documentation()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="callout", message="%(prog)s %(version)s")
def cli() -> None:
    """The live ticket API of a security-systems company. `callout serve --help` lists the settings."""


@cli.command(cls=WithSettings)
@click.option("--host", help="The address to listen on, instead of CALLOUT_HOST.")
@click.option("--port", type=click.IntRange(1, 65_535), help="The port, instead of CALLOUT_PORT.")
@click.option("--workers", type=click.IntRange(1, 64), help="The number of processes, instead of CALLOUT_WORKERS.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API until Ctrl-C or SIGTERM.

    In development the database is migrated first; without CALLOUT_DATABASE_URL it is an embedded PostgreSQL, which
    is filled with a demo company on the first run. In production the database must be migrated; if it is not, or not
    there, the server waits for it for a while.
    """
    from callout import settings
    from callout.serve import serve as run_server

    chosen = settings.load(host=host, port=port, workers=workers)
    with suppress(KeyboardInterrupt, Terminated):  # requested, so not a failure
        run_server(chosen)
    if not chosen.production:
        click.echo("\nCallout has stopped.", err=True)


@cli.command()
@click.option("--revision", metavar="REVISION", help="The target revision; `head`, the newest, by default.")
@click.option("--downgrade", is_flag=True, help="Go back to --revision (`base` is an empty database); data is lost.")
def migrate(revision: str | None, downgrade: bool) -> None:
    """Bring the database to a revision of the schema."""
    if downgrade and revision is None:
        raise click.UsageError("--downgrade needs a --revision.")
    from callout import settings
    from callout.database import database
    from db.postgres import migrate as migrations

    chosen = settings.load()
    with database(chosen, wait=chosen.database_wait, writable=True) as url:
        before = migrations.current(url)
        if downgrade:
            migrations.downgrade(url, revision or "base")
        else:
            migrations.upgrade(url, revision or "head")
        after = migrations.current(url)
    click.echo(f"At revision {after or 'base'}" + (", as before." if after == before else f"; was {before or 'base'}."))


@cli.command()
@click.option(
    "--tickets", type=click.IntRange(1, TICKETS_MAX), help="How many tickets, with their customers and notes."
)
def seed(tickets: int | None) -> None:
    """Add invented data: the demo company, or any number of tickets with --tickets."""
    from callout import settings
    from callout.database import migrated_database

    with migrated_database(settings.load()) as url:
        asyncio.run(_seed(url, tickets))


async def _seed(url: str, tickets: int | None) -> None:
    import asyncpg
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from callout.database import is_empty
    from db.seed import demo as seeding

    connection = await asyncpg.connect(url)
    try:
        if tickets is None:
            if not await is_empty(connection):
                raise click.ClickException(
                    "the database has customers or technicians; the demo company needs an empty one."
                )
            async with connection.transaction():
                await seeding.demo(connection)
            return
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bars: dict[str, TaskID] = {}

            def show(label: str, done: int, total: int) -> None:
                if label not in bars:
                    bars[label] = progress.add_task(label, total=total)
                progress.update(bars[label], completed=done, total=total)

            await seeding.bulk(connection, tickets=tickets, progress=show)
    finally:
        await connection.close()


@cli.command(name="backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def back_up(file: Path, force: bool) -> None:
    """Write the embedded database to FILE, while servers may use it."""
    from callout import backup

    chosen = _with_embedded_database()
    contents = backup.write(chosen.data_dir, file, overwrite=force)
    click.echo(f"{file} has {contents.tickets:,} tickets, as of {contents.taken_at}.")
    click.echo(f"Attached files are not in it: now copy 'objects' in {chosen.object_store.place}.")


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Restore the embedded database from FILE, a backup, into a data directory that has none."""
    from callout import backup

    data_dir = _with_embedded_database().data_dir
    contents = backup.restore(data_dir, file)
    click.echo(
        f"{data_dir} has the {contents.tickets:,} tickets of {contents.taken_at}. `callout serve` serves them; clients"
        " with older cursors are reset."
    )


@cli.command(name="upgrade-database")
@click.option(
    "--programs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder with the programs of the old version; /usr/lib/postgresql/VERSION/bin by default.",
)
def upgrade_database(programs: Path | None) -> None:
    """Bring the embedded database to the major version of PostgreSQL that this version of Callout has.

    Needs the programs of the old version (`apt install postgresql-17`), and room for the data once more. The old
    data is kept.
    """
    from callout import backup

    data_dir = _with_embedded_database().data_dir
    contents, kept = backup.upgrade(data_dir, programs)
    click.echo(
        f"{data_dir} has the {contents.tickets:,} tickets of before. Remove {kept} when all is well; clients with older"
        " cursors are reset."
    )


def _with_embedded_database() -> Settings:
    from callout import settings

    chosen = settings.load()
    if chosen.database_url is not None:
        raise click.ClickException(
            "CALLOUT_DATABASE_URL is set, but this command is for the embedded database: use `pg_dump`, `pg_restore`"
            " and `pg_upgrade`."
        )
    return chosen


@cli.command()
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="The viewer's role.")
@click.option("--subject", help="A technician's or customer's id or e-mail address; any name for an admin or service.")
@click.option("--name", help="The name that notes and history show, for an admin or a service.")
@click.option("--scope", type=click.Choice(list(SCOPES)), help="What a service may do; chatbot by default.")
@click.option(
    "--ttl", type=Duration(), default="12h", show_default=True, help="How long it is valid: 90 (seconds), 15m, 12h, 7d."
)
def token(role: str, subject: str | None, name: str | None, scope: str | None, ttl: int) -> None:
    """Print a token, and nothing else, on standard output. The audit trail says that it was issued."""
    from callout import settings
    from callout.auth import tokens
    from callout.database import migrated_database
    from db.postgres.embedded import has_database

    chosen = settings.load()
    if ttl > chosen.jwt_lifetime.total_seconds():
        raise click.UsageError(
            f"--ttl is longer than the {chosen.jwt_max_lifetime_days} days of CALLOUT_JWT_MAX_LIFETIME_DAYS:"
            " Callout would refuse the token."
        )
    if scope is not None and ROLES[role] is not Role.SERVICE:
        raise click.UsageError(f"only a service's token has a --scope, not a {role}'s.")
    if chosen.jwt_secret is None:
        raise click.ClickException(
            "CALLOUT_JWT_SECRET is not set: only the issuer of CALLOUT_JWT_JWKS_URL can sign tokens."
        )
    if ROLES[role] in tokens.PEOPLE:
        if subject is None:
            raise click.UsageError(f"a {role}'s token needs a --subject: an id or an e-mail address.")
        if name is not None:
            raise click.UsageError(f"a {role}'s name comes from the database; omit --name.")
    if chosen.database_url is None:
        if not has_database(chosen.data_dir):
            raise click.ClickException(
                f"there is no database in {chosen.data_dir}: run this where `callout serve` runs, or set"
                " CALLOUT_DATA_DIR to its data directory."
            )
        click.echo(f"For the server that uses {chosen.data_dir}:", err=True)
    who = subject or role
    allowed = SCOPES[scope or "chatbot"] if ROLES[role] is Role.SERVICE else None
    with migrated_database(chosen) as url:
        if ROLES[role] in tokens.PEOPLE:
            made = tokens.issue(chosen, url, role=ROLES[role], subject=who, ttl=ttl)
        else:
            made = tokens.issue_named(
                chosen, url, role=ROLES[role], subject=who, name=name or who, ttl=ttl, scope=allowed
            )
        click.echo(asyncio.run(made).token)


@cli.group(name="admin")
def admins() -> None:
    """Add, list and deactivate the admins who sign in here."""


@admins.command(name="add")
@click.argument("name")
@click.argument("email")
def add_admin(name: str, email: str) -> None:
    """Add an admin, who signs in by a link that is mailed to EMAIL, and print their id."""
    from resolvers.admin import add_by_operator

    click.echo(_in_transaction(lambda transaction: add_by_operator(transaction, name, email)))


@admins.command(name="list")
def list_admins() -> None:
    """Print a line for each admin."""
    from resolvers.admin import listed

    for line in _in_transaction(listed):
        click.echo(line)


@admins.command(name="deactivate")
@click.argument("email")
def deactivate_admin(email: str) -> None:
    """End the access of the admin with this address, also of the last one."""
    from resolvers.admin import deactivate_by_operator

    _in_transaction(lambda transaction: deactivate_by_operator(transaction, email))


def _in_transaction(work: Callable[[Any], Awaitable[T]]) -> T:
    """Does the work in a transaction on the database of the settings, which must be there."""
    import asyncpg

    from callout import settings
    from callout.database import migrated_database
    from db.postgres.embedded import has_database

    chosen = settings.load()
    if chosen.database_url is None and not has_database(chosen.data_dir):
        raise click.ClickException(
            f"there is no database in {chosen.data_dir}: run this where `callout serve` runs, or set"
            " CALLOUT_DATA_DIR to its data directory."
        )

    async def run(url: str) -> T:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                return await work(connection)
        finally:
            await connection.close()

    with migrated_database(chosen) as url:
        return asyncio.run(run(url))


@cli.command(name="push-keys")
def make_push_keys() -> None:
    """Print new keys for notices on devices (Web Push), as settings for all servers and workers.

    The private key is a secret. Make it once: with another one each device must subscribe again.
    """
    from notifiers.vapid import VapidKey

    key = VapidKey.generate()
    click.echo(f"CALLOUT_PUSH_PRIVATE_KEY={key.text}")
    click.echo(f"The public key, which clients read as `pushPublicKey`, is {key.public}.", err=True)


@cli.command(cls=WithSettings)
def notify() -> None:
    """Send notifications until Ctrl-C or SIGTERM.

    Runs alongside the servers, or instead of them if they have CALLOUT_NOTIFY=false. Any number of workers may run;
    each delivery is sent by one of them.
    """
    import uvloop

    from callout import logs, notification_worker, settings
    from callout.database import migrated_database

    chosen = settings.load()
    logs.configure(chosen)
    with migrated_database(chosen, wait=chosen.database_wait) as url:
        uvloop.run(notification_worker.notify(chosen, url))


@cli.command(name="follow")
@click.option("--token", envvar="ADMIN_TOKEN", required=True, help="The viewer's token; $ADMIN_TOKEN by default.")
@click.option("--url", help="The URL that `callout serve` prints; by default that of 127.0.0.1 at CALLOUT_PORT (8000).")
def follow_tickets(token: str, url: str | None) -> None:
    """Print changes to tickets as they happen, until Ctrl-C; after a lost connection, replay the missed ones."""
    from callout import settings
    from callout.follow import follow, socket_url

    try:
        address = socket_url(url or f"http://127.0.0.1:{settings.load().port}")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
    with suppress(KeyboardInterrupt, Terminated):
        asyncio.run(follow(address, token, click.echo))


@cli.command(name="mail-in")
@click.option("--imap", is_flag=True, help="Receive the unseen messages in the mailbox of CALLOUT_IMAP_URL.")
@click.option("--every", type=Duration(), default="1m", show_default=True, help="How often to check the mailbox.")
@click.option("--once", is_flag=True, help="Check the mailbox once, then exit.")
@click.option(
    "--socket",
    metavar="PATH",
    envvar="CALLOUT_MAIL_SOCKET",
    help="Where a server receives the message, which takes a fifth of the time; $CALLOUT_MAIL_SOCKET by default.",
)
def take_mail(imap: bool, every: int, once: bool, socket: str | None) -> None:
    """Receive mail: one message from standard input, as a mail server pipes it, or the unseen ones of a mailbox.

    Prints each message's outcome on a line. Exits with 0 if the message was received, even if it was ignored, and with
    75 if it could not be: the mail server should try again.
    """
    from callout.mail_hand_over import EX_TEMPFAIL, hand_over, read_message

    if imap:
        with suppress(KeyboardInterrupt, Terminated):
            _empty_mailbox(None if once else float(every))
        return
    try:
        raw = read_message(sys.stdin.buffer)
        line = hand_over(socket, raw) if socket else None
        click.echo(_take_here(raw) if line is None else line)
    except (Exception, Terminated) as error:
        if not isinstance(error, (Failure, Terminated)) and not _is_expected(error):
            traceback.print_exception(error)
        click.echo(f"The message could not be received: {error or type(error).__name__}", err=True)
        raise SystemExit(EX_TEMPFAIL) from error


def _take_here(raw: bytes) -> str:
    from callout import mail_in, settings
    from callout.database import migrated_database

    chosen = settings.load()
    with migrated_database(chosen) as url:
        return asyncio.run(mail_in.take(chosen, url, raw))


def _is_expected(error: BaseException) -> bool:
    from callout import mail_in

    return isinstance(error, mail_in.EXPECTED)


def _empty_mailbox(pause: float | None) -> None:
    from callout import logs, mail_in, settings
    from callout.database import migrated_database
    from notifiers.inbound.imap import Account

    chosen = settings.load()
    if chosen.imap_url is None:
        raise click.ClickException("CALLOUT_IMAP_URL is not set: --imap needs a mailbox.")
    logs.configure(chosen)
    with migrated_database(chosen) as url:
        try:
            account, client = Account.of(chosen.imap_url), chosen.imap_oauth
            asyncio.run(mail_in.empty(chosen, url, account, client, click.echo, pause))
        except mail_in.EXPECTED as error:
            raise click.ClickException(str(error) or type(error).__name__) from error


@cli.command()
@click.option("--federation", is_flag=True, help="As a subgraph's, to be composed with others (Apollo Federation 2).")
def schema(federation: bool) -> None:
    """Print the GraphQL schema in SDL."""
    from schema import schema as graphql
    from schema.federation import federated

    printed = graphql.as_str()
    click.echo(federated(printed) if federation else printed, nl=not federation)


@cli.command(name="explain")
@click.argument("query")
@click.option("--variables", default="{}", metavar="JSON", help="The operation's variables, a JSON object.")
@click.option("--operation", help="The operation's name, if the document has several.")
@click.option("--role", type=click.Choice(list(ROLES)), default="admin", show_default=True, help="The viewer's role.")
@click.option("--subject", default="", help="The viewer's id, such as tec_… for a technician.")
@click.option(
    "--analyze",
    is_flag=True,
    help="Run queries and print PostgreSQL's plan; mutations and what reads events are not run.",
)
def explain_query(query: str, variables: str, operation: str | None, role: str, subject: str, analyze: bool) -> None:
    """Print what a GraphQL query becomes: selection, argument shapes and SQL; with --analyze PostgreSQL's plan too."""
    from callout import explain, settings
    from callout.database import migrated_database
    from db.viewer import Viewer

    try:
        given = json.loads(variables)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise click.UsageError("--variables must be a JSON object.")
    viewer = Viewer(ROLES[role], subject.partition("_")[2] or subject, role)
    try:
        explanations = explain.explain(query, operation, given, viewer)
    except explain.Unexplained as error:
        raise click.ClickException(str(error)) from error
    for explanation in explanations:
        click.echo(explanation.text)
        if analyze and explanation.reads:
            with migrated_database(settings.load()) as url:
                click.echo(f"\n-- plan\n{asyncio.run(explain.analyze(url, explanation))}")


@cli.command(name="doctor")
def examine() -> None:
    """Check settings, keys, database, mail and the running server; exit with 1 if something is wrong."""
    from callout import doctor

    if not doctor.examine():
        raise SystemExit(1)
