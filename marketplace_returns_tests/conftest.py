"""What tests of several packages share: a real Postgres server, where the machine has the program."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

START_TIME_OUT_S = 60
UNPRIVILEGED = "nobody"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a throw-away Postgres server; the test is skipped, with the reason, where there is none."""
    missing = [program for program in ("initdb", "postgres", "pg_ctl") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no Postgres server on this machine ({', '.join(missing)} not found)")
    if os.getuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("Postgres refuses to run as root, and runuser is not on this machine")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if os.getuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    try:
        _run("initdb", "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync", folder=folder)
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F -c max_connections=50"
        _run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start", folder=folder)
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop", folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """URL of a database of the test's own."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute(f'CREATE DATABASE "{name}"')
    return postgres_url.removesuffix("postgres") + name


def _run(*command: str, folder: Path) -> None:
    as_whom = ("runuser", "-u", UNPRIVILEGED, "--") if os.getuid() == 0 else ()
    subprocess.run(
        [*as_whom, *command],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=START_TIME_OUT_S,
    )
