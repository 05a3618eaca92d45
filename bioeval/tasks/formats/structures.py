"""Folders of protein structures, PDB or mmCIF: a chain a row, with its contacts and the residues it lacks.

Two residues are in contact where their C-beta atoms (C-alpha of glycine) are nearer than 8 angstrom. Read are
the first model, of alternative places the one of highest occupancy (of equal ones the first), and residues
that are amino acids, modified ones as their parent (MSE as M) or X.

The sequence is the one that the file declares (`SEQRES`, `_entity_poly_seq`), so that residues without atoms
keep their place and are unknown: neither contact nor none. mmCIF says which residue is which; of PDB files
the numbers do where they fit (one offset for all), else stretches without a break are found one after the
other. A file that declares nothing has the sequence of its atoms; where the chain is broken (C to N above
2.5 angstrom) and the numbers leave room, so many X stand in between.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.contact_rules import DISTANCE, rules_of
from bioeval.tasks.contact_targets import UNKNOWN
from bioeval.tasks.rows import Rows

_PDB, _CIF = (".pdb", ".ent"), (".cif", ".mmcif")
_BOND = 2.5  # angstrom; a peptide bond is 1.33, a residue further on is 3.8 or more
_MOST_MISSING = 100  # residues that a jump of the numbers may stand for


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain as its file has it.

    Attributes:
        file: where it stands.
        name: of the chain.
        declared: letters of the whole sequence, empty where the file does not say.
        letters: of the residues with atoms.
        numbers: of these residues; of mmCIF files their place in `declared`, counted from 1.
        placed: whether `numbers` are such places.
        atoms: C-beta (C-alpha of glycine) of each, NaN where it is missing, `[n, 3]` angstrom.
        bound: bool `[n]`, whether each is bound to the one before it.
    """

    file: Path
    name: str
    declared: str
    letters: str
    numbers: tuple[int, ...]
    placed: bool
    atoms: np.ndarray
    bound: np.ndarray


def read_structures(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """A row for each file of a folder, in the order of their names; `id` is the name of the file.

    Args:
        path: the folder, or one file.
        config: names of the columns, `contacts.chain` and `contacts.distance`.
        wanted: not needed: structures have the columns that they have.

    Raises:
        DataError: no file, one that cannot be read, several chains and none named, or atoms that do not
            follow the sequence that the file declares.
    """
    del wanted
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if _suffix(file) in _PDB + _CIF]
    if not files:
        raise DataError("no structures", where=path, hint="files .pdb, .ent, .cif or .mmcif, plain or .gz")
    rules = rules_of(config)
    ids, sequences, contacts, unknown = [], [], [], []
    for file in files:
        sequence, atoms = placed(read_chain(file, chain=rules.chain))
        ids.append(file.name.removesuffix(".gz").removesuffix(_suffix(file)))
        sequences.append(sequence)
        contacts.append(touching(atoms, rules.distance or DISTANCE))
        unknown.append(np.flatnonzero(np.isnan(atoms[:, 0])))
    pairs = pa.list_(pa.list_(pa.int64()))
    columns = {
        "id": pa.array(ids, pa.large_string()),
        config.columns.sequence: pa.array(sequences, pa.large_string()),
        config.columns.value: pa.array([found.tolist() for found in contacts], pairs),
        UNKNOWN: pa.array([" ".join(map(str, found)) for found in unknown], pa.large_string()),
    }
    n = len(files)
    return Rows(table=pa.table(columns), files=tuple(map(str, files)), file_of=np.arange(n),
                lines=np.ones(n, np.int64))  # fmt: skip


