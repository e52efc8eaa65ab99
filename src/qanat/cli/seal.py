"""`qanat seal` and `qanat open`: a file for another application, under keys that both KMEs hold."""

from __future__ import annotations

from pathlib import Path

from qanat.cli.application import Told, application, client_of
from qanat.core.errors import MisuseError
from qanat.core.ids import KeyId, SaeId

KEYS_PER_REQUEST = 128


def seal(told: Told, file: Path, *, sae: str | None, to: str, out: Path | None, is_pad: bool) -> int:
    from qanat.sae.pad import pad_file, requests_for  # noqa: PLC0415
    from qanat.sae.seal import seal_file  # noqa: PLC0415

    target = out or file.with_name(file.name + ".sealed")
    if not file.is_file():
        raise MisuseError(f"{file} is no file; name the one to seal")
    if not target.parent.is_dir():
        raise MisuseError(f"{target.parent} is no folder; name another place with --out")
    with client_of(told, sae) as client:
        slave = SaeId(to)
        if is_pad:
            asked = requests_for(file.stat().st_size, client.status(slave))
            keys = [key for number, size_bits in asked for key in client.enc_keys(slave, number, size_bits)]
            padded = pad_file(file, target, keys)
            print(f"{target}: {padded.size_bytes} bytes under a one-time pad of {len(keys)} keys, for {to}")
            for origin in padded.provenance:
                print(f"    {origin}")
        else:
            header = seal_file(file, target, client.enc_keys(slave, 1, 256)[0])
            print(f"{target}: {header.size_bytes} bytes under AES-256-GCM with key {header.key_id}, for {to}")
            print(f"    {header.provenance}")
    return 0


def open_(told: Told, file: Path, *, sae: str | None, out: Path | None) -> int:
    from qanat.sae.keys import DeliveredKey  # noqa: PLC0415
    from qanat.sae.pad import is_padded, open_padded, read_pad_header  # noqa: PLC0415
    from qanat.sae.seal import open_file, read_header  # noqa: PLC0415

    if out is None and file.suffix != ".sealed":
        raise MisuseError(f"{file} does not end in .sealed; name the file to write with --out")
    target = out or file.with_suffix("")
    if target.exists():
        raise MisuseError(f"{target} is there already; name another file with --out")
    padded = is_padded(file)
    slave = read_pad_header(file).slave if padded else read_header(file).slave
    us = sae or application(told, sae).name
    if slave != us:  # before a key is asked for, and without a word about who could have it
        raise MisuseError(f"{file} was sealed for {slave}, not for {us}; only {slave} gets its key")
    with client_of(told, sae) as client:

        def keys_of(master: SaeId, key_ids: list[KeyId]) -> list[DeliveredKey]:
            parts = [key_ids[at : at + KEYS_PER_REQUEST] for at in range(0, len(key_ids), KEYS_PER_REQUEST)]
            return [key for part in parts for key in client.dec_keys(master, part)]

        header = open_padded(file, target, keys_of) if padded else open_file(file, target, client.key_of)
    print(f"{target}: {header.size_bytes} bytes from {header.master}")
    return 0
