"""The board's own rules, on top of the report's style sheet."""

from __future__ import annotations

BOARD_STYLE = """
main{max-width:78rem}
td:first-child{min-width:0}
th,td{padding:.34rem .55rem .34rem 0}th.num,td.num{padding-left:.3rem}
section{margin-top:1.8rem;padding-top:1.1rem}
.controls{display:flex;flex-wrap:wrap;gap:.6rem 1.4rem;align-items:center;margin:1.4rem 0 .4rem;
position:sticky;top:0;background:var(--paper);padding:.7rem 0;border-bottom:1px solid var(--line);z-index:2}
.controls label{font-size:.9rem;display:flex;gap:.5rem;align-items:center}
.controls input[type=search],.controls select{font:inherit;font-size:.9rem;color:var(--ink);
background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.3rem .5rem}
.controls p{margin:0;color:var(--muted);font-size:.85rem}
th button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:inherit}
th button:hover,th button:focus-visible{color:var(--accent)}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
tbody th{font-weight:500;color:var(--ink);font-size:.9rem;border-bottom:1px solid var(--line);
text-align:left;overflow-wrap:anywhere;min-width:9rem}
tr.floor th,tr.floor td{background:var(--soft);color:var(--muted)}
tbody th small{color:var(--muted);font-weight:400}
tr[hidden],section[hidden],td[hidden],th[hidden]{display:none}
.bar{display:block;width:11rem;height:1.1rem;overflow:visible}
.bar line{stroke:var(--model);stroke-width:2.5;stroke-linecap:round}.bar circle{fill:var(--model)}
.bar .axis{stroke:var(--line);stroke-width:1}
tr.floor .bar line:not(.axis){stroke:var(--base)}tr.floor .bar circle{fill:var(--base)}
.heat td.cell{text-align:right;
background:color-mix(in srgb,var(--accent) calc(var(--heat,0)*45%),transparent)}
.heat tr td.cell{color:var(--ink)}
.heat td.cell,.heat th.num{padding-left:.9rem}
.group{display:inline-block;min-width:1.4em;text-align:center;border:1px solid var(--line);
border-radius:.7em;padding:0 .35em;font-size:.82em}
.flag{color:var(--bad);white-space:nowrap}
td{white-space:nowrap}
"""
