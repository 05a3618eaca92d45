"""One self-contained HTML page of everything a run made: `bioeval.report.page.write_report`.

`inputs` reads the finished stages, `sections/` has one file a section (`render(facts) -> str`), `charts`
draws SVG whose colours follow the reader's light or dark mode, `markup` escapes and builds HTML, `style` is
the style sheet.
"""