def touching(atoms: np.ndarray, distance: float) -> np.ndarray:
    """Pairs i < j of atoms nearer than a distance, int64 `[n, 2]`.

    Args:
        atoms: `[n, 3]`, NaN for those that are missing.
        distance: in the unit of the atoms.
    """
    from scipy.spatial import KDTree

    known = np.flatnonzero(np.isfinite(atoms[:, 0]))
    if not len(known):
        return np.zeros((0, 2), np.int64)
    pairs = KDTree(atoms[known]).query_pairs(distance, output_type="ndarray")
    apart = np.linalg.norm(atoms[known][pairs[:, 0]] - atoms[known][pairs[:, 1]], axis=1)
    found = np.sort(known[pairs[apart < distance]], axis=1)
    return found[np.lexsort(found.T[::-1])].astype(np.int64)


def placed(chain: Chain) -> tuple[str, np.ndarray]:
    """The whole sequence of a chain, and the atom of each of its residues, NaN for none.

    Raises:
        DataError: atoms that do not follow the declared sequence, or a break of unknown length.
    """
    sequence, places = (
        (chain.declared, _declared_places(chain)) if chain.declared else _places_by_number(chain)
    )
    atoms = np.full((len(sequence), 3), np.nan)
    atoms[places] = chain.atoms
    return sequence, atoms


def _declared_places(chain: Chain) -> list[int]:
    declared, letters = chain.declared, chain.letters
    if chain.placed:
        places = [number - 1 for number in chain.numbers]
        if min(places) >= 0 and max(places) < len(declared):
            return places
        raise DataError(f"atoms of chain {chain.name} lie outside of its sequence", where=chain.file)
    numbers = chain.numbers
    rising = all(a < b for a, b in pairwise(numbers))
    offsets = range(numbers[-1] - len(declared) + 1, numbers[0] + 1) if rising else ()
    fitting = [o for o in offsets if all(declared[n - o] == c for n, c in zip(numbers, letters))]
    if len(fitting) == 1:
        return [number - fitting[0] for number in numbers]
    return _stretches(chain)


def _stretches(chain: Chain) -> list[int]:
    """Stretches without a break, each at the first place after the one before."""
    starts = np.flatnonzero(~chain.bound)
    places: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(chain.letters)]):
        text = chain.letters[start:end]
        at = chain.declared.find(text, places[-1] + 1 if places else 0)
        if at < 0:
            what = f"residue {chain.numbers[start]} of chain {chain.name} does not follow SEQRES"
            raise DataError(what, where=chain.file, hint="repair SEQRES or take the records out")
        places += range(at, at + len(text))
    return places


def _places_by_number(chain: Chain) -> tuple[str, list[int]]:
    letters, places = list(chain.letters[:1]), [0]
    for at in range(1, len(chain.letters)):
        missing = 0
        if not chain.bound[at]:
            missing = chain.numbers[at] - chain.numbers[at - 1] - 1
            if not 0 <= missing <= _MOST_MISSING:
                what = (
                    f"chain {chain.name} breaks from residue {chain.numbers[at - 1]} to {chain.numbers[at]}"
                )
                raise DataError(f"{what}: how many are missing is not said", where=chain.file,
                                hint="add SEQRES records, or take the mmCIF file")  # fmt: skip
        letters += ["X"] * missing + [chain.letters[at]]
        places.append(len(letters) - 1)
    return "".join(letters), places


