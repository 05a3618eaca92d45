"""Small models on frozen embeddings. To add one: one file with a `Probe`, one line here.

Every probe chooses its hyper-parameters through `bioeval.probes.choose`, on validation rows alone.
"""

from __future__ import annotations

from biodata.catalog import Catalog

PROBES = Catalog(
    "probe",
    {
        "knn": "bioeval.probes.knn:Neighbours",
        "logistic": "bioeval.probes.logistic:Logistic",
        "random-forest": "bioeval.probes.random_forest:RandomForest",
        "ridge": "bioeval.probes.ridge:Ridge",
        "svr": "bioeval.probes.svr:SupportVectors",
    },
    aliases={"rf": "random-forest", "svm": "svr"},
)
