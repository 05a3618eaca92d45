"""`eval distances`: controls hold the null, unlike sources are told apart, trees come out right."""

from __future__ import annotations

import gzip
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import average, cophenet
from scipy.spatial.distance import squareform
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from bioeval.distances.matrix import holm, net_distances, parents_test
from bioeval.distances.study import DistancesConfig, evaluate_distances
from bioeval.distances.tree import Node, make_tree, newick, walk
from bioeval.distances.windows import parse_group, read_groups
from seqloom_cli.main import app

QUICK = {"windows": 16, "resamples": 20, "permutations": 39, "window": 200, "measure": "kmer_jsd_k2"}


def genome(path: Path, seed: int, *, letters: str = "ACGT", length: int = 6000, pieces: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list(letters), length)) for _ in range(pieces)]
    path.write_text("".join(f">c{i}\n{t}\n" for i, t in enumerate(texts)))
    return path


@pytest.fixture
def groups(tmp_path: Path) -> tuple[str, ...]:
    """Two sources, two groups of each, of very different lengths."""
    made = (("at/one", 0, "AACGTT", 4000), ("at/two", 1, "AACGTT", 40_000),
            ("gc/three", 2, "ACCGGT", 4000), ("gc/four", 3, "ACCGGT", 20_000))  # fmt: skip
    return tuple(
        f"{name}={genome(tmp_path / f'{seed}.fa', seed, letters=letters, length=length)}"
        for name, seed, letters, length in made
    )