def read_chain(file: Path, *, chain: str = "") -> Chain:
    """One protein chain of the first model of a file.

    Args:
        file: PDB or mmCIF, plain or .gz.
        chain: its name; empty where the file has one only.

    Raises:
        DataError: no structure, no such chain, or several and none named.
    """
    from Bio.PDB.PDBExceptions import PDBConstructionException

    text = _text(file)
    try:
        model = _model(text, cif=_suffix(file) in _CIF)
        found = {one.id: _residues(one) for one in model} if model is not None else {}
    except (PDBConstructionException, ValueError, KeyError, IndexError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise DataError(f"not a structure: {''.join(reason) or type(error).__name__}", where=file) from error
    found = {name: residues for name, residues in found.items() if residues}
    shown = ", ".join(found) or "none"
    if chain and chain not in found:
        raise DataError(f"no protein chain {chain!r}", where=file, hint=f"chains: {shown}")
    if not chain and len(found) != 1:
        raise DataError(f"{len(found)} protein chains", where=file,
                        hint=f"say contacts.chain, one of {shown}" if found else "")  # fmt: skip
    name = chain or next(iter(found))
    declared = _declared_in_cif(text, name) if _suffix(file) in _CIF else _seqres(text, name)
    return _chain(file, name, declared, found[name])


def _chain(file: Path, name: str, declared: str, residues: list[Any]) -> Chain:
    letters = "".join(_letter(residue.resname) for residue in residues)
    atoms = np.array([_point(r, "CA" if c == "G" else "CB") for r, c in zip(residues, letters)])
    ends, starts = (np.array([_point(r, atom) for r in residues]) for atom in ("C", "N"))
    gaps = np.linalg.norm(starts[1:] - ends[:-1], axis=1)
    numbers = tuple(residue.id[1] for residue in residues)
    near = np.diff(numbers) <= 1  # where C or N is missing the numbers tell
    bound = np.r_[False, np.where(np.isnan(gaps), near, gaps <= _BOND)]
    return Chain(file=file, name=name, declared=declared, letters=letters, numbers=numbers,
                 placed=bool(declared) and _suffix(file) in _CIF, atoms=atoms, bound=bound)  # fmt: skip


def _model(text: str, *, cif: bool) -> Any:
    from Bio.PDB.MMCIFParser import MMCIFParser
    from Bio.PDB.PDBParser import PDBParser

    # label_seq_id of mmCIF is the place in the sequence, whatever the authors' numbers are.
    parser: Any = MMCIFParser(QUIET=True, auth_residues=False) if cif else PDBParser(QUIET=True)
    return next(iter(parser.get_structure("x", io.StringIO(text))), None)


def _residues(chain: Any) -> list[Any]:
    """Amino acids with a C-alpha atom, of two at one place the one of higher occupancy."""
    from Bio.PDB.Polypeptide import is_aa

    found = []
    for residue in chain:
        if residue.is_disordered() == 2:  # two residues at one place
            ranked = sorted(residue.disordered_get_list(), key=_occupancy, reverse=True)
            residue = ranked[0]
        if is_aa(residue, standard=False) and residue.has_id("CA"):
            found.append(residue)
    return found


def _occupancy(residue: Any) -> float:
    return residue["CA"].get_occupancy() or 0.0 if residue.has_id("CA") else 0.0


def _point(residue: Any, name: str) -> np.ndarray:
    """Of alternative places Bio.PDB gives the one of highest occupancy, of equal ones the first."""
    return residue[name].get_coord().astype(np.float64) if residue.has_id(name) else np.full(3, np.nan)


def _letter(name: str) -> str:
    from Bio.Data.PDBData import protein_letters_3to1_extended

    letter = protein_letters_3to1_extended.get(name.strip().upper(), "X")
    return letter if len(letter) == 1 else "X"


def _seqres(text: str, chain: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("SEQRES") and line[11:12] == chain]
    return "".join(_letter(name) for line in lines for name in line[19:70].split())


def _declared_in_cif(text: str, chain: str) -> str:
    from Bio.PDB.MMCIF2Dict import MMCIF2Dict

    found = MMCIF2Dict(io.StringIO(text))
    names = found.get("_atom_site.auth_asym_id", [])
    entities = dict(zip(reversed(names), reversed(found.get("_atom_site.label_entity_id", []))))
    places: dict[int, str] = {}  # of places with two residues the first
    for entity, number, name in zip(*(found.get(f"_entity_poly_seq.{key}", [])
                                      for key in ("entity_id", "num", "mon_id"))):  # fmt: skip
        if entity == entities.get(chain):
            places.setdefault(int(number), _letter(name))
    return "".join(places[number] for number in sorted(places))


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if file.name.endswith(".gz") else data).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise DataError(f"cannot be read: {error}", where=file) from error


def _suffix(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix
