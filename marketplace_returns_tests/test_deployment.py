"""The files for an installation are ones that systemd and nginx take, and name only what the program has."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from marketplace_returns_tests.test_documentation import command_mistakes

FILES = Path(str(resources.files("marketplace_returns") / "deployment"))
UNITS = sorted((FILES / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
EXPOSURE_MAX = 20
"""Of 100, as ``systemd-analyze security`` counts: what a service that is broken into could still reach."""
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "CapabilityBoundingSet": "",
    "User": "marketplace-returns",
    "UMask": "0077",
}


def _needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"no {program} on this machine")
    return found


def _standing_in(folder: Path) -> list[Path]:
    """Copy the units, with a program of this machine in the place of ours, which is not installed here."""
    made = []
    for unit in UNITS:
        text = re.sub(r"/opt/marketplace-returns/venv/bin/[\w-]+", "/bin/true", unit.read_text(encoding="utf-8"))
        made.append(folder / unit.name)
        made[-1].write_text(text, encoding="utf-8")
    return made


def test_systemd_takes_every_unit_without_a_word(tmp_path: Path) -> None:
    units = _standing_in(tmp_path)
    told = subprocess.run(
        [_needs("systemd-analyze"), "verify", *map(str, units)], check=False, capture_output=True, text=True
    )
    ours = [line for line in told.stderr.splitlines() if "marketplace-returns" in line]
    assert (told.returncode, ours) == (0, [])


def test_no_service_is_open_to_more_than_it_needs(tmp_path: Path) -> None:
    units = [unit for unit in _standing_in(tmp_path) if unit.suffix == ".service"]
    command = [_needs("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", *map(str, units)]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_each_service_runs_bare_and_takes_its_secrets_from_one_file(unit: Path) -> None:
    lines = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name: lines.get(name) for name in HARDENED} == HARDENED
    assert lines["EnvironmentFile"] == "/etc/marketplace-returns/env"
    assert "MARKETPLACE_RETURNS__" not in unit.read_text(encoding="utf-8")


def test_each_service_listens_on_this_machine_alone_and_calls_commands_that_exist() -> None:
    for unit in SERVICES:
        text = unit.read_text(encoding="utf-8")
        assert "0.0.0.0" not in text
        ours = re.findall(r"venv/bin/(marketplace-returns [^\"'\n]+)", text)
        assert not [mistake for line in ours for mistake in command_mistakes(line)], unit.name


def test_nginx_takes_the_proxy(tmp_path: Path) -> None:
    nginx = _needs("nginx")
    certificate, key = tmp_path / "marketplace-returns.pem", tmp_path / "marketplace-returns.key"
    subprocess.run(
        [
            *(
                _needs("openssl"),
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=example.test",
            ),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    shutil.copy(certificate, tmp_path / "marketplace-returns-people.pem")
    for name in ("nginx", "nginx-tls", "nginx-proxy"):
        text = (FILES / f"{name}.conf").read_text(encoding="utf-8")
        text = text.replace("/etc/nginx/", f"{tmp_path}/").replace("/var/log/nginx/", f"{tmp_path}/")
        (tmp_path / name.replace("nginx", "marketplace-returns", 1)).with_suffix(".conf").write_text(text)
    whole = tmp_path / "whole.conf"
    whole.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}} http {{ access_log off; include {tmp_path}/marketplace-returns.conf; }}"
    )
    told = subprocess.run(
        [nginx, "-t", "-c", str(whole), "-p", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert "[warn]" not in told.stderr


def test_image_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    text = (FILES / "Containerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users == ["10001:10001"]
    assert not re.search(r"MARKETPLACE_RETURNS__|ARG |:latest", text)
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", text, re.MULTILINE)
    root = FILES.parents[1]
    for name in " ".join(copied).split():
        assert name.startswith("/opt/") or (root / name).exists(), name
