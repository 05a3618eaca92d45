"""The style sheet: one measure, two faces, colours that colour-blind people can tell apart."""

from __future__ import annotations

STYLE = """
:root{--ink:#1b1f24;--muted:#5b6570;--line:#d9dee4;--paper:#ffffff;--soft:#f4f6f8;--natural:#0072b2;
--generated:#c2500a;--model:#0072b2;--base:#8a929b;--good:#00755a;--bad:#b3361b;--accent:#0072b2;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--muted:#9aa5b1;--line:#343b44;--paper:#14181d;
--soft:#1d2229;--natural:#56b4e9;--generated:#f0913a;--model:#56b4e9;--base:#8d97a3;--good:#3cc39a;
--bad:#ff8a6b;--accent:#56b4e9}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans)}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
header p{color:var(--muted);margin:.2rem 0 0}
h1{font-size:2rem;line-height:1.15;letter-spacing:-.02em;margin:0}
h2{font-size:1.35rem;letter-spacing:-.01em;margin:0 0 .8rem}
h3{font-size:1rem;margin:1.8rem 0 .5rem}
p{max-width:44rem;margin:.5rem 0}
section{margin-top:3rem;padding-top:1.6rem;border-top:1px solid var(--line)}
nav{margin-top:1.2rem;font-size:.9rem;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.summary{background:var(--soft);border:1px solid var(--line);border-radius:12px;padding:1.2rem 1.4rem;
margin-top:1.6rem}
.summary h2{margin-bottom:.6rem}.summary ul{list-style:none;margin:0;padding:0}
.summary li{display:flex;gap:.9rem;padding:.55rem 0;border-top:1px solid var(--line)}
.summary li:first-child{border-top:0}
.summary p{margin:0;max-width:none}.summary .q{font-weight:600}
.mark{flex:none;width:5.2rem;font-size:.78rem;font-weight:700;padding-top:.2rem;white-space:nowrap}
.mark.yes{color:var(--good)}.mark.no{color:var(--bad)}.mark.none{color:var(--muted)}
.tiles{display:flex;flex-wrap:wrap;gap:.4rem 2.4rem;margin:0 0 1.2rem}
.tiles div{display:flex;flex-direction:column}.tiles dd{margin:0;font-size:1.6rem;font-weight:650;
letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tiles dt{color:var(--muted);font-size:.85rem}
.facts{margin:.6rem 0;font-size:.92rem}.facts div{display:flex;gap:1rem;padding:.28rem 0;
border-top:1px solid var(--line)}
.facts dt{flex:none;width:11rem;color:var(--muted)}.facts dd{margin:0;overflow-wrap:anywhere;min-width:0}
.scroll{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:.85rem;padding-bottom:.4rem}
th{text-align:left;font-weight:600;color:var(--muted);font-size:.8rem;border-bottom:1.5px solid var(--line)}
th,td{padding:.36rem .9rem .36rem 0;vertical-align:baseline}
td:first-child{overflow-wrap:anywhere;min-width:11rem}
td{border-bottom:1px solid var(--line)}th.num,td.num{text-align:right;padding-left:.6rem}
.strip{vertical-align:middle}.range{white-space:nowrap}.muted,.missing{color:var(--muted)}.missing{font-style:italic}
.warning{border-left:3px solid var(--bad);padding-left:.8rem}
.legend{white-space:nowrap;margin-right:.8rem}.good,.bad{white-space:nowrap}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
figure{margin:1rem 0;min-width:0}figure svg{display:block;width:100%;height:auto;overflow:visible}
figcaption{color:var(--muted);font-size:.85rem;line-height:1.4;margin-top:.4rem;max-width:44rem}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17.5rem),1fr));gap:.4rem 1.8rem;
align-items:start}
.wide>div{overflow-x:auto}.wide svg{min-width:46rem}
.pixels{display:block;width:100%;image-rendering:pixelated;border:1px solid var(--line);border-radius:4px;
background:#fff}
.square{position:relative;padding:1.1rem 0}.square b{position:absolute;font-size:.75rem;color:var(--muted)}
.square .tl{top:0;left:0}.square .tr{top:0;right:0}.square .bl{bottom:0;left:0}.square .br{bottom:0;right:0}
.key{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem;
vertical-align:-.05rem}
code,pre{font-family:var(--mono);font-size:.85em}
pre{background:var(--soft);border:1px solid var(--line);border-radius:8px;padding:.9rem;overflow-x:auto;
line-height:1.45}
details{margin:.8rem 0}summary{cursor:pointer;color:var(--accent);font-size:.92rem}
footer{margin-top:3rem;color:var(--muted);font-size:.85rem}
@media (max-width:34rem){main{padding:1.4rem 1rem 3rem}h1{font-size:1.6rem}
.summary li{flex-direction:column;gap:.1rem}.facts div{flex-direction:column;gap:0}.facts dt{width:auto}}
@media print{main{max-width:none}section{break-inside:avoid-page}}
"""
