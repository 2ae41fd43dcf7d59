"""How the page that is mailed looks: one sheet of styles, light and dark by what the reader's system prefers, and plain on paper."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root{color-scheme:light dark;--ground:#fbfaf7;--card:#fff;--ink:#1d2126;--soft:#5d6670;--hair:#e3e1da;--grid:#eceae3;
--good:#1c7c54;--careful:#a15c00;--bad:#b3261e;
--weights:#2f5fa8;--repack:#86a8d8;--cache:#d9822b;--compute:#2a9d8f;--output:#8a63b8;--overhead:#8d939b;--draft:#b3475d;--remembered:#6b7a1e;
--s0:#2f5fa8;--s1:#b85c00;--s2:#14796d;--s3:#8a63b8;--s4:#b3475d;--s5:#6b7a1e;--s6:#2f7488;--s7:#7a5c3e;--inside:#fff;--dark:#14171b;--pale:#14171b}
@media screen and (prefers-color-scheme:dark){:root{--ground:#15181c;--card:#1d2126;--ink:#e8e6e1;--soft:#9aa3ad;--hair:#33393f;--grid:#2a3036;
--good:#59c494;--careful:#e8a54b;--bad:#ff8a80;
--weights:#6f9fe0;--repack:#3e5f90;--cache:#e9a15a;--compute:#4fc0b2;--output:#b292dd;--overhead:#8a939d;--draft:#e58097;--remembered:#b4c257;
--s0:#6f9fe0;--s1:#e9a15a;--s2:#4fc0b2;--s3:#b292dd;--s4:#e58097;--s5:#b4c257;--s6:#7cc0d4;--s7:#c9a27a;--inside:#12151a;--pale:#fff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:54rem;margin:0 auto;padding:3.2rem 1.4rem 4rem}
header p.kicker{margin:0 0 .6rem;color:var(--soft);font-size:.86rem;letter-spacing:.04em}
h1{font:600 clamp(1.5rem,3.6vw,2.1rem)/1.28 Georgia,"Iowan Old Style","Times New Roman",serif;margin:0 0 1rem;text-wrap:balance}
h2{font-size:1.12rem;font-weight:600;line-height:1.3;margin:0 0 .3rem}
h2+p{margin-top:0}
section{background:var(--card);border:1px solid var(--hair);border-radius:12px;padding:1.4rem 1.5rem 1.2rem;margin:1.3rem 0;break-inside:avoid}
p{margin:.5rem 0}.soft{color:var(--soft)}.small{font-size:.86rem}
.good{color:var(--good)}.careful{color:var(--careful)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11.2rem,1fr));gap:.8rem;margin:1.6rem 0 .4rem;padding:0;list-style:none}
.tiles li{background:var(--card);border:1px solid var(--hair);border-radius:12px;padding:.8rem 1rem}
.tiles b{display:block;font-size:1.18rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{display:block;margin-top:.2rem;color:var(--soft);font-size:.82rem;line-height:1.4}
svg{display:block;width:100%;height:auto;margin:.7rem 0 .2rem;overflow:visible}
svg text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--soft)}
svg text.name{fill:var(--ink);font-weight:600}svg text.inside{fill:var(--inside);font-weight:600}svg text.marked{fill:var(--ink);font-weight:600}
svg text.end{font-weight:600}svg text.past{fill:var(--bad);font-weight:600}
svg text.on-cache,svg text.on-compute,svg text.on-overhead{fill:var(--dark)}svg text.on-repack{fill:var(--pale)}
svg text.marked,svg text.end{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
rect.weights{fill:var(--weights)}rect.repack{fill:var(--repack)}rect.cache{fill:var(--cache)}rect.compute{fill:var(--compute)}
rect.output{fill:var(--output)}rect.overhead{fill:var(--overhead)}rect.draft{fill:var(--draft)}rect.remembered{fill:var(--remembered)}rect.limit{fill:var(--ground);stroke:var(--hair);stroke-width:1.2}
rect.own{fill:var(--s0)}rect.centre{fill:var(--s1)}
rect.past{fill:none;stroke:var(--bad);stroke-width:2}
line.edge{stroke:var(--ink);stroke-width:2}line.grid{stroke:var(--grid)}line.mark{stroke:var(--ink);stroke-dasharray:4 4;opacity:.65}
polyline.line{fill:none;stroke-width:2.4;stroke-linejoin:round}polyline.dashed{stroke-dasharray:7 5}
polyline.s0{stroke:var(--s0)}polyline.s1{stroke:var(--s1)}polyline.s2{stroke:var(--s2)}polyline.s3{stroke:var(--s3)}
polyline.s4{stroke:var(--s4)}polyline.s5{stroke:var(--s5)}polyline.s6{stroke:var(--s6)}polyline.s7{stroke:var(--s7)}
circle.dot{stroke:var(--card);stroke-width:1}circle.dot.hollow{fill:var(--card)!important;stroke-width:1.8}
circle.dot.hollow.s0{stroke:var(--s0)}circle.dot.hollow.s1{stroke:var(--s1)}
circle.s0,text.s0{fill:var(--s0)!important}circle.s1,text.s1{fill:var(--s1)!important}circle.s2,text.s2{fill:var(--s2)!important}
circle.s3,text.s3{fill:var(--s3)!important}circle.s4,text.s4{fill:var(--s4)!important}circle.s5,text.s5{fill:var(--s5)!important}
circle.s6,text.s6{fill:var(--s6)!important}circle.s7,text.s7{fill:var(--s7)!important}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.4rem 0 0;padding:0;list-style:none;font-size:.86rem;color:var(--soft)}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.45em}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}.legend+.scroll{margin-top:.8rem}
.keys b.s0{color:var(--s0)}.keys b.s1{color:var(--s1)}.keys b.s2{color:var(--s2)}.keys b.s3{color:var(--s3)}
.keys b.s4{color:var(--s4)}.keys b.s5{color:var(--s5)}.keys b.s6{color:var(--s6)}.keys b.s7{color:var(--s7)}
.slim{display:none}
i.weights{background:var(--weights)}i.repack{background:var(--repack)}i.cache{background:var(--cache)}i.compute{background:var(--compute)}
i.output{background:var(--output)}i.overhead{background:var(--overhead)}i.draft{background:var(--draft)}i.remembered{background:var(--remembered)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th{text-align:left;font-weight:600;color:var(--soft);border-bottom:1px solid var(--hair);padding:.35rem .7rem .35rem 0;vertical-align:bottom}
td{border-bottom:1px solid var(--grid);padding:.38rem .7rem .38rem 0;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n,td.date{white-space:nowrap}
td:last-child,th:last-child{padding-right:0}td.model{min-width:8.5rem;position:sticky;left:0;background:var(--card)}td.device{min-width:9rem}td.wide{width:42%}.sources{font-size:.82rem}
td.wide{overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
ul.plain{margin:.4rem 0 0;padding-left:1.1rem}
a{color:inherit;text-decoration-color:var(--soft)}
.estimate{border:1px solid var(--hair);border-radius:4px;padding:0 .35em;font-size:.78rem;color:var(--soft);white-space:nowrap}
footer{color:var(--soft);font-size:.82rem;margin-top:2rem}
@media screen and (max-width:600px){main{padding:1.6rem .9rem 2.5rem}section{padding:1.1rem 1rem 1rem}
.broad{display:none}.slim{display:block}.tiles{grid-template-columns:1fr 1fr;gap:.6rem}.tiles b{font-size:1.12rem}
.sources,.sources tbody,.sources tr,.sources td{display:block;width:auto}.sources tr:first-child{display:none}
.sources tr{border-bottom:1px solid var(--grid);padding:.5rem 0}.sources td{border:0;padding:0;text-align:left}
.sources td.n,.sources td.date{display:inline;padding-right:.8rem}.sources td.n{font-weight:600}.sources td.wide{color:var(--soft)}}
@page{margin:14mm}
@media print{:root{color-scheme:light}body{background:#fff;font-size:10pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}
main{max-width:none;padding:0}h1{font-size:17pt}section,.tiles li{border-color:#ccc}section{padding:.9rem 1rem;margin:.7rem 0}
section:has(.sources){break-inside:auto}tr,.broad{break-inside:avoid}h2{break-after:avoid}.tiles{grid-template-columns:repeat(4,1fr);gap:.5rem}
.sources{font-size:7.5pt;line-height:1.35}.sources td{padding:.18rem .7rem .18rem 0}.scroll{overflow:visible}}
"""
