"""Models on frozen embeddings, and two that train the model itself.

To add one: one file with a `Probe`, one line here.
Every probe chooses its hyper-parameters through `bioeval.probes.choose`, on validation rows alone.
"""

from __future__ import annotations

from biodata.catalog import Catalog

PROBES = Catalog(
    "probe",
    {
        "full": "bioeval.probes.finetune:Full",
        "knn": "bioeval.probes.knn:Neighbours",
        "light-attention": "bioeval.probes.light_attention:LightAttention",
        "logistic": "bioeval.probes.logistic:Logistic",
        "lora": "bioeval.probes.finetune:LowRank",
        "mlp": "bioeval.probes.mlp:Perceptron",
        "random-forest": "bioeval.probes.random_forest:RandomForest",
        "ridge": "bioeval.probes.ridge:Ridge",
        "svr": "bioeval.probes.svr:SupportVectors",
        "textcnn": "bioeval.probes.textcnn:TextCNN",
    },
    aliases={"rf": "random-forest", "svm": "svr"},
)