def test_sources_are_told_apart_whatever_the_length(tmp_path: Path, groups: tuple[str, ...]) -> None:
    made = evaluate_distances(DistancesConfig(groups=groups, out=tmp_path / "out", **QUICK))
    assert read_json(tmp_path / "out" / "results.json") == made
    assert (made["window"], made["windows"]) == (200, 16)
    different = {(p["a"], p["b"]): p for p in made["pairs"]}
    assert different[("at/one", "at/two")]["p_value"] > 0.05
    assert different[("gc/three", "gc/four")]["p_value"] > 0.05
    apart = [p for (a, b), p in different.items() if a[:2] != b[:2]]
    assert len(apart) == 4 and all(p["p_value"] == 1 / 40 for p in apart)
    inner = [g["within"]["mean"] for g in made["groups"]]
    # equal windows and equal numbers: within a short genome as within a long one
    assert max(inner) < 2 * min(inner) < min(p["distance"]["lo"] for p in apart)
    assert made["parents"]["within"] < made["parents"]["between"]
    assert sorted(re.findall(r"\('?(\w+/\w+)'?:[\d.e-]+,'?(\w+/\w+)'?:", made["tree"]["newick"])) == [
        ("at/one", "at/two"), ("gc/three", "gc/four"),
    ]  # fmt: skip
    assert any("take them as independent" in warning for warning in made["warnings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == 2 and "<script" not in page and "http" not in page.split("</style>")[1]
    assert "| at/one - gc/four |" in (tmp_path / "out" / "results.md").read_text()


def test_same_seed_same_bytes_and_neighbour_joining(tmp_path: Path, groups: tuple[str, ...]) -> None:
    for name in ("a", "b"):
        evaluate_distances(DistancesConfig(groups=groups, out=tmp_path / name, tree="nj", **QUICK))
    for file in ("results.json", "results.md", "report.html"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("a", "b"))
        assert first == second and str(tmp_path).encode() not in first


@pytest.mark.parametrize("measure", ["fcgr_dssim", "kmer_jsd_k7", "frechet_distance"])
def test_other_measures(tmp_path: Path, groups: tuple[str, ...], measure: str) -> None:
    settings = {**QUICK, "measure": measure, "permutations": 0, "windows": 8, "resamples": 20}
    made = evaluate_distances(DistancesConfig(groups=groups[1:3], out=tmp_path / "out", **settings))
    pair = made["pairs"][0]
    assert made["measure"] == measure and pair["p_value"] is None and pair["different"] is None
    assert pair["distance"]["mean"] > max(g["within"]["mean"] for g in made["groups"])


def test_p_values_of_one_source_are_uniform(tmp_path: Path) -> None:
    paths = [genome(tmp_path / f"{seed}.fa", seed, length=2000, pieces=4) for seed in range(10)]
    config = DistancesConfig(
        groups=tuple(map(str, paths)), out=tmp_path / "out", **{**QUICK, "resamples": 20}
    )
    p_values = [p["p_value"] for p in evaluate_distances(config)["pairs"]]
    assert len(p_values) == 45
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.2) and np.mean(np.array(p_values) <= 0.05) < 0.2


def test_windows_are_long_where_there_are_enough_and_hold_no_gaps(tmp_path: Path) -> None:
    one = genome(tmp_path / "a.fa", 0, length=50_000)
    two = tmp_path / "b.fa"
    two.write_text(f">x\n{'ACGTT' * 400}{'N' * 3000}{'GATTC' * 1000}\n")
    length, groups = read_groups([parse_group(str(one)), parse_group(str(two))], window=0, windows=12, seed=0)
    assert length == 500
    assert [g.available for g in groups] == [100, 14] and [len(g.windows) for g in groups] == [12, 12]
    assert not any("N" in text for text in groups[1].windows.strings())
    many = genome(tmp_path / "c.fa", 1, length=900, pieces=20)
    _, groups = read_groups([parse_group(str(many)), parse_group(str(one))], window=300, windows=15, seed=0)
    assert len(np.unique(groups[0].sources)) == 15


def test_average_tree_is_scipys_and_nj_finds_an_additive_tree() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((6, 2))
    matrix = np.linalg.norm(points[:, None] - points[None], axis=-1)
    tree = make_tree(matrix, "average")
    expected = squareform(cophenet(average(squareform(matrix, checks=False))))
    for i in range(6):
        for j in range(i):
            assert _path(tree, i, j) == pytest.approx(expected[i, j])
    # ((0:1, 1:2):1, 2:3, 3:4), distances along the branches
    additive = np.array([[0, 3, 5, 6], [3, 0, 6, 7], [5, 6, 0, 7], [6, 7, 7, 0.0]])
    joined = make_tree(additive, "nj")
    for i in range(4):
        for j in range(i):
            assert _path(joined, i, j) == pytest.approx(additive[i, j])
    assert newick(joined, ["a", "b", "c", "d"], {}).count(",") == 3


def _path(tree: Node, i: int, j: int) -> float:
    """Length of the branches between two tips: those with just one of them below."""
    return sum(n.length for n in walk(tree) if (i in n.leaves) != (j in n.leaves))


def test_correction_net_and_parents_by_hand() -> None:
    assert holm([0.01, 0.02, 0.5]) == pytest.approx([0.03, 0.04, 0.5])
    assert net_distances(np.array([[0.2, 0.5], [0.5, 0.4]]))[0, 1] == pytest.approx(0.2)
    matrix = np.full((6, 6), 1.0)
    matrix[:3, :3] = matrix[3:, 3:] = 0.1
    found = parents_test(matrix, list("aaabbb"), permutations=999, seed=0)
    assert found is not None and (found["within"], found["between"]) == (pytest.approx(0.1), 1.0)
    assert found["p_value"] == pytest.approx(0.1, abs=0.04)  # 2 of the 20 ways to name them
    assert parents_test(matrix, [""] * 6, permutations=9, seed=0) is None


def test_real_species_group_by_descent(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "cds"
    groups = tuple(
        f"{kind}/{name}={folder / f'calm_validation_{name}.fasta.gz'}"
        for kind, name in (("fungi", "scerevisiae"), ("fungi", "ppastoris"), ("archaea", "hvolcanii"))
    )
    config = DistancesConfig(groups=groups, out=tmp_path / "out", strands="given", windows=40, resamples=20,
                             permutations=59)  # fmt: skip
    made = evaluate_distances(config)
    net = {(p["a"], p["b"]): p["net"] for p in made["pairs"]}
    assert net[("fungi/scerevisiae", "fungi/ppastoris")] < 0.1 * net[("fungi/ppastoris", "archaea/hvolcanii")]


def test_a_group_is_a_folder_of_genomes(tmp_path: Path) -> None:
    """Files of several formats below a folder are one group, as if they stood in one file."""
    from Bio import SeqIO

    whole = []
    for seed, (name, letters) in enumerate((("at", "AACGTT"), ("gc", "ACCGGT"))):
        folder = tmp_path / "genomes" / name
        (folder / "deep").mkdir(parents=True)
        fasta = genome(folder / "1.fna", seed, letters=letters, pieces=3)
        other = genome(tmp_path / "other.fa", seed + 5, letters=letters, pieces=2)
        records = list(SeqIO.parse(StringIO(other.read_text()), "fasta"))
        for record in records:
            record.annotations["molecule_type"] = "DNA"
        SeqIO.write(records, folder / "deep" / "2.gbff", "genbank")
        whole.append(tmp_path / f"{name}.fa")
        whole[-1].write_bytes(fasta.read_bytes() + other.read_bytes())
        packed = gzip.compress(fasta.read_bytes())
        fasta.unlink()
        (folder / "1.fna.gz").write_bytes(packed)
        (folder / "fetch.json").write_text("{}")
    made = [
        evaluate_distances(DistancesConfig(groups=groups, out=tmp_path / out, **QUICK))
        for out, groups in (
            ("folders", tuple(f"p/{n}={tmp_path / 'genomes' / n}" for n in ("at", "gc"))),
            ("files", tuple(f"p/{path.stem}={path}" for path in whole)),
        )
    ]
    assert [g["sequences"] for g in made[0]["groups"]] == [5, 5]
    assert made[0]["pairs"][0]["different"] is True
    folders, files = ({k: v for k, v in m.items() if k != "inputs"} for m in made)
    assert folders == files
    assert set(made[0]["inputs"]["p/at"][0]) == {"name", "fingerprint"}
    bare = tuple(str(tmp_path / "genomes" / name) for name in ("at", "gc"))
    again = evaluate_distances(DistancesConfig(groups=bare, out=tmp_path / "bare", **QUICK))
    assert [g["name"] for g in again["groups"]] == ["at", "gc"]
    assert again["pairs"][0]["distance"] == made[0]["pairs"][0]["distance"]


def test_real_genomes_by_folder(tmp_path: Path, real_data: Path) -> None:
    """Two strains of E. coli in one folder against Bartonella: folders of links, for nothing is copied."""
    files = {
        "escherichia": ("GCF_000005845.2_ASM584v2_genomic.fna.gz", "GCF_000008865.2.fna.gz"),
        "bartonella": ("B_henselae.fna.gz",),
    }
    for name, genomes in files.items():
        (tmp_path / name).mkdir()
        for file in genomes:
            (tmp_path / name / file).symlink_to(real_data / "genome" / file)
    config = DistancesConfig(
        groups=tuple(str(tmp_path / name) for name in files), out=tmp_path / "out", windows=40, resamples=20,
        window=5000, permutations=39,
    )  # fmt: skip
    made = evaluate_distances(config)
    assert made["groups"][0]["sequences"] >= 2 and made["groups"][0]["letters"] > 10_000_000
    pair = made["pairs"][0]
    assert pair["p_value"] == 1 / 40 and pair["net"] > 0
    assert pair["distance"]["lo"] > max(group["within"]["hi"] for group in made["groups"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ("a.fa",)}, "1 group: distances need two"),
        ({"groups": ("x/a.fa", "y/a.fa")}, "two groups are named 'a'"),
        ({"groups": ("=a.fa", "b.fa")}, "has no name or no path"),
        ({"measure": "gc_mean"}, "gc_mean' is no distance"),
        ({"measure": "kmer_jsd_k99"}, "k = 99"),
        ({"measure": "length_wasserstein"}, "length_wasserstein' is no distance"),
        ({"measure": "synonymous_jsd", "window": 200}, "window = 200 is no multiple of 3"),
        ({"windows": 4}, "windows = 4"),
        ({"permutations": 5}, "permutations = 5"),
    ],
)
def test_wrong_settings_are_quoted(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistancesConfig(**{"groups": ("a.fa", "b.fa"), "out": tmp_path, **change})


def test_the_terminal_shows_tables_and_long_names_fit_into_the_drawings(
    tmp_path: Path, groups: tuple[str, ...]
) -> None:
    given = [f"at/{'very_long_' * 6}name={groups[0].split('=')[1]}", *groups[2:]]
    words = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]
    found = CliRunner().invoke(app, ["eval", "distances", *given, "--out", str(tmp_path / "out"), *words])
    assert found.exit_code == 0 and "| gc/three - gc/four |" in found.stdout
    assert "sha256" not in found.stdout and found.stdout.endswith("out/report.html\n")
    drawings = re.findall("<svg.*?</svg>", (tmp_path / "out" / "report.html").read_text(), re.S)
    assert len(drawings) == 2 and all("at/very_lo…ery_long_name" in drawing for drawing in drawings)


