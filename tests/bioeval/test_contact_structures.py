"""Structures as truth of contact tasks: tiny PDB and mmCIF files, with all that is odd in them."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from biodata.errors import DataError
from bioeval.tasks import Task, load_task
from bioeval.tasks.contact_targets import structures_of
from tests.task_files import task

PROTEIN = "alphabet: protein\nkind: contacts\nmetric: p-at-contacts\n"

Atom = tuple[str, str, tuple[float, float, float], float]
"""Name, alternative place, coordinates, occupancy."""
Residue = tuple[str, int, str, int, int, list[Atom]]
"""Name, number, insertion code, places in the sequence (from 1) and on the backbone, atoms."""


def residue(name: str, number: int, at: int, k: int, *side: Atom, code: str = " ") -> Residue:
    backbone: list[Atom] = [
        (n, " ", (3.8 * k + x, 0.0, 0.0), 1.0) for n, x in (("N", -1.2), ("CA", 0), ("C", 1.3))
    ]
    return name, number, code, at, k, [*backbone, *side]


def chain() -> list[Residue]:
    """M A G K L V W S without M, L and S: an insertion code, a gap, and places that alternate."""
    return [
        residue("ALA", 1, 2, 0, ("CB", " ", (0, 0, 100), 1.0)),
        residue("GLY", 2, 3, 1),
        residue("LYS", 2, 4, 2, ("CB", "A", (3.8, 0, 50), 0.3), ("CB", "B", (3.8, 0, 7.9), 0.7), code="A"),
        residue("VAL", 4, 6, 4, ("CB", " ", (3.8, 0, -8.0), 1.0)),
        residue("TRP", 5, 7, 5, ("CB", " ", (0, 0, 107), 1.0)),
    ]


SEQRES = "SEQRES   1 H    8  MET ALA GLY LYS LEU VAL TRP SER"


def pdb(residues: Sequence[Residue], *, models: int = 1, head: str = "") -> str:
    lines = [head] if head else []
    for model in range(models):
        lines.append(f"MODEL     {model + 1:>4}")
        serial = 0
        for name, number, code, _, _, atoms in residues:
            for atom, alternative, place, occupancy in atoms:
                serial += 1
                x, y, z = place if model == 0 else (0.0, 0.0, 0.0)  # only the first model counts
                lines.append(
                    f"ATOM  {serial:>5} {atom:^4}{alternative}{name} H{number:>4}{code}   "
                    f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{0:6.2f}          {atom[0]:>2}"
                )
        lines += [
            f"HETATM{serial + 1:>5} CA    CA H 900       3.800   0.000   0.000  1.00  0.00          CA",
            "ENDMDL",
        ]
    return "\n".join([*lines, "END", ""])


KEYS = """group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id
label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_comp_id
auth_asym_id auth_atom_id pdbx_PDB_model_num"""


def cif(residues: Sequence[Residue]) -> str:
    lines = [
        "data_x",
        "loop_",
        "_entity_poly_seq.entity_id",
        "_entity_poly_seq.num",
        "_entity_poly_seq.mon_id",
    ]
    lines += [f"1 {n} {name}" for n, name in enumerate(SEQRES.split()[4:], 1)]
    lines += ["#", "loop_", *(f"_atom_site.{key}" for key in KEYS.split())]
    serial = 0
    for name, number, code, at, _, atoms in residues:
        for atom, alternative, (x, y, z), occupancy in atoms:
            serial += 1
            other, inserted = alternative.strip() or ".", code.strip() or "?"
            lines.append(f"ATOM {serial} {atom[0]} {atom} {other} {name} A 1 {at} {inserted} "
                         f"{x} {y} {z} {occupancy} 0.0 {number} {name} H {atom} 1")  # fmt: skip
    lines.append(f"HETATM {serial + 1} O O . HOH B 2 . ? 0.0 0.0 0.0 1.0 0.0 901 HOH H O 1")
    return "\n".join([*lines, "#", ""])


def two_chains() -> str:
    lines = [line for line in pdb(chain()).splitlines() if line.startswith("ATOM")]
    return "\n".join([*lines, *(line.replace(" H", " I", 1) for line in lines), "END", ""])


def structures(folder: Path, text: str = "", **files: str | bytes) -> Task:
    """A task of a folder of structures in which each file stands three times in each split."""
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(exist_ok=True, parents=True)
        for name, content in files.items():
            for copy in range(3):
                path = folder / split / f"{copy}{name.replace('__', '.')}"
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
    yaml = f"{PROTEIN}data: {{file: '{{split}}', format: structures}}\ncontacts: {{separation: 1{text}}}\n"
    return load_task(task(folder, yaml))


@pytest.mark.parametrize(
    "files",
    [
        {"a__pdb": pdb(chain(), models=2, head=SEQRES)},
        {"a__ent__gz": gzip.compress(pdb(chain(), head=SEQRES).encode())},
        {"a__cif": cif(chain())},
    ],
    ids=["pdb", "gz", "cif"],
)
def test_a_declared_sequence_keeps_the_place_of_residues_without_atoms(files: dict, tmp_path: Path) -> None:
    loaded = structures(tmp_path, **files)
    assert loaded.sequences("train")[0] == "MAGKLVWS" and loaded.table.num_rows == 9
    (structure, *_) = structures_of(loaded, "test")
    assert structure.known.tolist() == [False, True, True, True, False, True, True, False]
    # glycine by C-alpha; lysine where its occupancy is highest; valine at exactly 8 angstrom is no contact
    assert structure.contacts.tolist() == [[1, 6], [2, 3]]


def test_distance_is_a_setting(tmp_path: Path) -> None:
    loaded = structures(tmp_path, ", distance: 8.5, chain: H", a__pdb=pdb(chain(), head=SEQRES))
    assert structures_of(loaded, "test")[0].contacts.tolist() == [[1, 6], [2, 3], [2, 5]]


@pytest.mark.parametrize(
    ("numbers", "places", "sequence"),
    [((10, 11, 15), (0, 1, 4), "MGXXXV"), ((10, 11, 15), (0, 1, 2), "MGV"), ((10, 11, 12), (0, 1, 7), "MGV")],
    ids=["gap", "numbering jumps, chain is whole", "broken, but no number is missing"],
)
def test_without_a_declared_sequence_numbers_and_bonds_tell(
    numbers: tuple[int, ...], places: tuple[int, ...], sequence: str, tmp_path: Path
) -> None:
    near: Atom = ("CB", " ", (0, 0, 5), 1.0)
    names = ("MSE", "GLY", "VAL")
    made = [residue(name, n, 0, k, near) for name, n, k in zip(names, numbers, places)]
    loaded = structures(tmp_path, a__pdb=pdb(made))
    assert loaded.sequences("train")[0] == sequence
    assert structures_of(loaded, "train")[0].known.tolist() == [letter != "X" for letter in sequence]


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        ("", {"a__pdb": "nothing\n"}, "a.pdb: 0 protein chains"),
        ("", {"a__cif": "nothing"}, "a.cif: not a structure"),
        ("", {"a__pdb__gz": b"no gzip"}, "a.pdb.gz: cannot be read"),
        (", chain: B", {"a__pdb": pdb(chain())}, r"a.pdb: no protein chain 'B' \(chains: H\)"),
        ("", {"a__pdb": two_chains()}, r"a.pdb: 2 protein chains \(say contacts.chain, one of H, I"),
        ("", {"a__pdb": pdb(chain(), head=SEQRES.replace("VAL", "ILE"))},
         "residue 4 of chain H does not follow SEQRES"),
        ("", {"a__pdb": pdb([chain()[0], residue("VAL", 900, 0, 9)])}, "chain H breaks from residue 1 to"),
        ("", {"a__txt": "x"}, r"no structures \(files .pdb, .ent, .cif or .mmcif"),
    ],
)  # fmt: skip
def test_bad_structures_are_one_line_that_names_the_file(
    text: str, files: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        structures(tmp_path, text, **files)
    assert len(str(caught.value).splitlines()) == 1
