"""What an Aurora cluster has from the first moment: its roles and databases."""

from __future__ import annotations

from psycopg import sql

from hikkoshi.region.rds.engine import Secrets
from hikkoshi.region.rds.passwords import scram_verifier
from hikkoshi.region.rds.postgresql.configuration import ADMIN_DATABASE, REPLICATION
from hikkoshi.region.rds.postgresql.server import PostgresServer

# pg_rewind's documentation lists these as what a role needs that is no superuser.
_REWIND_FUNCTIONS = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)


async def furnish(
    server: PostgresServer, secrets: Secrets, master: str, verifier: str, database: str | None
) -> None:
    """Roles `rds_superuser`, the replication's and the master's (which is no superuser, as on
    AWS); the region's own database with pg_stat_statements; the database that was asked for."""
    connection = await server.connect("postgres")
    async with connection:
        replication = sql.Literal(scram_verifier(secrets.replication))
        for statement in _roles(sql.Identifier(master), sql.Literal(verifier), replication):
            await connection.execute(statement)
        await connection.execute(_create_database(ADMIN_DATABASE))
        if database is not None and database != "postgres":
            await connection.execute(_create_database(database, owner=master))
    for name in {ADMIN_DATABASE, "postgres", database or "postgres"}:
        connection = await server.connect(name)
        async with connection:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            if name == ADMIN_DATABASE:
                await connection.execute(f"REVOKE CONNECT ON DATABASE {ADMIN_DATABASE} FROM PUBLIC")
                for function in _REWIND_FUNCTIONS:
                    await connection.execute(
                        sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
                            sql.SQL(function), sql.Identifier(REPLICATION)
                        )
                    )
                await connection.execute(
                    sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                        sql.Identifier(ADMIN_DATABASE), sql.Identifier(REPLICATION)
                    )
                )


def _roles(
    master: sql.Identifier, verifier: sql.Literal, replication: sql.Literal
) -> list[sql.Composed | sql.SQL]:
    return [
        sql.SQL("CREATE ROLE rds_superuser NOLOGIN"),
        sql.SQL("GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser"),
        sql.SQL("CREATE ROLE {} LOGIN REPLICATION PASSWORD {}").format(
            sql.Identifier(REPLICATION), replication
        ),
        sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}").format(master, verifier),
        sql.SQL("GRANT rds_superuser TO {} WITH ADMIN OPTION").format(master),
        sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(master),
    ]


def _create_database(name: str, owner: str | None = None) -> sql.Composed:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if owner is not None:
        statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
    return statement