def test_useless_groups_are_one_line(tmp_path: Path) -> None:
    good, short = genome(tmp_path / "a.fa", 0), genome(tmp_path / "b.fa", 1, length=300)
    with pytest.raises(DataError, match="group 'b' has 1 windows of 200 letters"):
        evaluate_distances(DistancesConfig(groups=(str(good), str(short)), out=tmp_path / "o", **QUICK))
    with pytest.raises(ConfigError, match="no such file"):
        evaluate_distances(DistancesConfig(groups=(str(good), "no.fa"), out=tmp_path / "o", **QUICK))
    with pytest.raises(
        DataError, match="period3_wasserstein has no value within group 'a' at windows of 50 l"
    ):
        settings = {**QUICK, "window": 50, "measure": "period3_wasserstein"}
        evaluate_distances(DistancesConfig(groups=(str(good), f"b={good}"), out=tmp_path / "o", **settings))
    assert not (tmp_path / "o").exists()


def test_windows_of_codons_stay_in_frame(tmp_path: Path) -> None:
    """Alanines by GCA or by GCT: in frame nothing but these two codons is seen."""
    for name, codon in (("a", "GCA"), ("b", "GCT")):
        (tmp_path / f"{name}.fa").write_text("".join(f">{i}\n{codon * 300}\n" for i in range(12)))
    groups = tuple(str(tmp_path / f"{name}.fa") for name in "ab")
    settings = {**QUICK, "measure": "synonymous_jsd", "window": 0, "windows": 30, "strands": "given"}
    made = evaluate_distances(DistancesConfig(groups=groups, out=tmp_path / "o", **settings))
    assert made["window"] == 300 and made["pairs"][0]["distance"]["mean"] > 0.9
    made = evaluate_distances(
        DistancesConfig(groups=groups, out=tmp_path / "o", **{**settings, "windows": 40})
    )
    assert made["window"] == 198 and made["pairs"][0]["distance"]["mean"] > 0.9
